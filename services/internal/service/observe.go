package service

import (
	"context"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/internal/telemetry"
)

// A Tally is what a processor tells about itself, as of a commit.
type Tally struct {
	Counts []Count // since its state began; they only grow
	Levels []Count // now; those of partitions are added up
}

// A Count is one number of a [Tally], for a metric of package telemetry, with the values of its labels.
type Count struct {
	Metric string
	Labels [2]string
	N      float64
}

type series struct {
	metric string
	labels [2]string
}

// An observer knows what the partitions of a process do. Counts are those of the process, so they begin at zero and never fall, though
// partitions come and go; what processors count is counted when it is committed, so that a crash neither loses nor doubles it.
type observer struct {
	telemetry *telemetry.Telemetry
	js        jetstream.JetStream
	log       *slog.Logger

	mu      sync.Mutex
	runs    map[*run]bool      // partitions that are open
	past    map[place]counters // of those that were closed
	counts  map[series]float64 // committed
	regions telemetry.Regions

	streams map[string]tvjetstream.Content // as of asked
	asked   time.Time
}

func newObserver(t *telemetry.Telemetry, d *Deployment) *observer {
	return &observer{
		telemetry: t, js: d.JS, log: d.Log,
		runs: make(map[*run]bool), past: make(map[place]counters), counts: make(map[series]float64),
	}
}

// A place is a partition of a stage.
type place struct{ stage, partition string }

// A run is one run of a partition.
type run struct {
	place
	observer  *observer
	input     string // stream, may be empty
	stats     *runner.Stats
	conflicts func() uint64

	pending map[series]float64 // stored since the last snapshot; belongs to the goroutine of the runner

	// Guarded by the observer's mutex.
	last   map[series]float64 // counts of the last tally, nil before the first one
	levels []Count
}

// open begins to observe a partition.
func (o *observer) open(r *run) *run {
	o.mu.Lock()
	defer o.mu.Unlock()
	r.observer = o
	o.runs[r] = true
	return r
}

func (r *run) close() {
	r.observer.mu.Lock()
	defer r.observer.mu.Unlock()
	delete(r.observer.runs, r)
	r.observer.past[r.place] = r.observer.past[r.place].add(r.counters())
}

// A counters is what is counted of each partition, in the order of the metrics in counterMetrics.
type counters [9]uint64

var counterMetrics = [len(counters{})]string{
	telemetry.Records, telemetry.Repeats, telemetry.InputBytes, telemetry.Outputs, telemetry.Retries, telemetry.Loads,
	telemetry.Commits, telemetry.Conflicts, telemetry.Refused,
}

func (r *run) counters() counters {
	s := r.stats
	return counters{
		s.Records.Load(), s.Repeats.Load(), s.Bytes.Load(), s.Outputs.Load(), s.Retries.Load(), s.Loads.Load(), s.Commits.Load(),
		r.conflicts(), s.Refused.Load(),
	}
}

func (c counters) add(d counters) counters {
	for i := range c {
		c[i] += d[i]
	}
	return c
}

// loaded forgets what was stored and not committed: it is done again.
func (r *run) loaded() { r.pending = nil }

// snapshot is [runner.Config.Observe].
func (r *run) snapshot(t Tally) func(took time.Duration) {
	pending := r.pending
	r.pending = nil
	return func(took time.Duration) {
		r.observer.telemetry.Committed(r.stage, took)
		r.observer.mu.Lock()
		defer r.observer.mu.Unlock()
		for k, n := range pending {
			k.labels[1] = r.observer.regions.Label(k.labels[1])
			r.observer.counts[k] += n
		}
		// The first tally is of what was loaded, and others have counted that.
		first := r.last == nil
		now := make(map[series]float64, len(t.Counts))
		for _, c := range t.Counts {
			now[series{c.Metric, c.Labels}] += c.N
		}
		for k, n := range now {
			if more := n - r.last[k]; !first && more > 0 {
				r.observer.counts[k] += more
			} else if first {
				r.observer.counts[k] += 0 // so that it is seen to be zero before it grows
			}
		}
		r.last, r.levels = now, t.Levels
	}
}

// A countingSink counts findings and insight events that were stored. There are few of them.
type countingSink struct {
	runner.Sink
	run *run
}

