package crash

import (
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/pipeline/runner/runnertest"
	"github.com/trailvane/trailvane/schemas"
)

// A host's clock decides when to commit, and the broker's what a record's stored time is. The first may jump as it likes.
func TestTheClockOfAHostJumps(t *testing.T) {
	records := raw()
	want, err := replay(records, undisturbed)
	if err != nil {
		t.Fatal(err)
	}
	got, err := replay(records, way{partitions: 2, commitBytes: 20_000, restarts: 2, wrong: func(c *runner.Config) {
		calls := 0
		c.Now = func() time.Time { // an hour forth and back, every few looks
			calls++
			return time.Now().Add(time.Duration(calls/3%2) * time.Hour)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("insight events and metrics (-want +got):\n%s", d)
	}
}

// The broker's clock goes an hour ahead: what it stores seems to be old, which it may be. It goes back an hour: events of that
// hour seem to come from the future, and become dead letters, from which they can be replayed when the clock is right.
func TestTheClockOfTheBrokerJumps(t *testing.T) {
	records := raw()
	want, err := replay(records, undisturbed)
	if err != nil {
		t.Fatal(err)
	}
	half := len(records) / 2

	ahead := raw()
	for i := range ahead[half:] {
		ahead[half+i].Time = ahead[half+i].Time.Add(time.Hour)
	}
	got, err := replay(ahead, undisturbed)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("ahead by an hour: insight events (-want +got):\n%s", d)
	}

	back := raw()
	for i := range back[half:] {
		back[half+i].Time = back[half+i].Time.Add(-time.Hour)
	}
	letters, err := deadLetters(back, undisturbed)
	if err != nil {
		t.Fatal(err)
	}
	before, err := deadLetters(records, undisturbed)
	if err != nil {
		t.Fatal(err)
	}
	future := letters["future"]
	delete(letters, "future")
	delete(before, "future")
	if future == 0 || !maps.Equal(letters, before) {
		t.Errorf("back by an hour: dead letters %v and %d of the future, without the jump %v", letters, future, before)
	}
}

// deadLetters replays and counts the dead letters by reason.
func deadLetters(records []runnertest.Raw, w way) (map[string]int, error) {
	b, err := play(records, w)
	if err != nil {
		return nil, err
	}
	reasons := make(map[string]int)
	for _, r := range b.Records("DEAD") {
		var d schemas.DeadLetter
		if err := d.Decode(r.Body); err != nil {
			return nil, err
		}
		reasons[d.Reason]++
	}
	return reasons, nil
}
