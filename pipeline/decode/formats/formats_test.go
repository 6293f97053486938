package formats_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/decode/formats"
	"github.com/trailvane/trailvane/schemas"
)

func Example() {
	record := `{"eventID": "7d9a3c10", "eventTime": "2026-03-02T09:14:27Z", "eventSource": "iam.amazonaws.com",
		"eventName": "CreateUser", "awsRegion": "us-east-1"}`
	token, _ := formats.Detect(record)
	format, _ := formats.ByName(token)
	err := format.Decode(record, func(e *schemas.Event) { fmt.Println(token, e.Service, e.Name) })
	fmt.Println(err)
	// Output:
	// cloudtrail iam.amazonaws.com CreateUser
	// <nil>
}

// The folders are the list: each folder with a decoder is a format of its name.
func TestAll(t *testing.T) {
	files, err := filepath.Glob("../*/decoder.go")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, file := range files {
		want = append(want, filepath.Base(filepath.Dir(file)))
	}
	for _, f := range formats.All() {
		got = append(got, f.Format())
		if f.Format() != schemas.Token(f.Format()) {
			t.Errorf("%q is no token of a subject", f.Format())
		}
		if same, ok := formats.ByName(f.Format()); !ok || same != f {
			t.Errorf("ByName(%q) is %v, %v", f.Format(), same, ok)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("formats are %q, folders %q: make generate", got, want)
	}
	if _, ok := formats.ByName("none"); ok {
		t.Error("there is a format called none")
	}
}

// Every sample of a format that has a call in it is recognized as its own, and no other's.
func TestDetectSamples(t *testing.T) {
	for _, f := range formats.All() {
		files, err := filepath.Glob("../" + f.Format() + "/testdata/*.json")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, ".golden.json") || strings.HasSuffix(file, "_broken.json") {
				continue
			}
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got, ok := formats.Detect(string(raw)); !ok || got != f.Format() {
				t.Errorf("%s is %q, %v", file, got, ok)
			}
			// The time that orders objects is the event's.
			err = f.Decode(string(raw), func(e *schemas.Event) {
				if got, ok := formats.EventTime(string(raw)); e.Category == schemas.Management && (!ok || got != e.Time) {
					t.Errorf("%s has time %d, %v, its event %d", file, got, ok, e.Time)
				}
			})
			if err != nil {
				t.Logf("%s: %v", file, err)
			}
		}
	}
}

func TestDetect(t *testing.T) {
	text := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	const (
		aws = `{"eventID":"1","awsRegion":"us-east-1"}`
		ali = `{"eventId":"1","acsRegion":"cn-hangzhou"}`
	)
	for _, c := range []struct{ name, record, want string }{
		{"CloudTrail", aws, "cloudtrail"},
		{"ActionTrail", ali, "actiontrail"},
		{"ActionTrail in Log Service", `{"__topic__":"t","event":` + text(ali) + `}`, "actiontrail"},
		{"CloudTrail in a test case", `{"event":` + aws + `}`, "cloudtrail"},
		{"a byte order mark", "\ufeff" + aws, "cloudtrail"},
		{"one key of the other", `{"eventID":"1","awsRegion":"x","sourceIpAddress":"y"}`, "cloudtrail"},
		{"cut off behind the keys", `{"eventID":"1","awsRegion":"us-east-1","x":[`, "cloudtrail"},
		{"as many of each", `{"eventID":"1","eventId":"1"}`, ""},
		{"neither", `{"eventName":"x","eventTime":"2026-03-02T09:14:27Z"}`, ""},
		{"empty", `{}`, ""},
		{"no record", `[1]`, ""},
		{"nothing", ``, ""},
	} {
		got, ok := formats.Detect(c.record)
		if got != c.want || ok != (c.want != "") {
			t.Errorf("%s: got %q, %v, want %q", c.name, got, ok, c.want)
		}
	}
}

func TestEventTime(t *testing.T) {
	for _, c := range []struct {
		name, record string
		want         int64
	}{
		{"CloudTrail", `{"awsRegion":"x","eventTime":"2026-03-02T09:14:27Z"}`, 1772442867},
		{"ActionTrail, wrapped", `{"event":{"acsRegion":"x","eventTime":"2026-03-02T09:14:27Z"}}`, 1772442867},
		{"@timestamp", `{"awsRegion":"x","@timestamp":"2026-03-02T09:14:27.5Z"}`, 1772442867},
		{"a call beside an object called event",
			`{"awsRegion":"x","eventName":"y","@timestamp":"2026-03-02T09:14:27Z","event":{"a":1}}`, 1772442867},
		{"the wrapping has a time of its own",
			`{"@timestamp":"2027-01-01T00:00:00Z","event":{"awsRegion":"x","eventTime":"2026-03-02T09:14:27Z"}}`, 1772442867},
		{"none", `{"awsRegion":"x"}`, 0},
		{"no time", `{"awsRegion":"x","eventTime":"soon"}`, 0},
		{"unknown format", `{"eventTime":"2026-03-02T09:14:27Z"}`, 0},
		{"year 9999", `{"awsRegion":"x","eventTime":"9999-03-02T09:14:27Z"}`, 0},
	} {
		got, ok := formats.EventTime(c.record)
		if got != c.want || ok != (c.want != 0) {
			t.Errorf("%s: got %d, %v, want %d", c.name, got, ok, c.want)
		}
	}
}
