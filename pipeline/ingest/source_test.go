package ingest

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trailvane/trailvane/pipeline/memory"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// plan makes a plan as analyze does.
func plan(t testing.TB, c Connector, store runner.Store) *Plan {
	t.Helper()
	settings := schemas.DefaultSettings()
	p, err := MakePlan(t.Context(), PlanConfig{
		Connector: c, Store: store, Settings: &settings, End: &schemas.End{}, EventTime: eventTime, Remember: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func source(p *Plan, c Connector) *Source {
	return NewSource(SourceConfig{Plan: p, Connector: c, Detect: detect})
}

// readAll returns what is behind a position, and checks that nothing is missing in between.
func readAll(t testing.TB, s *Source, after uint64) []runner.Record {
	t.Helper()
	var all []runner.Record
	for {
		records, err := s.Read(t.Context(), after)
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if r.Prev != after || r.Seq <= after {
				t.Fatalf("record %x follows %x, want %x", r.Seq, r.Prev, after)
			}
			after = r.Seq
			all = append(all, r)
		}
	}
}

// text writes records as lines for people.
func text(t testing.TB, records []runner.Record) []string {
	t.Helper()
	var lines []string
	for _, r := range records {
		line := fmt.Sprintf("%d.%d %s", r.Seq>>offsetBits, r.Seq&lastOffset, r.Subject)
		switch {
		case r.Subject == schemas.DeadSubject("ingest"):
			var d schemas.DeadLetter
			if err := d.Decode(r.Body); err != nil {
				t.Fatal(err)
			}
			line += fmt.Sprintf(" %s+%d:%d %s %q", d.Object, d.Offset, d.Size, d.Reason, d.Raw)
		case r.Subject == reportSubject:
			line += " " + string(r.Body)
		case strings.HasSuffix(r.Subject, "cloudtrail"):
			var c schemas.Chunk
			if err := c.Decode(r.Body); err != nil {
				t.Fatal(err)
			}
			line += fmt.Sprintf(" %s (%s)", c.Object, c.Account)
			for _, raw := range c.Records {
				line += fmt.Sprintf(" %d:%s", raw.Offset, raw.Body)
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// A forced format is that of all objects, also of those that look like no log.
func TestForcedFormat(t *testing.T) {
	files := objects{"1": `{"x":1}`, "2": "oops", "3": ""}
	s := NewSource(SourceConfig{
		Plan: plan(t, files, memory.NewBroker(nil).Store("ingest")), Connector: files, Format: "cloudtrail", Detect: detect,
	})
	got := text(t, readAll(t, s, 0))
	want := []string{
		"1.1099511627775 raw.0.settings",
		`2.7 raw.0.cloudtrail 1 () 0:{"x":1}`,
		`2.1099511627775 ingest.report {"Object":"1","Format":"cloudtrail","Records":1,"Bytes":7,"Stored":7}`,
		`3.4 dead.ingest 2+0:4 malformed "oops"`,
		`3.1099511627775 ingest.report {"Object":"2","Format":"cloudtrail","Stored":4,"Dead":{"malformed":1}}`,
		`4.1099511627775 ingest.report {"Object":"3","Skip":"empty","Format":"cloudtrail"}`,
		"5.1099511627775 raw.0.end",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// A format that the path names serves an object that does not tell, and digest and insight files are not even opened.
func TestFormatOfThePath(t *testing.T) {
	const path = "AWSLogs/111122223333/CloudTrail"
	files := objects{path + "/r/2024/05/02/x": `{"x":1}`, path + "-Digest/r/2024/05/02/x": "?", path + "-Insight/r/2024/05/02/x": "?"}
	p := plan(t, files, memory.NewBroker(nil).Store("ingest"))
	delete(files, path+"-Digest/r/2024/05/02/x")
	delete(files, path+"-Insight/r/2024/05/02/x")
	got := text(t, readAll(t, source(p, files), 0))
	want := []string{
		"1.1099511627775 raw.0.settings",
		`2.1099511627775 ingest.report {"Object":"` + path + `-Digest/r/2024/05/02/x","Skip":"digest"}`,
		`3.1099511627775 ingest.report {"Object":"` + path + `-Insight/r/2024/05/02/x","Skip":"insight"}`,
		`4.7 raw.0.cloudtrail ` + path + `/r/2024/05/02/x (111122223333) 0:{"x":1}`,
		`4.1099511627775 ingest.report {"Object":"` + path +
			`/r/2024/05/02/x","Format":"cloudtrail","Records":1,"Bytes":7,"Stored":7}`,
		"5.1099511627775 raw.0.end",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// Progress ends where it should, also when a part was read before and not everything is read.
func TestProgress(t *testing.T) {
	files := mixed(t)
	p := plan(t, files, memory.NewBroker(nil).Store("ingest"))
	all := readAll(t, source(p, files), 0)
	for _, after := range []uint64{0, all[3].Seq, all[len(all)/2].Seq, all[len(all)-1].Seq} {
		var progress Progress
		s := NewSource(SourceConfig{Plan: p, Connector: files, Detect: detect, Progress: &progress})
		readAll(t, s, after)
		objects, allObjects := progress.Objects()
		bytes, allBytes := progress.Bytes()
		if objects != allObjects || allObjects != int64(len(files)) || bytes != allBytes || allBytes == 0 {
			t.Errorf("after %x: %d of %d objects, %d of %d bytes", after, objects, allObjects, bytes, allBytes)
		}
	}
}

// One garbage line after the other does not flood the dead letters; all are counted.
func TestDeadLettersAreBounded(t *testing.T) {
	files := objects{"1": lines(1, 1) + strings.Repeat("oops\n", 3*maxDead) + lines(2, 1)}
	p := plan(t, files, memory.NewBroker(nil).Store("ingest"))
	letters, stats := 0, NewProcessor()
	for _, r := range readAll(t, source(p, files), 0) {
		if r.Subject == schemas.DeadSubject("ingest") {
			letters++
		}
		if err := stats.Apply(r, func(runner.Output) {}); err != nil {
			t.Fatal(err)
		}
	}
	if letters != maxDead || stats.Stats().Dead[Malformed] != 3*maxDead || stats.Stats().Records != 2 {
		t.Errorf("%d letters, counted %+v", letters, stats.Stats())
	}
}

func TestSource(t *testing.T) {
	files := objects{
		"b/new.json":  `{"Records":[{"eventTime":200},{"eventTime":201}]}`,
		"a/old.jsonl": "{\"eventTime\":100}\n{\"eventTime\n{\"eventTime\":101}",
		"README.md":   "# No log\n\nBut text.\n",
		"empty":       "",
	}
	s := source(plan(t, files, memory.NewBroker(nil).Store("ingest")), files)
	got := text(t, readAll(t, s, 0))
	want := []string{
		"1.1099511627775 raw.0.settings",
		`2.17 raw.0.cloudtrail a/old.jsonl () 0:{"eventTime":100}`,
		`2.29 dead.ingest a/old.jsonl+18:11 malformed "{\"eventTime"`,
		`2.47 raw.0.cloudtrail a/old.jsonl () 30:{"eventTime":101}`,
		`2.1099511627775 ingest.report {"Object":"a/old.jsonl","Format":"cloudtrail","Records":2,"Bytes":34,"Stored":47,"Dead":{"malformed":1}}`,
		`3.47 raw.0.cloudtrail b/new.json () 12:{"eventTime":200} 30:{"eventTime":201}`,
		`3.1099511627775 ingest.report {"Object":"b/new.json","Format":"cloudtrail","Records":2,"Bytes":34,"Stored":49}`,
		`4.1099511627775 ingest.report {"Object":"README.md","Skip":"not_a_log","Stored":20}`,
		`5.1099511627775 ingest.report {"Object":"empty","Skip":"empty"}`,
		"6.1099511627775 raw.0.end",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// Where chunks are cut is part of the numbers that readers compare: a store that was begun by one version goes on with the
// next only if both cut alike. Whoever changes this changes the stage's constants.
func TestWhereChunksAreCut(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"Records":[`)
	for i := range 700 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"eventID":"%04[1]d","eventTime":%[1]d,"pad":"%[2]s"}`, i, strings.Repeat("x", 1000))
	}
	b.WriteString(`]}`)
	c := objects{"a.json": b.String()}
	p := plan(t, c, memory.NewBroker(time.Now).Store("ingest"))
	var cuts []int
	for _, r := range readAll(t, source(p, c), 0) {
		var chunk schemas.Chunk
		if strings.HasPrefix(r.Subject, "raw.") && chunk.Decode(r.Body) == nil {
			cuts = append(cuts, len(chunk.Records))
		}
	}
	if want := []int{247, 247, 206}; !slices.Equal(cuts, want) {
		t.Errorf("records of the chunks: %v, want %v", cuts, want)
	}
}
