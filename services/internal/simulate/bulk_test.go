package simulate

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWriteBulk(t *testing.T) {
	o := BulkOptions{Seed: 1, Records: 5003, Accounts: 2, Regions: 3, PerFile: 300, Span: time.Hour}
	bulk := func() ([]record, int64) {
		dir := t.TempDir()
		size, err := WriteBulk(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		all := make(files)
		err = fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			body, err := os.ReadFile(filepath.Join(dir, name))
			all[name] = string(body)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return all.read(t), size
	}
	records, size := bulk()
	if len(records) != o.Records {
		t.Errorf("%d records, want %d", len(records), o.Records)
	}
	if mean := size / int64(o.Records); mean < 1100 || mean > 1300 {
		t.Errorf("a record has %d bytes on average, want about 1.2 KB", mean)
	}
	ids, trails := map[string]bool{}, map[string]int{}
	newest := map[string]string{}
	for _, r := range records {
		ids[r.EventID] = true
		trail := r.RecipientAccountID + " " + r.AwsRegion
		trails[trail]++
		if r.EventTime < newest[trail] {
			t.Fatalf("%s: event at %s follows one at %s", trail, r.EventTime, newest[trail])
		}
		newest[trail] = r.EventTime
		at, err := time.Parse(time.RFC3339, r.EventTime)
		if err != nil || at.Before(DefaultStart) || at.After(DefaultStart.Add(o.Span)) {
			t.Fatalf("event time %s: %v", r.EventTime, err)
		}
	}
	if len(ids) != o.Records {
		t.Errorf("%d distinct ids, want %d", len(ids), o.Records)
	}
	if len(trails) != 6 {
		t.Errorf("trails %v, want 6", trails)
	}
	again, _ := bulk()
	for i := range again {
		if again[i].raw != records[i].raw {
			t.Fatalf("record %d differs in a second run:\n%s", i, cmp.Diff(records[i].raw, again[i].raw))
		}
	}
}

func BenchmarkWriteBulk(b *testing.B) {
	o := BulkOptions{Seed: 1, Records: 100_000}
	b.ReportAllocs()
	for b.Loop() {
		size, err := WriteBulk(b.TempDir(), o)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(size)
	}
	b.ReportMetric(float64(o.Records)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
