package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/trailvane/trailvane/pipeline/memory"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// mixed are objects of every kind, some with several chunks.
func mixed(t testing.TB) objects {
	long := fmt.Sprintf(`{"eventTime":7,"x":"%s"}`, strings.Repeat("y", 500<<10))
	return objects{
		"1.json.gz":  compress(t, recordsOf(700)),
		"2.json":     recordsOf(500),
		"3.jsonl":    lines(1, 3) + "{oops\n" + lines(4, 2) + long + "\n" + lines(8, 1),
		"4.json.gz":  compress(t, recordsOf(300))[:4000],
		"5.txt":      "no log",
		"6":          "",
		"7.json":     `[{"eventTime":10},{"eventTime":11`,
		"8_too.json": `[{"eventTime":10},{"eventTime":11,"x":"` + strings.Repeat("z", 1<<20) + `"},{"eventTime":12}]`,
	}
}

// After any record, a new source goes on with the same ones, byte for byte.
func TestRestartAnywhere(t *testing.T) {
	files := mixed(t)
	p := plan(t, files, memory.NewBroker(nil).Store("ingest"))
	all := readAll(t, source(p, files), 0)
	if len(all) < 25 {
		t.Fatalf("only %d records", len(all))
	}
	for i, r := range all[:len(all)-1] {
		if diff := cmp.Diff(all[i+1:], readAll(t, source(p, files), r.Seq), cmp.Comparer(bytes.Equal)); diff != "" {
			t.Errorf("after record %d, %x (-want +got):\n%s", i, r.Seq, diff)
		}
	}
	// One source that jumps about.
	s := source(p, files)
	rapid.Check(t, func(t *rapid.T) {
		i := rapid.IntRange(0, len(all)-2).Draw(t, "position")
		for range rapid.IntRange(1, 3).Draw(t, "reads") {
			got, err := s.Read(t.Context(), all[i].Seq)
			if err == io.EOF && i == len(all)-1 {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for j, r := range got {
				if want := all[i+1+j]; r.Seq != want.Seq || r.Prev != want.Prev || !bytes.Equal(r.Body, want.Body) {
					t.Fatalf("record %d behind %d: %x after %x, want %x after %x", j, i, r.Seq, r.Prev, want.Seq, want.Prev)
				}
			}
			i += len(got)
		}
	})
}

// Where an object has changed before the position, what is left of it is a dead letter.
func TestRestartInChangedObject(t *testing.T) {
	files := objects{"1": recordsOf(1000), "2": lines(1<<40, 1)}
	p := plan(t, files, memory.NewBroker(nil).Store("ingest"))
	all := readAll(t, source(p, files), 0)
	files["1"] = lines(1, 100_000)[:len(files["1"])]
	got := text(t, readAll(t, source(p, files), all[2].Seq))
	want := []string{
		`2.1099511627774 dead.ingest 1+`, `2.1099511627775 ingest.report`, `3.27 raw.0.cloudtrail`,
		`3.1099511627775 ingest.report`, `4.1099511627775 raw.0.end`,
	}
	if len(got) != len(want) {
		t.Fatalf("got %q", got)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("record %d: got %.100s, want %s", i, got[i], want[i])
		}
	}
}

// The stage runs in the runner's loop; stopped after any commit and started again, it puts each output once and counts
// each object once.
func TestRun(t *testing.T) {
	files := mixed(t)
	want, stats := run(t, files, 0)
	if stats.Objects != 6 || stats.Skipped[Empty] != 1 || stats.Skipped[NotALog] != 1 || stats.Records == 0 {
		t.Errorf("stats %+v", stats)
	}
	if diff := cmp.Diff([]string{"5.txt"}, stats.NotLogs); diff != "" {
		t.Errorf("names of what is no log: %s", diff)
	}
	for every := 1; every < 4; every++ {
		got, again := run(t, files, every)
		if diff := cmp.Diff(want, got, cmp.Comparer(bytes.Equal)); diff != "" {
			t.Errorf("stopped after %d reads (-want +got):\n%s", every, diff)
		}
		if diff := cmp.Diff(stats, again); diff != "" {
			t.Errorf("counted when stopped after %d reads (-want +got):\n%s", every, diff)
		}
	}
}

