package crash

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/trailvane/trailvane/pipeline/detect/all"
	"github.com/trailvane/trailvane/pipeline/runner/runnertest"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/test/crash/replay"
	"pgregory.net/rapid"
)

// insights runs raw records through the pipeline in a way and returns the insight events by subject.
func insights(records []runnertest.Raw, w replay.Way) (map[string]string, error) {
	w.Lanes = lanes
	b, err := replay.Run(context.Background(), records, w)
	if err != nil {
		return nil, err
	}
	insights := make(map[string]string)
	for _, r := range b.Records("INSIGHTS") {
		insights[r.Subject] = string(r.Body)
	}
	return insights, nil
}

// undisturbed is what every other way is compared with.
var undisturbed = replay.Way{Partitions: 1, CommitBytes: 1 << 30}

// Each type must begin and end several times in each account, or the tests of this package would be blind to its detector.
func TestEveryTypeIsFound(t *testing.T) {
	type what struct {
		kind    schemas.InsightType
		account string
		state   schemas.State
	}
	found, err := insights(raw(), undisturbed)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[what]int)
	for subject, body := range found {
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
	want, err := insights(records, undisturbed)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		got, err := insights(records, replay.Way{
			Partitions:  rapid.IntRange(1, 32).Draw(t, "partitions"),
			CommitBytes: rapid.SampledFrom([]int{1, 1000, 20_000, 100_000, 1 << 30}).Draw(t, "bytes between commits"),
			Restarts:    rapid.IntRange(0, 4).Draw(t, "restarts"),
		})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("insight events (-want +got):\n%s", d)
		}
	})
}
