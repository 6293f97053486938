// Package service is what every microservice is made of: a deployment on a broker, and the partitions of a stage that run on
// it. The services' own packages say which stage reads which stream; nothing here knows a stage.
package service

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/runner"
)

// A Deployment is where the stages run.
type Deployment struct {
	JS       jetstream.JetStream
	Identity tvjetstream.Identity
	Instance string // unique among all live instances
	Version  string // of this program, for those who look at it; may be empty
	Log      *slog.Logger
	Server   Server // that runs beside the stages, for [Process.Run]; may be nil

	// owned reports whether the owner of a partition may live. An [Instance] sets it; without one nobody else lives.
	owned func(stage string, partition int, owner string) bool

	observer *observer // nil if nobody looks; set by [Process.Run]
}

// A Stage says what a partition of a stage is.
type Stage[P runner.Processor] struct {
	Name      string // also names its state bucket
	Partition int
	Input     string        // stream
	Source    runner.Source // instead of the stream, for the stage that reads from outside
	Constants string        // version of what decides its outputs, beside its state and input
	Version   uint32        // of the format of its state, see [runner.Config], as the next two
	Oldest    uint32
	Anew      bool
	New       func(generation uint64) P
	Accept    func(r *runner.Record) bool // see [runner.Config]

	// Tally tells what a processor has counted and holds, if anybody looks. It is called at each commit; it may be nil.
	Tally func(P) Tally
}

// A Partition is one partition of a stage on a deployment. It runs once.
type Partition[P runner.Processor] struct {
	Stats runner.Stats

	js        jetstream.JetStream
	input     string              // stream, empty if the input is none
	source    *tvjetstream.Source // nil if the input is no stream
	outside   runner.Source       // then this is it
	sink      *tvjetstream.Sink
	config    runner.Config
	processor P
	observed  *run // nil if nobody looks
}

// Open prepares a partition. Close it when Run has returned.
func Open[P runner.Processor](ctx context.Context, d *Deployment, s Stage[P]) (*Partition[P], error) {
	p := new(Partition[P])
	store, err := tvjetstream.OpenStore(ctx, d.JS, s.Name)
	if err != nil {
		return nil, fmt.Errorf("open the state of %s: %w", s.Name, err)
	}
	if p.sink, err = tvjetstream.NewSink(d.JS); err != nil {
		return nil, fmt.Errorf("open the outputs of %s: %w", s.Name, err)
	}
	source := s.Source
	p.outside = s.Source
	if source == nil {
		p.js, p.input = d.JS, s.Input
		p.source = tvjetstream.NewSource(d.JS, s.Input, tvjetstream.SourceConfig{})
		source = p.source
	}
	p.config = runner.Config{
		Stage: s.Name, Partition: strconv.Itoa(s.Partition), Instance: d.Instance, Constants: s.Constants,
		Version: s.Version, Oldest: s.Oldest, Anew: s.Anew, Source: source,
		Sink: &outputs{Sink: p.sink, log: cmp.Or(d.Log, slog.Default()), patience: roomPatience}, Store: store, Log: d.Log, Stats: &p.Stats,
		Accept: s.Accept,
		New: func(generation uint64) runner.Processor {
			p.processor = s.New(generation)
			return p.processor
		},
	}
	if d.observer != nil {
		if err := p.observe(ctx, d, s); err != nil {
			p.Close()
			return nil, err
		}
	}
	if d.owned != nil {
		p.config.Owned = func(owner string) bool { return d.owned(s.Name, s.Partition, owner) }
	}
	disturb(&p.config)
	return p, nil
}

