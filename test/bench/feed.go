//go:build linux

package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/decode/formats"
	"github.com/trailvane/trailvane/pipeline/ingest"
	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// A feeding is how logs come into the one lane of a system: by the connector's own code, with a brake before its reads.
type feeding struct {
	connector ingest.Connector
	settings  schemas.Settings
	end       *schemas.End  // behind all of it, nil if there comes more
	rate      float64       // bytes of RAW messages a second, 0 for as fast as RAW takes them
	stop      chan struct{} // if it is closed, the object that is being read is the last; nil reads everything
}

// A fed is what one feeding has put into RAW.
type fed struct {
	Records int64
	Bytes   int64 // of messages
	Took    time.Duration
	Full    time.Duration // of it, spent in puts: RAW was full, or the server busy
}

// ingestAll reads everything, or until it is stopped, and returns when it is stored and committed.
func ingestAll(ctx context.Context, js jetstream.JetStream, f feeding) (fed, error) {
	const stage = "ingest"
	store, err := tvjetstream.OpenStore(ctx, js, stage)
	if err != nil {
		return fed{}, err
	}
	plan, err := ingest.MakePlan(ctx, ingest.PlanConfig{
		Connector: f.connector, Store: store, Lanes: 1, Settings: &f.settings, End: f.end, EventTime: formats.EventTime,
	})
	if err != nil {
		return fed{}, err
	}
	sink, err := tvjetstream.NewSink(js)
	if err != nil {
		return fed{}, err
	}
	defer sink.Close()
	processor := ingest.NewProcessor()
	in := &braked{
		Source: ingest.NewSource(ingest.SourceConfig{Plan: plan, Connector: f.connector, Detect: formats.Detect}), feeding: &f,
	}
	out := &timed{Sink: sink}
	begun := time.Now()
	err = runner.Run(ctx, runner.Config{
		Stage: stage, Partition: "0", Instance: "bench", Constants: ingest.Constants, Source: in, Sink: out, Store: store,
		New: func(uint64) runner.Processor { return processor }, Log: slog.Default(),
	})
	return fed{Records: processor.Stats().Records, Bytes: in.bytes, Took: time.Since(begun), Full: time.Duration(out.spent.Load())}, err
}

// braked is a source that gives no more than a rate, and can be stopped between two objects.
type braked struct {
	*ingest.Source
	*feeding

	begun   time.Time
	bytes   int64
	between bool // two objects
	ended   bool
}

// Read waits until the rate allows what was read before, and reads.
func (b *braked) Read(ctx context.Context, after uint64) ([]runner.Record, error) {
	if b.ended {
		return nil, io.EOF
	}
	if b.begun.IsZero() {
		b.begun = time.Now()
	}
	if b.rate > 0 {
		due := b.begun.Add(time.Duration(float64(b.bytes) / b.rate * float64(time.Second)))
		if err := sleep(ctx, time.Until(due)); err != nil {
			return nil, ctx.Err()
		}
	}
	if b.between && b.stopped() {
		return b.finish(after), nil
	}
	records, err := b.Source.Read(ctx, after)
	for i, r := range records {
		// Between the objects there are reports about them, which are counted and not put.
		b.between = !strings.HasPrefix(r.Subject, "raw.")
		b.bytes += int64(len(r.Body))
		if b.between && b.stopped() {
			return append(records[:i+1:i+1], b.finish(r.Seq)...), nil
		}
	}
	return records, err
}

func (b *braked) stopped() bool {
	select {
	case <-b.stop:
		return true
	default:
		return false
	}
}

// finish ends the input early, in the way in which its plan would end.
func (b *braked) finish(after uint64) []runner.Record {
	b.ended = true
	return []runner.Record{{
		Seq: after + 1, Prev: after, Subject: schemas.RawSubject(0, string(schemas.EndControl)),
		Body: (&schemas.End{Close: true}).Append(nil),
	}}
}

// timed measures how long puts take.
type timed struct {
	runner.Sink
	spent atomic.Int64 // nanoseconds
}

// Put puts.
func (t *timed) Put(ctx context.Context, outputs ...runner.Output) (int, error) {
	begun := time.Now()
	defer func() { t.spent.Add(int64(time.Since(begun))) }()
	return t.Sink.Put(ctx, outputs...)
}

var errNoObject = errors.New("there is no such object")
