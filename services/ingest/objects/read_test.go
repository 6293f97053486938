package objects_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trailvane/trailvane/pipeline/ingest"
	"github.com/trailvane/trailvane/services/ingest/objects"
	"github.com/trailvane/trailvane/services/ingest/objects/objectstest"
)

// list returns the objects.
func list(t *testing.T, o *objects.Objects) []ingest.Object {
	t.Helper()
	var all []ingest.Object
	for object, err := range o.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, object)
	}
	return all
}

// read returns what is in an object.
func read(t *testing.T, o *objects.Objects, object ingest.Object) (string, error) {
	t.Helper()
	r, err := o.Open(t.Context(), object)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return string(b), err
}

// An object is read as it was listed: one that is gone, or was replaced, is unreadable, also if it had been read ahead of
// the change or not.
func TestChangedAfterListing(t *testing.T) {
	s := objectstest.New(t, "logs")
	s.Put("logs", "1.json", `{"a":1}`)
	s.Put("logs", "2.json", `{"a":2}`)
	o := connect(t, s, objects.Config{}, "s3://logs")
	before := list(t, o)
	if got, err := read(t, o, before[0]); err != nil || got != `{"a":1}` {
		t.Errorf("got %q, %v", got, err)
	}
	s.Put("logs", "1.json", `{"a":3}`)
	s.Delete("logs", "2.json")
	for i, want := range []string{"replaced after it was listed", "it is gone"} {
		_, err := read(t, o, before[i])
		if !errors.Is(err, ingest.ErrUnreadable) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v, want unreadable, %q", before[i].Name, err, want)
		}
	}
	after := list(t, o)
	if len(after) != 1 || after[0].Tag == before[0].Tag || after[0].Tag == "" {
		t.Errorf("got %v, want the object with another tag than %v", after, before[0])
	}
	if got, err := read(t, o, after[0]); err != nil || got != `{"a":3}` {
		t.Errorf("got %q, %v", got, err)
	}
}

// Errors say which object, what happened and what to do, and whether it is about that object.
func TestRefused(t *testing.T) {
	s := objectstest.New(t, "logs")
	s.Put("logs", "a.json", "{}")
	refuse := func(status int, code string) {
		s.Hook(func(w http.ResponseWriter, _ *http.Request) bool {
			objectstest.Refuse(w, status, code)
			return true
		})
	}
	for _, tt := range []struct {
		what       string
		status     int
		code       string
		followed   bool
		unreadable bool
		want       []string
	}{
		{"list", 403, "AccessDenied", false, false, []string{"list s3://logs/", "s3:ListBucket", "docs/formats.md"}},
		{"list", 404, "NoSuchBucket", false, false, []string{"list s3://logs/", "no such bucket at " + s.URL}},
		{"list", 403, "InvalidAccessKeyId", false, false, []string{"does not accept the credentials", "AWS_ACCESS_KEY_ID"}},
		{"read", 403, "AccessDenied", false, true, []string{"s3://logs/a.json", "s3:GetObject", "kms:Decrypt"}},
		{"read", 403, "AccessDenied", true, false, []string{"s3://logs/a.json", "s3:GetObject"}}, // nothing was read yet
		{"read", 403, "InvalidObjectState", true, true, []string{"s3://logs/a.json", "archived"}},
		{"read", 403, "SignatureDoesNotMatch", false, false, []string{"s3://logs/a.json", "credentials"}},
		{"read", 503, "SlowDown", false, false, []string{"s3://logs/a.json", "SlowDown"}},
	} {
		o := connect(t, s, objects.Config{Followed: tt.followed}, "s3://logs")
		s.Hook(nil)
		object := list(t, o)[0]
		refuse(tt.status, tt.code)
		var err error
		if tt.what == "read" {
			_, err = read(t, o, object)
		} else {
			for _, err = range o.List(t.Context()) {
				break
			}
		}
		if err == nil || errors.Is(err, ingest.ErrUnreadable) != tt.unreadable {
			t.Errorf("%s %s: got error %v, want one about the object: %v", tt.what, tt.code, err, tt.unreadable)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s %s: got error %v, want %q in it", tt.what, tt.code, err, want)
			}
		}
	}
}

// What fails for a moment, or breaks off, is tried again from where it stands.
func TestPassing(t *testing.T) {
	s := objectstest.New(t, "logs")
	body := strings.Repeat(`{"eventVersion":"1.08"}`+"\n", 1000)
	large := strings.Repeat(body, 400) // more than is read as a whole
	s.Put("logs", "a.json", body)
	s.Put("logs", "b.json", large)
	o := connect(t, s, objects.Config{}, "s3://logs")
	failing := 2
	var ranges []string
	s.Hook(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || failing == 0 {
			return false
		}
		failing--
		if failing > 0 {
			objectstest.Refuse(w, 503, "SlowDown")
			return true
		}
		return false
	})
	all := list(t, o)
	for i, want := range []string{body, large} {
		failing = 2
		got, err := read(t, o, all[i])
		if err != nil || got != want {
			t.Errorf("%s behind an error: %d bytes, %v", all[i].Name, len(got), err)
		}
		failing = 1
		s.Hook(func(w http.ResponseWriter, r *http.Request) bool {
			ranges = append(ranges, r.Header.Get("Range"))
			if failing == 0 {
				return false
			}
			failing--
			w.Header().Set("Content-Length", fmt.Sprint(len(want)))
			w.Header().Set("ETag", `"`+all[i].Tag+`"`)
			w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
			_, _ = io.WriteString(w, want[:1000])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
		got, err = read(t, o, all[i])
		if err != nil || got != want {
			t.Errorf("%s broken off: %d bytes, %v", all[i].Name, len(got), err)
		}
		if !slices.Contains(ranges, "bytes=1000-") {
			t.Errorf("%s: got ranges %q, want one from byte 1000 on", all[i].Name, ranges)
		}
		ranges = nil
		s.Hook(nil)
	}
}

// Objects that are expected are read before they are opened; in the order in which they are opened they are themselves.
func TestAhead(t *testing.T) {
	s := objectstest.New(t, "logs")
	for i := range 64 {
		s.Put("logs", fmt.Sprintf("%02d.json", i), fmt.Sprintf(`{"n":%d}`, i))
	}
	o := connect(t, s, objects.Config{}, "s3://logs")
	all := list(t, o)
	s.Latency = 30 * time.Millisecond
	run := func(expect bool) time.Duration {
		begun, before := time.Now(), s.Reads.Load()
		for i, object := range all {
			if expect {
				o.Expect(slices.Values(all[i:]))
			}
			if got, err := read(t, o, object); err != nil || got != fmt.Sprintf(`{"n":%d}`, i) {
				t.Fatalf("%s: got %q, %v", object.Name, got, err)
			}
			for deadline := time.Now().Add(time.Minute); expect && i == 0 && s.Reads.Load() < before+4; {
				if time.Now().After(deadline) {
					t.Fatal("nothing is read ahead")
				}
				<-time.After(time.Millisecond)
			}
		}
		return time.Since(begun)
	}
	alone, ahead := run(false), run(true)
	t.Logf("64 objects at 30 ms: %s one by one, %s read ahead", alone, ahead)
	if n := s.Reads.Load(); n != 2*64 {
		t.Errorf("%d reads, want each object once a run", n)
	}
}
