package crash

import (
	"context"
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

// replay runs raw records through the pipeline and returns the insight events by subject.
func replay(records []runnertest.Raw, w way) (map[string]string, error) {
	b, err := play(records, w)
	if err != nil {
		return nil, err
	}
	insights := make(map[string]string)
	for _, r := range b.Records("INSIGHTS") {
		insights[r.Subject] = string(r.Body)
	}
	return insights, nil
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
	insights, err := replay(raw(), undisturbed)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[what]int)
	for subject, body := range insights {
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

// The same RAW gives the same insight bytes with any number of partitions, any commit points and any restarts.
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
			t.Fatalf("insight events (-want +got):\n%s", d)
		}
	})
}
