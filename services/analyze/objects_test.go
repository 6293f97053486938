package analyze_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/analyze"
	"github.com/trailvane/trailvane/services/ingest/objects"
	"github.com/trailvane/trailvane/services/ingest/objects/objectstest"
	"github.com/trailvane/trailvane/services/internal/simulate"
)

// Whether logs are in a folder, in buckets of two stores, or here and there: the insights are the same, byte for byte, and so
// are the counts.
func TestObjects(t *testing.T) {
	dir := t.TempDir()
	if _, err := simulate.Write(dir, simulate.Options{Days: 3}); err != nil {
		t.Fatal(err)
	}
	const aws, aliyun = "tamarisk-cloudtrail", "tamarisk-actiontrail-1234567890123456"
	store := objectstest.New(t, aws, aliyun)
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		body, err := os.ReadFile(path)
		bucket, key, _ := strings.Cut(filepath.ToSlash(name), "/")
		store.Put(bucket, key, string(body))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	run := func(paths ...string) *analyze.Result {
		t.Helper()
		r, err := analyze.Run(t.Context(), analyze.Options{
			Paths: paths, Partitions: 2, Settings: schemas.DefaultSettings(), Objects: objects.Config{Endpoint: store.URL},
		})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	want := run(dir)
	if len(want.Insights) < 2 {
		t.Fatalf("only %d insights", len(want.Insights))
	}
	for name, paths := range map[string][]string{
		"stores":               {"s3://" + aws + "/AWSLogs", "oss://" + aliyun + "/"},
		"a store and a folder": {filepath.Join(dir, aliyun), "s3://" + aws},
	} {
		got := run(paths...)
		if diff := cmp.Diff(want.Insights, got.Insights); diff != "" {
			t.Errorf("%s: insights (-folder +store):\n%.2000s", name, diff)
		}
		if diff := cmp.Diff(want.Ingest, got.Ingest); diff != "" {
			t.Errorf("%s: counts (-folder +store):\n%s", name, diff)
		}
	}
}