// observe shows what the partition does.
func (p *Partition[P]) observe(ctx context.Context, d *Deployment, s Stage[P]) error {
	r := d.observer.open(&run{
		place: place{s.Name, p.config.Partition}, input: p.input, stats: &p.Stats, conflicts: p.sink.Conflicts,
	})
	p.observed = r
	p.config.Sink = countingSink{p.config.Sink, r}
	begin := p.config.New
	p.config.New = func(generation uint64) runner.Processor {
		r.loaded()
		return begin(generation)
	}
	p.config.Observe = func(runner.Processor) func(time.Duration) {
		var t Tally
		if s.Tally != nil {
			t = s.Tally(p.processor)
		}
		return r.snapshot(t)
	}
	if !d.observer.telemetry.Tracing() {
		return nil
	}
	root := ""
	if s.Source != nil { // it reads from outside, where traces begin
		deployment := tvjetstream.NewSource(d.JS, tvjetstream.BucketStream(tvjetstream.DeploymentBucket), tvjetstream.SourceConfig{})
		defer deployment.Close()
		info, err := deployment.Info(ctx)
		if err != nil {
			return err
		}
		root = info.ID
	}
	p.config.Trace = d.observer.telemetry.Trace(s.Name, p.config.Partition, root)
	return nil
}

// TraceRequest begins the span of a request that brings records from a client, whose traceparent is given, empty for none. It returns the
// traceparent of what it brings, empty if nothing is traced, and what ends the span.
func (d *Deployment) TraceRequest(name, traceparent string) (string, func(records int, err error)) {
	if d.observer == nil || !d.observer.telemetry.Tracing() {
		return "", func(int, error) {}
	}
	return d.observer.telemetry.Request(name, traceparent)
}

// Run works until the context ends, the input has been drained, or a person must decide; see [runner.Run]. Beside it, what all
// readers of the input have had is trimmed.
func (p *Partition[P]) Run(ctx context.Context) error {
	if p.input != "" {
		var beside sync.WaitGroup
		defer beside.Wait()
		trimming, stop := context.WithCancel(ctx)
		defer stop()
		beside.Go(func() {
			trimAfterCommits(trimming, p.js, p.input, &p.Stats.Committed, trimEvery, cmp.Or(p.config.Log, slog.Default()))
		})
	}
	if err := runner.Run(ctx, p.config); err != nil {
		return fmt.Errorf("%s %s: %w", p.config.Stage, p.config.Partition, err)
	}
	return nil
}

// Drain makes Run return when everything that is in the input stream now has been worked on.
func (p *Partition[P]) Drain() {
	if p.source != nil {
		p.source.Drain()
	}
}

// roomPatience is how long outputs wait before that is said: a reader that is merely slow makes room with each of its commits.
const roomPatience = 30 * time.Second

// outputs says when outputs wait, which the sink does without a word, and at once when an output with Once meets other bytes. That
// must never happen, and whoever finds it may not live long enough to be asked.
type outputs struct {
	*tvjetstream.Sink
	log      *slog.Logger
	told     uint64
	patience time.Duration
}

func (o *outputs) Put(ctx context.Context, all ...runner.Output) (int, error) {
	subject, producer, input := all[0].Subject, all[0].Producer, all[0].Number.Seq
	waits := time.AfterFunc(o.patience, func() {
		o.log.Warn("outputs wait: their streams, or the server, have no room", "of", producer, "input", input, "subject", subject)
	})
	defer waits.Stop()
	n, err := o.Sink.Put(ctx, all...)
	if now := o.Conflicts(); now > o.told {
		o.told = now
		o.log.Error("an insight event was stored before with other bytes, which stay",
			"insight_conflict", now, "of", producer, "input", input)
	}
	return n, err
}

// Processor returns the processor as Run left it. Call it after Run has returned.
func (p *Partition[P]) Processor() P { return p.processor }

// Progress returns the counters of the run.
func (p *Partition[P]) Progress() *runner.Stats { return &p.Stats }

// Conflicts returns how many outputs were found stored with other bytes. It must be 0.
func (p *Partition[P]) Conflicts() uint64 { return p.sink.Conflicts() }

// Close gives back what Open took.
func (p *Partition[P]) Close() {
	if p.source != nil {
		p.source.Close()
	}
	if c, ok := p.outside.(interface{ Close() }); ok {
		c.Close()
	}
	p.sink.Close()
	if p.observed != nil {
		p.observed.close()
	}
}