// Put stores outputs.
func (s countingSink) Put(ctx context.Context, outputs ...runner.Output) (stored int, err error) {
	stored, err = s.Sink.Put(ctx, outputs...)
	for i := range outputs[:stored] {
		var metric string
		switch subject := outputs[i].Subject; {
		case strings.HasPrefix(subject, string(schemas.FindingsFlow)+"."):
			metric = telemetry.Findings
		case strings.HasPrefix(subject, string(schemas.InsightsFlow)+"."):
			metric = telemetry.Insights
		default:
			continue
		}
		if is, err := schemas.ParseSubject(outputs[i].Subject); err == nil {
			if s.run.pending == nil {
				s.run.pending = make(map[series]float64)
			}
			s.run.pending[series{metric, [2]string{string(is.Type), is.Region}}]++
		}
	}
	return stored, err
}

// Bounds of asking the server for all its streams, which is one request for every 256 of them.
const (
	askEvery = 5 * time.Second // as often as partitions commit
	askTime  = 2 * time.Second // who asks for metrics waits meanwhile
)

// look returns what streams hold, as of some seconds ago at most; nothing if the server does not say.
func (o *observer) look(ctx context.Context) map[string]tvjetstream.Content {
	if time.Since(o.asked) < askEvery {
		return o.streams
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	streams, err := tvjetstream.Contents(ctx, o.js)
	if err != nil {
		o.log.Debug("metrics without lag and streams", "err", err)
		streams = nil
	}
	o.streams, o.asked = streams, time.Now()
	return streams
}

// observe tells all metrics. One call at a time.
func (o *observer) observe(ctx context.Context, i *Instance, tell telemetry.Observe) {
	owned := i.partitions(func(stage string, owned, halted int) {
		tell(telemetry.Partitions, float64(owned), stage, "owned")
		tell(telemetry.Partitions, float64(halted), stage, "halted")
	})
	streams := o.look(ctx)

	o.mu.Lock()
	defer o.mu.Unlock()
	all := maps.Clone(o.past)
	levels := make(map[series]float64)
	watched := make(map[string]bool)
	for r := range o.runs {
		all[r.place] = all[r.place].add(r.counters())
		if !owned[r.place] {
			continue
		}
		tell(telemetry.StateKeys, float64(r.stats.Keys.Load()), r.stage, r.partition)
		tell(telemetry.StateBytes, float64(r.stats.StateBytes.Load()), r.stage, r.partition)
		if c, ok := streams[r.input]; ok {
			committed := r.stats.Committed.Load()
			tell(telemetry.Lag, float64(max(c.Last, committed)-committed), r.stage, r.partition)
		}
		watched[r.input], watched[tvjetstream.BucketStream(tvjetstream.StateBucket(r.stage))] = true, true
		o.level(levels, r.levels)
	}
	for name := range watched {
		if c, ok := streams[name]; ok {
			tell(telemetry.StreamBytes, float64(c.Bytes), name)
			tell(telemetry.StreamLimit, float64(c.Limit), name)
		}
	}
	for p, c := range all {
		for n, metric := range counterMetrics {
			tell(metric, float64(c[n]), p.stage, p.partition)
		}
	}
	for _, what := range []map[series]float64{levels, o.counts} {
		for s, n := range what {
			tell(s.metric, n, s.labels[:]...)
		}
	}
}

// level adds the levels of one partition to those of all. Levels of time are given as seconds since 1970; the worst one counts.
func (o *observer) level(all map[series]float64, levels []Count) {
	for _, l := range levels {
		s := series{l.Metric, l.Labels}
		if l.Metric != telemetry.WatermarkDelay && l.Metric != telemetry.Silence {
			all[s] += l.N
			continue
		}
		if l.Metric == telemetry.WatermarkDelay {
			s.labels[0] = o.regions.Label(s.labels[0])
		}
		all[s] = max(all[s], float64(time.Now().Unix())-l.N)
	}
}

// partitions says of each stage how many partitions are owned and halted, and returns those that are owned.
func (i *Instance) partitions(stage func(name string, owned, halted int)) map[place]bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	all := make(map[place]bool)
	for _, s := range i.stages {
		owned, halted := 0, 0
		for partition, t := range s.tenures {
			switch {
			case t.halted != "":
				halted++
			case t.epoch() != 0:
				owned++
				all[place{s.Stage, strconv.Itoa(partition)}] = true
			}
		}
		stage(s.Stage, owned, halted)
	}
	return all
}
