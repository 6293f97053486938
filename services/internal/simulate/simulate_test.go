package simulate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

	"github.com/trailvane/trailvane/schemas"
)

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

// files are the names and bodies of what was written.
type files map[string]string

// write returns the files that would be written.
func write(t *testing.T, o Options) (files, Truth) {
	t.Helper()
	all := make(files)
	truth, err := generate(o, func(object Object) error {
		if _, ok := all[object.Name]; ok {
			t.Errorf("file %s is written twice", object.Name)
		}
		all[object.Name] = string(object.Body)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all, truth
}

// read returns every record in the files, in the order of their names. Each must be valid JSON on its own.
func (f files) read(t *testing.T) []record {
	t.Helper()
	var all []record
	for _, name := range slices.Sorted(maps.Keys(f)) {
		records, err := readFile(name, f[name])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all = append(all, records...)
	}
	return all
}

func readFile(name, packed string) ([]record, error) {
	z, err := gzip.NewReader(strings.NewReader(packed))
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	m := slotInName.FindStringSubmatch(path.Base(name))
	if m == nil {
		return nil, errors.New("no slot in the name")
	}
	slot, err := time.Parse("20060102T1504", m[1])
	if m[2] != "" {
		slot, err = time.Parse("20060102150405", m[2])
	}
	if err != nil {
		return nil, err
	}
	var raws []json.RawMessage
	if strings.Contains(name, "CloudTrail") {
		var file struct{ Records []json.RawMessage }
		err, raws = json.Unmarshal(body, &file), file.Records
	} else {
		err = json.Unmarshal(body, &raws)
	}
	if err != nil {
		return nil, err
	}
	var all []record
	for _, raw := range raws {
		r := record{object: name, slot: slot, raw: string(raw)}
		if err := json.Unmarshal(raw, &r); err != nil {
			return nil, fmt.Errorf("%w in %s", err, raw)
		}
		all = append(all, r)
	}
	return all, nil
}

func TestWrite(t *testing.T) {
	all, truth := write(t, Options{Seed: 1})
	records := all.read(t)
	t.Run("records", func(t *testing.T) { checkRecords(t, records, truth) })
	for _, a := range truth.Attacks {
		t.Run(a.Name+" "+a.Account.String(), func(t *testing.T) { checkAttack(t, records, a) })
	}
	if len(truth.Attacks) != 4 {
		t.Errorf("%d attacks, want two on each cloud", len(truth.Attacks))
	}
}

// checkRecords holds the records against the truth about their number and against what real trails are like.
func checkRecords(t *testing.T, records []record, truth Truth) {
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

// checkAttack finds what is expected of the attack in the records, and the same calls in normal life.
func checkAttack(t *testing.T, records []record, a Attack) {
	t.Helper()
	var types []schemas.InsightType
	for _, e := range a.Expect {
		types = append(types, e.Type)
		if e.First.Before(a.First) || e.Last.After(a.Last) || e.Last.Before(e.First) {
			t.Errorf("%s from %v to %v, outside %v to %v", e.Type, e.First, e.Last, a.First, a.Last)
		}
		if e.Event != "" {
			checkCalls(t, records, a, e)
		}
	}
	want := []schemas.InsightType{
		schemas.IP, schemas.APICallRate, schemas.AK, schemas.PolicyChange, schemas.PasswordChange, schemas.TrailConcealment,
	}
	if a.Name == "lost permission" {
		want = []schemas.InsightType{schemas.APIErrorRate}
	}
	if d := cmp.Diff(want, types); d != "" {
		t.Errorf("types (-want +got):\n%s", d)
	}
	if d := a.Last.Sub(a.First); d < 10*time.Minute || d > 40*time.Minute {
		t.Errorf("attack lasts %v, want 10 to 40 minutes", d)
	}
	if a.Name == "stolen key" {
		checkDark(t, records, a)
	}
}

// checkCalls finds the calls of one insight. Others make them too, on most days, except for switching the trail off.
func checkCalls(t *testing.T, records []record, a Attack, e Expected) {
	t.Helper()
	ids := map[string]bool{}
	before := map[string]bool{} // days on which the call belongs to normal life
	for _, r := range records {
		if r.RecipientAccountID != a.Account.ID || r.EventName != e.Event || r.AwsRegion+r.AcsRegion != e.Region {
			continue
		}
		planted := r.EventTime >= e.First.Format(time.RFC3339) && r.EventTime <= e.Last.Format(time.RFC3339) &&
			r.SourceIPAddress == a.Address && (e.Type != schemas.APIErrorRate || r.ErrorCode != "")
		if !planted {
			before[r.EventTime[:10]] = true
			continue
		}
		ids[r.EventID] = true
		if a.AccessKey != "" && (r.UserIdentity.AccessKeyID != a.AccessKey || r.UserIdentity.UserName != a.Principal) {
			t.Errorf("call by %+v, want %s with %s", r.UserIdentity, a.Principal, a.AccessKey)
		}
	}
	if len(ids) != e.Calls {
		t.Errorf("found %d calls of %s, truth says %d", len(ids), e.Event, e.Calls)
	}
	normal := 5
	if e.Type == schemas.TrailConcealment {
		normal = 0
	}
	if len(before) < normal || normal == 0 && len(before) > 0 {
		t.Errorf("%s is normal on %d days, want %d: a first call ever would be too easy", e.Event, len(before), normal)
	}
	if e.Type == schemas.APICallRate && (e.Calls < 150 || e.Calls > 400) {
		t.Errorf("%d calls, want 150 to 400", e.Calls)
	}
}

// checkDark: after the trail was switched off nothing is recorded until it is switched on again.
func checkDark(t *testing.T, records []record, a Attack) {
	t.Helper()
	next := ""
	for _, r := range records {
		if r.RecipientAccountID == a.Account.ID && r.EventTime > a.Last.Format(time.RFC3339) && (next == "" || r.EventTime < next) {
			next = r.EventTime
		}
	}
	at, err := time.Parse(time.RFC3339, next)
	if err != nil || at.Sub(a.Last) < 20*time.Minute {
		t.Errorf("after StopLogging at %v the next event is at %s, %v", a.Last, next, err)
	}
	for _, r := range records {
		if r.RecipientAccountID == a.Account.ID && r.EventTime == next && r.EventName == "StartLogging" {
			return
		}
	}
	t.Errorf("at %s no StartLogging", next)
}

// An entity more or less moves nothing of the others: not their calls, and not when these are delivered.
func TestEntitiesAreIndependent(t *testing.T) {
	for _, make := range []func(int) account{awsAccount, alibabaAccount} {
		of := func(a account) map[string]bool {
			seen := map[string]bool{}
			var truth Truth
			o := Options{Seed: 1, Start: DefaultStart, Days: 3}
			if err := o.fill(); err != nil {
				t.Fatal(err)
			}
			err := a.generate(o, &truth, func(object Object) error {
				records, err := readFile(object.Name, string(object.Body))
				for _, r := range records {
					seen[r.slot.String()+" "+r.raw] = true
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return seen
		}
		all := of(make(0))
		for _, gone := range []int{0, len(make(0).routines) / 2, len(make(0).routines) - 1} {
			a := make(0)
			a.routines = slices.Delete(a.routines, gone, gone+1)
			fewer := of(a)
			if len(fewer) >= len(all) {
				t.Errorf("without routine %d there are %d records of %d", gone, len(fewer), len(all))
			}
			for r := range fewer {
				if !all[r] {
					t.Fatalf("without routine %d there is another record:\n%s", gone, r)
				}
			}
		}
	}
}

// All that is planted happens in the live part, and ends so long before its end that time can move past it.
func TestLive(t *testing.T) {
	end := time.Date(2026, time.March, 19, 15, 47, 12, 0, time.UTC)
	for seed := range uint64(4) {
		o := Options{Seed: seed, Days: 3, Live: LeastLive, End: end}
		objects, truth, err := Objects(o)
		if err != nil {
			t.Fatal(err)
		}
		begin := end.Add(-LeastLive).Truncate(time.Minute)
		if len(truth.Attacks) != 4 {
			t.Errorf("seed %d: %d attacks, want 4", seed, len(truth.Attacks))
		}
		for _, a := range truth.Attacks {
			if a.First.Before(begin) || a.Last.After(end.Add(-55*time.Minute)) {
				t.Errorf("seed %d: %s in %s from %s to %s is not in the first hour after %s", seed, a.Name, a.Account, a.First, a.Last, begin)
			}
		}
		if truth.To.After(end) || truth.From.Before(begin.AddDate(0, 0, -3)) || truth.From.After(begin.AddDate(0, 0, -2)) {
			t.Errorf("seed %d: events from %s to %s", seed, truth.From, truth.To)
		}
		records := 0
		for i, object := range objects {
			if i > 0 && object.Time.Before(objects[i-1].Time) {
				t.Fatalf("seed %d: %s follows %s", seed, object.Name, objects[i-1].Name)
			}
			records += object.Records
		}
		if records != truth.Events+truth.Repeats || len(objects) != truth.Files {
			t.Errorf("seed %d: %d records in %d objects, want %d in %d", seed, records, len(objects), truth.Events+truth.Repeats, truth.Files)
		}
	}
}

func TestSameOptionsSameBytes(t *testing.T) {
	one, truth := write(t, Options{Seed: 1})
	again, truthAgain := write(t, Options{Seed: 1})
	other, _ := write(t, Options{Seed: 2})
	if !maps.Equal(one, again) {
		t.Error("the same seed gave other files")
	}
	if diff := cmp.Diff(truth, truthAgain); diff != "" {
		t.Errorf("the same seed gave another truth:\n%s", diff)
	}
	if maps.Equal(one, other) {
		t.Error("another seed gave the same files")
	}
}

// An account's logs do not change because there are more accounts.
func TestMoreAccountsMoveNothing(t *testing.T) {
	few, _ := write(t, Options{Seed: 1, Days: 3})
	many, _ := write(t, Options{Seed: 1, Days: 3, Accounts: 2})
	for name, body := range few {
		if many[name] != body {
			t.Fatalf("%s is another file with a second account", name)
		}
	}
}

func TestMoreAccounts(t *testing.T) {
	all, truth := write(t, Options{Seed: 1, Days: 3, Accounts: 2})
	accounts := map[string]bool{}
	for _, r := range all.read(t) {
		accounts[r.RecipientAccountID] = true
	}
	want := map[string]bool{
		"123456789012": true, "123456789013": true, "1234567890123456": true, "1234567890123457": true,
	}
	if diff := cmp.Diff(want, accounts); diff != "" {
		t.Errorf("accounts (-want +got):\n%s", diff)
	}
	if len(truth.Attacks) != 8 {
		t.Errorf("%d attacks, want two in each account", len(truth.Attacks))
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []Options{
		{Days: 2}, {Days: -1}, {Accounts: 100}, {Accounts: -1}, {Live: LeastLive}, {Live: time.Hour, End: DefaultStart},
	} {
		if _, err := Write(t.TempDir(), o); err == nil {
			t.Errorf("Write(%+v) gave no error", o)
		}
	}
}
