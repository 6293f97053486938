package crash

import (
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// A program with other models takes over in the middle: what was open ends as ModelChanged, every Start has its End, and
// after each account was learned again there are insights again. (Not of all types: what goes on while an account is learned
// counts as normal, and here that is one incident after the other.)
func TestOtherModelsBeginAnew(t *testing.T) {
	before, err := replay(raw(), undisturbed)
	if err != nil {
		t.Fatal(err)
	}
	changed, again := 0, make(map[schemas.InsightType]int)
	const restarts = 20
	for from := 8; from <= restarts; from += 3 { // so that it happens at many places
		out, err := replay(raw(), way{partitions: 2, commitBytes: 1 << 30, restarts: restarts, wrong: otherModels(from)})
		if err != nil {
			t.Fatal(err)
		}
		open := make(map[string]int)
		for subject, body := range out.Insights {
			var i schemas.Insight
			if err := i.Decode([]byte(body)); err != nil {
				t.Fatalf("%s: %v", subject, err)
			}
			if i.Details.State == schemas.StartState {
				open[i.SharedEventID]++
				if before.Insights[subject] == "" {
					again[i.Details.Type]++
				}
				continue
			}
			open[i.SharedEventID]--
			if i.Details.Trailvane.Why.EndReason == schemas.ModelChanged {
				changed++
			}
		}
		for id, n := range open {
			if n != 0 {
				t.Errorf("from run %d on, insight %s: %d more Starts than Ends", from, id, n)
			}
		}
	}
	if len(again) < 4 || changed == 0 {
		t.Errorf("found again: %v; %d ended because the model changed", again, changed)
	}
}

// otherModels lets the detectors have other models from one run on.
func otherModels(from int) func(*runner.Config) {
	return func(c *runner.Config) {
		if !strings.HasPrefix(c.Stage, "detector-") {
			return
		}
		c.Anew, c.Log = true, slog.New(slog.DiscardHandler)
		if run, err := strconv.Atoi(c.Instance); err == nil && run >= from {
			c.Constants = "the next model"
		}
	}
}
