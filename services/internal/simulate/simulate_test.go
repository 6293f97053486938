package simulate_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/internal/simulate"
)

func Example() {
	dir, err := os.MkdirTemp("", "simulate")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	truth, err := simulate.Write(dir, simulate.Options{Seed: 1, Days: 3})
	if err != nil {
		panic(err)
	}
	for _, a := range truth.Attacks {
		fmt.Println(a.First.Format(time.DateTime), a.Account, a.Region, a.Event, a.Calls, "times by", a.Principal)
	}
	// Output:
	// 2026-03-03 20:19:57 alibaba:1234567890123456 ap-southeast-1 DeleteInstance 207 times by deploy-bot
	// 2026-03-04 03:04:46 aws:123456789012 eu-central-1 TerminateInstances 318 times by ci-deploy
}

// A record holds the fields of both formats that the tests look at.
type record struct {
	EventID, EventName, EventTime, ErrorCode string
	EventSource, ServiceName                 string
	AwsRegion, AcsRegion                     string
	SourceIPAddress, UserAgent               string
	RecipientAccountID                       string
	UserIdentity                             struct{ AccessKeyID, UserName string }
	object                                   string
	slot                                     time.Time
	raw                                      string
}

var slotInName = regexp.MustCompile(`_(\d{8}T\d{4})Z_|_(\d{14})_`)

