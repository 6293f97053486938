package jetstream_test

import (
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/runner"
)

// What was stored since a time is what is behind Before, also where the oldest are gone.
func TestBefore(t *testing.T) {
	js := startJetStream(t)
	deploy(t, js)
	before := func(at time.Time) uint64 {
		t.Helper()
		seq, err := jetstream.Before(t.Context(), js, "EVENTS_0", at)
		if err != nil {
			t.Fatal(err)
		}
		return seq
	}
	if seq := before(time.Now()); seq != 0 {
		t.Errorf("%d of nothing", seq)
	}
	sink := newSink(t, js)
	for _, o := range outputs("events.0.eu-west-1", 1, 9) { // each at a time of its own
		put(t, sink, o)
	}
	if err := openStream(t, js, "EVENTS_0").Purge(t.Context(), natsjs.WithPurgeSequence(4)); err != nil {
		t.Fatal(err)
	}
	n := uint64(0)
	err := jetstream.ReadAll(t.Context(), js, "EVENTS_0", func(r runner.Record) error {
		if n++; before(r.Time) != r.Seq-1 || before(r.Time.Add(1)) != r.Seq {
			t.Errorf("%d and %d before %d and just behind it", before(r.Time), before(r.Time.Add(1)), r.Seq)
		}
		return nil
	})
	if err != nil || n != 6 {
		t.Errorf("%d records, %v", n, err)
	}
	if got := before(time.Time{}); got != 3 {
		t.Errorf("%d before all, want 3", got)
	}
	if got := before(time.Now().Add(time.Hour)); got != 9 {
		t.Errorf("%d before what is to come, want 9", got)
	}
}
