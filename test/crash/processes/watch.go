//go:build linux

package main

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
)

// pollEvery is how often checkpoints are looked at. A take-over seems longer by so much, at most: the time at which a commit is
// stored is no measure, because a leader that has lost its majority gives it to what is stored only later.
const pollEvery = 100 * time.Millisecond

// slow is how long a take-over may take that nobody has to look at: twice what a single fault may need.
const slow = 10 * time.Second

// An owned is one partition of one stage.
type owned struct{ stage, partition string }

// A takeover is a partition that has lost its owner, and finds another.
type takeover struct {
	owned
	how   kind
	epoch uint64 // of the owner before
	since time.Time
	by    *span // the fault
	took  time.Duration
	alone bool // no other fault of its stage, or of a server, was there meanwhile
}

// A span is the time of a fault, from its beginning until it is healed.
type span struct {
	stage      string
	kind       kind
	many       int // servers at once
	begin, end time.Time
}

// A watch looks at all checkpoints, all the time.
type watch struct {
	stages []string

	mu      sync.Mutex
	last    map[owned]tvjetstream.Saved
	waiting []takeover
	done    []takeover
	spans   []*span
	commits []time.Time // when they were seen
}

// run looks until the context ends.
func (w *watch) run(ctx context.Context, js jetstream.JetStream) {
	for ctx.Err() == nil {
		for _, stage := range w.stages {
			once, cancel := context.WithTimeout(ctx, time.Second)
			all, err := tvjetstream.Checkpoints(once, js, stage)
			cancel()
			if err != nil {
				continue // the server is away, or the bucket not there yet
			}
			w.mu.Lock()
			for p, cp := range all {
				w.see(owned{stage, p}, cp)
			}
			w.mu.Unlock()
		}
		_ = sleep(ctx, pollEvery)
	}
}

func (w *watch) see(o owned, cp tvjetstream.Saved) {
	before := w.last[o]
	if cp.Epoch < before.Epoch || cp.At.Before(before.At) {
		return // a replica that is behind
	}
	if cp.At.After(before.At) {
		w.commits = append(w.commits, time.Now()) // not At: a leader without a majority gives a time to what is stored later
	}
	w.last[o] = cp
	w.waiting = slices.DeleteFunc(w.waiting, func(t takeover) bool {
		if t.owned != o || cp.Epoch <= t.epoch || cp.Owner == "" {
			return false
		}
		t.took = time.Since(t.since)
		t.alone = !slices.ContainsFunc(w.spans, func(s *span) bool {
			overlaps := (s.end.IsZero() || s.end.Add(shortestPause).After(t.since))
			return overlaps && s != t.by && (s.stage == server || s.stage == commandOf(o.stage))
		})
		if t.took > slow {
			slog.Warn("slow to take over", "stage", o.stage, "partition", o.partition, "by", string(t.how), "since", t.since.Format(time.StampMilli),
				"took", t.took.Round(time.Millisecond), "owner", cp.Owner, "alone", t.alone)
		}
		w.done = append(w.done, t)
		return true
	})
}

// lost notes that an instance is gone by a fault, nil if there was none: whatever it owns must find another owner.
func (w *watch) lost(instance string, by *span, how kind, since time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for o, cp := range w.last {
		if cp.Owner == instance {
			w.waiting = append(w.waiting, takeover{owned: o, how: how, epoch: cp.Epoch, since: since, by: by})
		}
	}
}

// begin notes a fault.
func (w *watch) begin(stage string, k kind, many int) *span {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &span{stage: stage, kind: k, many: many, begin: time.Now()}
	w.spans = append(w.spans, s)
	return s
}

// healed notes that a fault is over.
func (w *watch) healed(s *span) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.end = time.Now()
}

// times returns how long take-overs took, sorted.
func (w *watch) times(chosen func(takeover) bool) []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []time.Duration
	for _, t := range w.done {
		if chosen(t) {
			all = append(all, t.took)
		}
	}
	slices.Sort(all)
	return all
}

// percentile returns the value that p percent of the sorted times do not exceed.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}