// read returns every record below dir, in the order of the walk. Each must be valid JSON on its own.
func read(t *testing.T, dir string) []record {
	t.Helper()
	var all []record
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		packed, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		z, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			return err
		}
		body, err := io.ReadAll(z)
		if err != nil {
			return err
		}
		var slot time.Time
		m := slotInName.FindStringSubmatch(filepath.Base(path))
		if m == nil {
			return fmt.Errorf("no slot in the name of %s", path)
		}
		if m[1] != "" {
			slot, err = time.Parse("20060102T1504", m[1])
		} else {
			slot, err = time.Parse("20060102150405", m[2])
		}
		if err != nil {
			return err
		}
		var raws []json.RawMessage
		if strings.Contains(path, "CloudTrail") {
			var file struct{ Records []json.RawMessage }
			err, raws = json.Unmarshal(body, &file), file.Records
		} else {
			err = json.Unmarshal(body, &raws)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, raw := range raws {
			r := record{object: path, slot: slot, raw: string(raw)}
			if err := json.Unmarshal(raw, &r); err != nil {
				return fmt.Errorf("%s: %w in %s", path, err, raw)
			}
			all = append(all, r)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func write(t *testing.T, o simulate.Options) (string, simulate.Truth) {
	t.Helper()
	dir := t.TempDir()
	truth, err := simulate.Write(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return dir, truth
}

func TestWrite(t *testing.T) {
	dir, truth := write(t, simulate.Options{Seed: 1})
	records := read(t, dir)
	t.Run("records", func(t *testing.T) { checkRecords(t, records, truth) })
	for _, a := range truth.Attacks {
		t.Run("attack "+a.Account.String(), func(t *testing.T) { checkAttack(t, records, a) })
	}
	if len(truth.Attacks) != 2 {
		t.Errorf("%d attacks, want one on each cloud", len(truth.Attacks))
	}
}

// checkRecords holds the records against the truth about their number and against what real trails are like.
func checkRecords(t *testing.T, records []record, truth simulate.Truth) {
	t.Helper()
	seen := map[string]string{}
	files := map[string]bool{}
	repeats, bytes := 0, 0
	early, late := time.Hour, time.Duration(0)
	for _, r := range records {
		files[r.object] = true
		bytes += len(r.raw)
		if first, ok := seen[r.EventID]; ok {
			repeats++
			if first != r.raw {
				t.Errorf("repeat of %s is not equal:\n%s\n%s", r.EventID, first, r.raw)
			}
		}
		seen[r.EventID] = r.raw
		at, err := time.Parse(time.RFC3339, r.EventTime)
		if err != nil {
			t.Fatalf("event time of %s: %v", r.raw, err)
		}
		if at.Before(truth.From) || at.After(truth.To) {
			t.Errorf("event at %v is outside %v to %v", at, truth.From, truth.To)
		}
		early, late = min(early, r.slot.Sub(at)), max(late, r.slot.Sub(at))
		if r.RecipientAccountID == "" || r.AwsRegion+r.AcsRegion == "" || r.EventSource == "" {
			t.Errorf("record without account, region or service: %s", r.raw)
		}
	}
	if len(seen) != truth.Events || repeats != truth.Repeats || len(files) != truth.Files {
		t.Errorf("found %d events, %d repeats, %d files; truth is %d, %d, %d",
			len(seen), repeats, len(files), truth.Events, truth.Repeats, truth.Files)
	}
	if truth.Events < 60_000 || truth.Events > 120_000 {
		t.Errorf("%d events: the demo wants 60,000 to 120,000", truth.Events)
	}
	if share := float64(repeats) / float64(len(records)); share < 0.001 || share > 0.003 {
		t.Errorf("share of repeats is %.4f, want 0.001 to 0.003", share)
	}
	if early < 0 || late > 10*time.Minute {
		t.Errorf("files come %v to %v after their events, want 0 to 10 minutes", early, late)
	}
	if mean := bytes / len(records); mean < 900 || mean > 1500 {
		t.Errorf("a record has %d bytes on average, want about 1.2 KB", mean)
	}
}

// checkAttack finds the attack in the records, and the same call in normal life.
func checkAttack(t *testing.T, records []record, a simulate.Attack) {
	t.Helper()
	ids := map[string]bool{}
	before := map[string]bool{} // days on which the call belongs to normal life
	for _, r := range records {
		if r.RecipientAccountID != a.Account.ID || r.EventName != a.Event {
			continue
		}
		if r.SourceIPAddress != a.Address {
			before[r.EventTime[:10]] = true
			continue
		}
		ids[r.EventID] = true
		if r.EventTime < a.First.Format(time.RFC3339) || r.EventTime > a.Last.Format(time.RFC3339) {
			t.Errorf("call at %s, outside %v to %v", r.EventTime, a.First, a.Last)
		}
		if r.UserIdentity.AccessKeyID != a.AccessKey || r.UserIdentity.UserName != a.Principal {
			t.Errorf("call by %+v, want %s with %s", r.UserIdentity, a.Principal, a.AccessKey)
		}
		if r.AwsRegion+r.AcsRegion != a.Region {
			t.Errorf("call in %s%s, want %s", r.AwsRegion, r.AcsRegion, a.Region)
		}
	}
	if len(ids) != a.Calls || a.Calls < 150 || a.Calls > 400 {
		t.Errorf("found %d calls, truth says %d, want 150 to 400", len(ids), a.Calls)
	}
	if d := a.Last.Sub(a.First); d < 10*time.Minute || d > 20*time.Minute {
		t.Errorf("attack lasts %v, want 10 to 20 minutes", d)
	}
	if len(before) < 5 {
		t.Errorf("%s is normal on %d days only: a first call ever would be too easy", a.Event, len(before))
	}
	if a.Type != schemas.APICallRate {
		t.Errorf("type %s", a.Type)
	}
}

func TestSameOptionsSameBytes(t *testing.T) {
	files := func(seed uint64) map[string]string {
		dir, _ := write(t, simulate.Options{Seed: seed, Days: 3})
		all := map[string]string{}
		err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			body, err := os.ReadFile(filepath.Join(dir, path))
			all[path] = string(body)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	one, again, other := files(1), files(1), files(2)
	if !cmp.Equal(one, again) {
		t.Error("the same seed gave other files")
	}
	if cmp.Equal(one, other) {
		t.Error("another seed gave the same files")
	}
}

func TestMoreAccounts(t *testing.T) {
	dir, truth := write(t, simulate.Options{Seed: 1, Days: 3, Accounts: 2})
	accounts := map[string]bool{}
	for _, r := range read(t, dir) {
		accounts[r.RecipientAccountID] = true
	}
	want := map[string]bool{
		"123456789012": true, "123456789013": true, "1234567890123456": true, "1234567890123457": true,
	}
	if diff := cmp.Diff(want, accounts); diff != "" {
		t.Errorf("accounts (-want +got):\n%s", diff)
	}
	if len(truth.Attacks) != 4 {
		t.Errorf("%d attacks, want one in each account", len(truth.Attacks))
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []simulate.Options{{Days: 2}, {Days: -1}, {Accounts: 100}, {Accounts: -1}} {
		if _, err := simulate.Write(t.TempDir(), o); err == nil {
			t.Errorf("Write(%+v) gave no error", o)
		}
	}
}
