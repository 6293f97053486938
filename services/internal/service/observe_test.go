package service

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/services/internal/telemetry"
)

type acceptAll struct{}

func (acceptAll) Put(_ context.Context, outputs ...runner.Output) (int, error) {
	return len(outputs), nil
}

// What processors count, and the findings that were stored, count once they are committed, in this process only, and never fall.
func TestObserverCountsWhatIsCommitted(t *testing.T) {
	tele, err := telemetry.Start(t.Context(), "one", "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer tele.Shutdown(t.Context())
	o := newObserver(tele, &Deployment{})
	begin := func() (*run, runner.Sink) {
		r := o.open(&run{place: place{"toy", "0"}, stats: new(runner.Stats), conflicts: func() uint64 { return 0 }})
		r.loaded()
		return r, countingSink{acceptAll{}, r}
	}
	events := func(n float64) Tally {
		return Tally{Counts: []Count{{Metric: telemetry.Events, N: n}}}
	}
	put := func(s runner.Sink, subjects ...string) {
		t.Helper()
		for _, subject := range subjects {
			if _, err := s.Put(t.Context(), runner.Output{Subject: subject}); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := func(what string, want map[series]float64) {
		t.Helper()
		if diff := cmp.Diff(want, o.counts, cmp.AllowUnexported(series{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	all := series{telemetry.Events, [2]string{}}
	finding := series{telemetry.Findings, [2]string{"IpInsight", "eu-central-1"}}
	const subject = "findings.0.eu-central-1.IpInsight"

	r, sink := begin()
	r.snapshot(events(100))(time.Second)
	want("claimed: others have counted those", map[series]float64{all: 0})
	put(sink, subject, "windows.0.eu-central-1.counts", subject)
	commit := r.snapshot(events(130))
	put(sink, subject) // while the commit is in flight
	want("in flight", map[series]float64{all: 0})
	commit(time.Second)
	want("committed", map[series]float64{all: 30, finding: 2})
	r.snapshot(events(150)) // fails
	r.loaded()
	r.snapshot(events(130))(time.Second)
	want("loaded again", map[series]float64{all: 30, finding: 2})
	put(sink, subject)
	r.snapshot(events(150))(time.Second)
	want("done again", map[series]float64{all: 50, finding: 3})
	r.stats.Records.Add(7)
	r.close()

	r, _ = begin() // it comes back from another instance
	r.snapshot(events(500))(time.Second)
	want("back", map[series]float64{all: 50, finding: 3})
	r.snapshot(events(501))(time.Second)
	want("once more", map[series]float64{all: 51, finding: 3})
	r.stats.Records.Add(2)
	r.close()
	if got := o.past[place{"toy", "0"}][0]; got != 9 {
		t.Errorf("%d records, want 9", got)
	}
}
