package ingest

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trailvane/trailvane/pipeline/decode/formats"
	"github.com/trailvane/trailvane/pipeline/ingest"
	"github.com/trailvane/trailvane/pipeline/memory"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// read ingests files and returns the counters.
func read(t *testing.T, paths ...string) ingest.Stats {
	t.Helper()
	files, err := NewFiles(paths...)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := ingest.MakePlan(t.Context(), ingest.PlanConfig{
		Connector: files, Store: memory.NewBroker(nil).Store("ingest"), EventTime: formats.EventTime,
		End: &schemas.End{Close: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	source := ingest.NewSource(ingest.SourceConfig{Plan: plan, Connector: files, Detect: formats.Detect})
	processor := ingest.NewProcessor()
	for after := uint64(0); ; {
		records, err := source.Read(t.Context(), after)
		if err == io.EOF {
			return processor.Stats()
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			after = r.Seq
			err := processor.Apply(r, func(o runner.Output) {
				if o.Subject != schemas.DeadSubject("ingest") {
					return
				}
				var d schemas.DeadLetter
				if err := d.Decode(o.Body); err != nil {
					t.Fatal(err)
				}
				t.Errorf("dead letter: %s+%d %s: %s", d.Object, d.Offset, d.Reason, d.Error)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// The public data sets arrive whole: every record, no dead letter.
func TestRealData(t *testing.T) {
	data := os.Getenv("TRAILVANE_DATA")
	if data == "" {
		t.Skip("SKIP: no TRAILVANE_DATA")
	}
	for _, tt := range []struct {
		path    string
		objects int64
		records int64
		format  string
	}{
		{"stratus-red-team/detonation-logs", 35, 310, "cloudtrail"},
		{"invictus-aws_dataset/CloudTrail", 55, 2900, "cloudtrail"},
		{"alibaba-actiontrail-samples", 1, 6, "actiontrail"},
		{"panther-analysis/cloudtrail_rule_tests.jsonl", 1, 464, "cloudtrail"},
		{"panther-analysis/*_cloudtrail.json", 2, 16, "cloudtrail"},
	} {
		t.Run(tt.path, func(t *testing.T) {
			stats := read(t, filepath.Join(data, tt.path))
			if stats.Records != tt.records || stats.Objects != tt.objects {
				t.Errorf("%d records in %d objects, want %d in %d", stats.Records, stats.Objects, tt.records, tt.objects)
			}
			if diff := cmp.Diff(map[string]int64{tt.format: tt.objects}, stats.Formats); diff != "" {
				t.Errorf("formats (-want +got):\n%s", diff)
			}
		})
	}
}
