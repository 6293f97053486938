//go:build linux

package main

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/decode/formats"
	"github.com/trailvane/trailvane/pipeline/ingest"
	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// ingestStage names the stage that the feeders of this program take the place of.
const ingestStage = "ingest"

// A feeding is how logs come into the one lane of a system: by the connector's own code, with a brake before its reads.
type feeding struct {
	connector ingest.Connector
	settings  schemas.Settings
	end       *schemas.End // behind all of it
	rate      float64      // bytes a second, as in fed, 0 for as fast as RAW takes them
}

// A fed is what one feeding has put into RAW.
type fed struct {
	Records int64
	Bytes   int64 // of messages, before they are packed
	Took    time.Duration
	Putting time.Duration // of it: packing, storing, and waiting while RAW is full
}

// ingestAll reads everything, or until it is stopped, and returns when it is stored and committed.
func ingestAll(ctx context.Context, js jetstream.JetStream, f feeding) (fed, error) {
	store, err := tvjetstream.OpenStore(ctx, js, ingestStage)
	if err != nil {
		return fed{}, err
	}
	plan, err := ingest.MakePlan(ctx, ingest.PlanConfig{
		Connector: f.connector, Store: store, Lanes: 1, Settings: &f.settings, End: f.end, EventTime: formats.EventTime,
	})
	if err != nil {
		return fed{}, err
	}
	processor := ingest.NewProcessor()
	source := ingest.NewSource(ingest.SourceConfig{Plan: plan, Connector: f.connector, Detect: formats.Detect})
	told, err := put(ctx, js, processor, &braked{Source: source, rate: f.rate})
	told.Records = processor.Stats().Records
	return told, err
}

// put runs a source of raw records as the one lane of the ingest stage, and returns when everything is stored and committed.
func put(ctx context.Context, js jetstream.JetStream, p runner.Processor, in *braked) (fed, error) {
	store, err := tvjetstream.OpenStore(ctx, js, ingestStage)
	if err != nil {
		return fed{}, err
	}
	sink, err := tvjetstream.NewSink(js)
	if err != nil {
		return fed{}, err
	}
	defer sink.Close()
	out := &timed{Sink: sink}
	begun := time.Now()
	err = runner.Run(ctx, runner.Config{
		Stage: ingestStage, Partition: "0", Instance: "bench", Constants: ingest.Constants, Source: in, Sink: out, Store: store,
		New: func(uint64) runner.Processor { return p },
	})
	return fed{Bytes: in.bytes, Took: time.Since(begun), Putting: out.spent}, err
}

// braked is a source that gives no more than a rate.
type braked struct {
	runner.Source
	rate  float64 // bytes a second, 0 for any
	begun time.Time
	bytes int64 // so far
}

// Read waits until the rate allows what was read before, and reads.
func (b *braked) Read(ctx context.Context, after uint64) ([]runner.Record, error) {
	if b.begun.IsZero() {
		b.begun = time.Now()
	}
	if b.rate > 0 {
		due := b.begun.Add(time.Duration(float64(b.bytes) / b.rate * float64(time.Second)))
		if err := sleep(ctx, time.Until(due)); err != nil {
			return nil, ctx.Err()
		}
	}
	records, err := b.Source.Read(ctx, after)
	for _, r := range records {
		b.bytes += int64(len(r.Body))
	}
	return records, err
}

// timed measures how long puts take.
type timed struct {
	runner.Sink
	spent time.Duration
}

// Put puts.
func (t *timed) Put(ctx context.Context, outputs ...runner.Output) (int, error) {
	begun := time.Now()
	defer func() { t.spent += time.Since(begun) }()
	return t.Sink.Put(ctx, outputs...)
}
