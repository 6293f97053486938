package formats_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trailvane/trailvane/pipeline/catalog"
	"github.com/trailvane/trailvane/pipeline/decode"
	"github.com/trailvane/trailvane/pipeline/decode/formats"
	"github.com/trailvane/trailvane/pipeline/ingest"
	"github.com/trailvane/trailvane/schemas"
)

var update = flag.Bool("update", false, "write the table in docs/formats.md")

// The public data sets that the table is made of.
var dataSets = []struct{ name, path string }{
	{"stratus-red-team", "stratus-red-team/detonation-logs/*.json"},
	{"invictus-aws_dataset", "invictus-aws_dataset/CloudTrail/*.json"},
	{"panther-analysis, rule tests", "panther-analysis/cloudtrail_rule_tests.jsonl"},
	{"panther-analysis, scenarios", "panther-analysis/*_cloudtrail.json"},
	{"otrf-security-datasets", "otrf-security-datasets/*.zip"},
	{"alibaba-actiontrail-samples", "alibaba-actiontrail-samples/*.jsonl"},
	{"insight-event-samples, CloudTrail", "insight-event-samples/aws_docs_*.json"},
	{"insight-event-samples, ActionTrail", "insight-event-samples/*.jsonl"},
}

// An outcome is what became of the records of a data set.
type outcome struct {
	formats                map[string]bool
	files, records, events int
	dropped                [4]int         // by category
	dead                   map[string]int // by reason
	noRegion               int
	reads, failures        int
	sensitive              [3]int // by class, those that count
	auth                   [5]int // by how the caller had signed in
	catalog                *catalog.Catalog
}

// TestRealData holds docs/formats.md to what really becomes of the public data sets.
func TestRealData(t *testing.T) {
	root := os.Getenv("TRAILVANE_DATA")
	if root == "" {
		t.Skip("SKIP: no TRAILVANE_DATA")
	}
	var table, judged, letters bytes.Buffer
	for _, set := range dataSets {
		files, err := filepath.Glob(filepath.Join(root, set.path))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", set.name, len(files), err)
		}
		o := outcome{formats: map[string]bool{}, dead: map[string]int{}, catalog: catalog.Default()}
		for _, file := range files {
			readFile(t, &o, file)
		}
		dead := 0
		for _, reason := range slices.Sorted(maps.Keys(o.dead)) {
			dead += o.dead[reason]
			fmt.Fprintf(&letters, "| %s | %d | %s |\n", set.name, o.dead[reason], reason)
		}
		fmt.Fprintf(&table, "| %s | %s | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d |\n", set.name,
			strings.Join(slices.Sorted(maps.Keys(o.formats)), ", "), o.files, o.records, o.events, o.reads, o.failures,
			o.dropped[schemas.Data], o.dropped[schemas.NetworkActivity], o.dropped[schemas.InsightCategory], dead, o.noRegion)
		if o.events > 0 {
			fmt.Fprintf(&judged, "| %s | %d | %d | %d | %d | %d | %d | %d | %d |\n", set.name,
				o.sensitive[schemas.PolicyClass], o.sensitive[schemas.PasswordClass], o.sensitive[schemas.TrailClass],
				o.auth[schemas.KeyAuth], o.auth[schemas.TemporaryAuth], o.auth[schemas.ConsoleAuth], o.auth[schemas.ConsoleMFAAuth],
				o.auth[schemas.UnknownAuth])
		}
		checkKnown(t, set.name, &o, dead)
	}
	generated := "| data set | format | files | records | events | reads | failed | data | network activity | insights " +
		"| dead letters | without region |\n" +
		"|---|---|---|---|---|---|---|---|---|---|---|---|\n" + table.String() +
		"\nHow many of the events are sensitive, by class, and how their callers had signed in:\n\n" +
		"| data set | policy | password | trail | key | temporary | console | console with MFA | not known |\n" +
		"|---|---|---|---|---|---|---|---|---|\n" + judged.String() +
		"\nThe dead letters, and why:\n\n| data set | records | reason |\n|---|---|---|\n" + letters.String()
	compare(t, "../../../docs/formats.md", generated)
}

