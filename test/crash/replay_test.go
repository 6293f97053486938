package crash

import (
	"context"
	"fmt"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/trailvane/trailvane/pipeline/detect/all"
	"github.com/trailvane/trailvane/pipeline/memory"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/pipeline/runner/runnertest"
	"github.com/trailvane/trailvane/schemas"
	whole "github.com/trailvane/trailvane/test/crash/replay"
	"pgregory.net/rapid"
)

// A way to run the pipeline, of which nothing may be seen in what comes out.
type way struct {
	partitions  int
	commitBytes int
	restarts    int // of each stage: it is stopped, and its position and state come back from the commit
	wrong       func(*runner.Config)
}

// A result is what comes out: insight events by subject, and the parts of hours by subject and their place in it.
type result struct{ Insights, Metrics map[string]string }

// replay runs raw records through the pipeline and returns what comes out.
func replay(records []runnertest.Raw, w way) (result, error) {
	out := result{Insights: make(map[string]string), Metrics: make(map[string]string)}
	b, err := play(records, w)
	if err != nil {
		return out, err
	}
	for _, r := range b.Records("INSIGHTS") {
		out.Insights[r.Subject] = string(r.Body)
	}
	// Parts of hours have no subject of their own: a reader drops repeats by their numbers.
	seen, parts := make(map[string]schemas.Number), make(map[string]int)
	for _, r := range b.Records("METRICS") {
		if n, ok := seen[r.Producer]; ok && !n.Less(r.Number) {
			continue
		}
		seen[r.Producer] = r.Number
		out.Metrics[fmt.Sprintf("%s #%d", r.Subject, parts[r.Subject])] = string(r.Body)
		parts[r.Subject]++
	}
	return out, nil
}

// play runs raw records through the pipeline, stage after stage, and returns the broker that holds everything.
func play(records []runnertest.Raw, w way) (*memory.Broker, error) {
	return whole.Run(context.Background(), records, whole.Way{
		Lanes: lanes, Partitions: w.partitions, CommitBytes: w.commitBytes, Restarts: w.restarts, Wrong: w.wrong,
	})
}

// undisturbed is what every other way is compared with.
var undisturbed = way{partitions: 1, commitBytes: 1 << 30}

// Each type must begin and end several times in each account, or the tests of this package would be blind to its detector.
func TestEveryTypeIsFound(t *testing.T) {
	type what struct {
		kind    schemas.InsightType
		account string
		state   schemas.State
	}
	out, err := replay(raw(), undisturbed)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[what]int)
	for subject, body := range out.Insights {
		var i schemas.Insight
		if err := i.Decode([]byte(body)); err != nil {
			t.Fatalf("%s: %v", subject, err)
		}
		got[what{i.Details.Type, i.AccountID, i.Details.State}]++
	}
	for kind := range all.Detectors() {
		for _, c := range clouds {
			started, ended := got[what{kind, c.account, schemas.StartState}], got[what{kind, c.account, schemas.EndState}]
			if started < incidents || ended != started {
				t.Errorf("%s begins %d times in account %s and ends %d times, want at least %d",
					kind, started, c.account, ended, incidents)
			}
		}
	}
}

// METRICS tells each call as often as the records do, and late ones are among them. Repeats here are hours late, so that nobody
// remembers them.
func TestMetricsTellEveryCall(t *testing.T) {
	records := raw()
	out, err := replay(records, undisturbed)
	if err != nil {
		t.Fatal(err)
	}
	want, got := make(map[string]uint64), make(map[string]uint64)
	named := regexp.MustCompile(`"(?:eventSource|serviceName)":"([^"]*)","eventName":"([^"]*)"`)
	for _, r := range records {
		if s, err := schemas.ParseSubject(r.Subject); err != nil || s.Control != "" {
			continue
		}
		var c schemas.Chunk
		if err := c.Decode(r.Body); err != nil {
			t.Fatal(err)
		}
		for _, record := range c.Records {
			if m := named.FindSubmatch(record.Body); m != nil {
				want[string(m[1])+" "+string(m[2])]++
			}
		}
	}
	late := uint64(0)
	for subject, body := range out.Metrics {
		var m schemas.Metrics
		if err := m.Decode([]byte(body)); err != nil {
			t.Fatalf("%s: %v", subject, err)
		}
		for _, s := range m.Series {
			for _, c := range s.Minutes {
				got[m.Strings[s.Service]+" "+m.Strings[s.Name]] += uint64(c.Count)
			}
		}
		late += m.Late
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("calls (-records +metrics):\n%s", d)
	}
	if late == 0 {
		t.Error("nothing is late, so that nothing is shown of it")
	}
}

// The same RAW gives the same bytes of insight events and metrics with any number of partitions, any commit points and any restarts.
func TestReplayGivesTheSameBytes(t *testing.T) {
	records := raw()
	want, err := replay(records, undisturbed)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		got, err := replay(records, way{
			partitions:  rapid.IntRange(1, 32).Draw(t, "partitions"),
			commitBytes: rapid.SampledFrom([]int{1, 1000, 20_000, 100_000, 1 << 30}).Draw(t, "bytes between commits"),
			restarts:    rapid.IntRange(0, 4).Draw(t, "restarts"),
		})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("insight events and metrics (-want +got):\n%s", d)
		}
	})
}
