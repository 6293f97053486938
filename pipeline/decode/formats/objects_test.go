package formats_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/trailvane/trailvane/pipeline/decode/formats"
	"github.com/trailvane/trailvane/schemas"
)

// Whole objects in every wrapping that people have, through the splitter and the decoder of the format that is found in them.
// Beside each stands what becomes of it; go test -update writes those.
func TestObjects(t *testing.T) {
	files, err := filepath.Glob("testdata/objects/*.json*")
	if err != nil || len(files) < 11 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for _, record := range split(t, file, raw) {
			token, ok := formats.Detect(record)
			if !ok || !strings.HasPrefix(filepath.Base(file), token+"_") {
				t.Errorf("%s is taken for %q, %v", file, token, ok)
				continue
			}
			format, _ := formats.ByName(token)
			err := format.Decode(record, func(e *schemas.Event) {
				if at, ok := formats.EventTime(record); !ok || at != e.Time {
					t.Errorf("%s: the time that orders objects is %d, %v, that of the event %d", file, at, ok, e.Time)
				}
				fmt.Fprintln(&got, time.Unix(e.Time, 0).UTC().Format(time.RFC3339), e.ID, e.Account, e.Region, e.Service, e.Name,
					"by", e.Principal, "with", e.Auth, "request", e.Request)
			})
			if err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
		golden := strings.TrimSuffix(file, filepath.Ext(file)) + ".golden"
		if *update {
			if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatalf("%v (go test -update writes it)", err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("%s differs (-want +got):\n%s", golden, diff)
		}
	}
}