// checkKnown demands the counts that the publishers' own descriptions give.
func checkKnown(t *testing.T, set string, o *outcome, dead int) {
	known := map[string][2]int{ // events, reads
		"stratus-red-team": {310, 261}, "invictus-aws_dataset": {2900, 2326}, "alibaba-actiontrail-samples": {6, 1},
	}
	records := map[string]int{
		"panther-analysis, rule tests": 464, "panther-analysis, scenarios": 16, "otrf-security-datasets": 103,
	}
	if want, ok := records[set]; ok && (o.records != want || o.records != o.events+dead+o.dropped[schemas.Data]+
		o.dropped[schemas.NetworkActivity]+o.dropped[schemas.InsightCategory]) {
		t.Errorf("%s: %d records, want %d, each an event, dropped or a dead letter", set, o.records, want)
	}
	if want, ok := known[set]; ok && (o.events != want[0] || o.reads != want[1] || dead > 0) {
		t.Errorf("%s: %d events, %d of them reads, %d dead letters, want %d, %d and none",
			set, o.events, o.reads, dead, want[0], want[1])
	}
}

func readFile(t *testing.T, o *outcome, file string) {
	o.files++
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(file, ".zip") {
		raw = unzip(t, raw)
	}
	var format formats.Format
	for i, record := range split(t, file, raw) {
		if i == 0 { // an object is in one format
			token, ok := formats.Detect(record)
			if !ok {
				t.Fatalf("%s: format not recognized: %.300s", file, record)
			}
			format, _ = formats.ByName(token)
			o.formats[token] = true
		}
		o.records++
		if err := format.Decode(record, o.count); err != nil {
			if !errors.Is(err, decode.ErrMalformed) {
				t.Errorf("%s: %v", file, err)
			}
			o.dead[strings.TrimPrefix(err.Error(), decode.ErrMalformed.Error()+": ")]++
		}
	}
}

// count counts an event.
func (o *outcome) count(e *schemas.Event) {
	if e.Category != schemas.Management {
		o.dropped[e.Category]++
		return
	}
	o.events++
	if !e.Write {
		o.reads++
	}
	if e.ErrorCode != "" {
		o.failures++
	}
	if e.Region == "" {
		o.noRegion++
	}
	o.auth[e.Auth]++
	if !e.Write {
		return
	}
	s := o.catalog.Classify(e.Service, e.Name, e.Request)
	for c := range o.sensitive {
		if s.Counts(schemas.Class(c)) {
			o.sensitive[c]++
		}
	}
}

// split returns the records of an object as ingest finds them.
func split(t *testing.T, file string, raw []byte) (records []string) {
	s := ingest.NewSplitter(bytes.NewReader(raw))
	for {
		item, err := s.Next()
		if errors.Is(err, io.EOF) {
			return records
		}
		if err != nil || item.Reason != "" {
			t.Fatalf("%s: %v, %s at byte %d", file, err, item.Reason, item.Offset)
		}
		records = append(records, string(item.Body))
	}
}

func unzip(t *testing.T, raw []byte) (content []byte) {
	z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	err = fs.WalkDir(z, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(z, path)
		content = append(content, b...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// compare holds the generated part of the page, which stands between two marks, to what it should be, or writes it.
func compare(t *testing.T, file, generated string) {
	const begin, end = "<!-- generated by TestRealData -->\n\n", "\n<!-- end -->"
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(page), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for the table", file)
	}
	if *update {
		if err := os.WriteFile(file, []byte(before+begin+generated+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(old, generated); diff != "" {
		t.Errorf("%s is out of date (go test -update writes it; -want +got):\n%s", file, diff)
	}
}