var errStop = errors.New("stop")

// run runs the stage, stopping it after so many reads each time, and returns the chunks and what was counted.
func run(t *testing.T, files objects, every int) ([]string, Stats) {
	t.Helper()
	broker := memory.NewBroker(func() time.Time { return time.Unix(0, 0) })
	var processor *Processor
	if every == 0 {
		every = -1
	}
	for life := 0; ; life++ {
		if life > 1000 {
			t.Fatal("does not get on")
		}
		p := plan(t, files, broker.Store("ingest"))
		s := &stopping{Source: source(p, files), reads: every + 1}
		err := runner.Run(t.Context(), runner.Config{
			Stage: "ingest", Partition: "0", Instance: fmt.Sprint(life), Source: s,
			Sink: broker.Sink(), Store: broker.Store("ingest"), CommitBytes: 1,
			New: func(uint64) runner.Processor { processor = NewProcessor(); return processor },
		})
		if err == nil {
			break
		}
		if !errors.Is(err, runner.ErrGap) {
			t.Fatal(err)
		}
	}
	in := broker.Source("RAW_0")
	in.Drain()
	var got []string
	seen := make(map[schemas.Number]string)
	var last schemas.Number
	for after := uint64(0); ; {
		records, err := in.Read(t.Context(), after)
		if err == io.EOF {
			return got, processor.Stats()
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			after = r.Seq
			line := fmt.Sprintf("%d.%d %s %x", r.Number.Seq, r.Number.Index, r.Subject, r.Body)
			if !last.Less(r.Number) { // as readers drop what they have had
				if seen[r.Number] != line {
					t.Fatalf("repeated as %.200s, was %.200s", line, seen[r.Number])
				}
				continue
			}
			last, seen[r.Number] = r.Number, line
			got = append(got, line)
		}
	}
}

// A stopping source stops its reader without a commit, by the one error that is not passing.
type stopping struct {
	*Source
	reads int
}

func (s *stopping) Read(ctx context.Context, after uint64) ([]runner.Record, error) {
	if s.reads == 1 {
		return nil, fmt.Errorf("%w: %w", runner.ErrGap, errStop)
	}
	s.reads--
	records, err := s.Source.Read(ctx, after)
	return records[:min(len(records), 3)], err
}

// A source returns errors of opening that are passing, and goes on afterwards.
func TestOpenErrorIsPassing(t *testing.T) {
	files := objects{"1": lines(1, 2), "2": lines(3, 2)}
	p := plan(t, files, memory.NewBroker(nil).Store("ingest"))
	want := readAll(t, source(p, files), 0)
	flaky := &flaky{objects: files}
	s := source(p, flaky)
	var got []runner.Record
	after, errs := uint64(0), 0
	for {
		records, err := s.Read(t.Context(), after)
		if err == io.EOF {
			break
		}
		if errors.Is(err, errStop) {
			errs++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, records...)
		after = records[len(records)-1].Seq
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(bytes.Equal)); diff != "" || errs == 0 {
		t.Errorf("after %d errors (-want +got):\n%s", errs, diff)
	}
}

// flaky opens an object at every third attempt.
type flaky struct {
	objects
	n int
}

func (f *flaky) Open(ctx context.Context, o Object) (io.ReadCloser, error) {
	if f.n++; f.n%3 != 0 {
		return nil, errStop
	}
	return f.objects.Open(ctx, o)
}

// What was read whole is not opened again.
func TestRestartOpensNothingTwice(t *testing.T) {
	files := objects{"1": lines(1, 2), "2": lines(3, 2)}
	p := plan(t, files, memory.NewBroker(nil).Store("ingest"))
	all := readAll(t, source(p, files), 0)
	if all[2].Subject != reportSubject {
		t.Fatalf("record 2 is %s", all[2].Subject)
	}
	counting := &flaky{objects: files, n: 2} // opens once
	if _, err := source(p, counting).Read(t.Context(), all[2].Seq); err != nil || counting.n != 3 {
		t.Errorf("opened %d objects, error %v", counting.n-2, err)
	}
}
