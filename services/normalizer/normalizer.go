// Package normalizer is the service that turns raw chunks into events: one partition for each lane.
package normalizer

import (
	"context"

	"github.com/trailvane/trailvane/pipeline/catalog"
	"github.com/trailvane/trailvane/pipeline/decode"
	"github.com/trailvane/trailvane/pipeline/decode/formats"
	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/normalize"
	"github.com/trailvane/trailvane/services/internal/service"
	"github.com/trailvane/trailvane/services/internal/telemetry"
)

// Bucket names the state of the stage.
const Bucket = normalize.Stage

// A Partition normalizes one lane.
type Partition = service.Partition[*normalize.Processor]

// Open prepares the normalizer of a lane, with a catalogue of sensitive operations, which all lanes have to share, and what
// knows networks and countries of addresses, which may be nil.
func Open(
	ctx context.Context, d *service.Deployment, lane int, c *catalog.Catalog, resolver normalize.Resolver,
) (*Partition, error) {
	var decoders []decode.Decoder
	for _, f := range formats.All() {
		decoders = append(decoders, f)
	}
	return service.Open(ctx, d, service.Stage[*normalize.Processor]{
		Name: normalize.Stage, Partition: lane, Input: jetstream.RawStream(lane), Constants: normalize.Constants(c),
		New: func(uint64) *normalize.Processor {
			return normalize.New(normalize.Config{
				Lane: lane, Partitions: d.Identity.Partitions, Decoders: decoders, Catalog: c, Resolver: resolver,
			})
		},
		Tally: tally,
	})
}

func tally(p *normalize.Processor) service.Tally {
	s := p.Stats()
	t := service.Tally{Counts: []service.Count{{Metric: telemetry.Events, N: float64(s.Events)}}}
	for category, n := range s.Dropped {
		t.Counts = append(t.Counts, service.Count{Metric: telemetry.Dropped, Labels: [2]string{Bucket, category}, N: float64(n)})
	}
	for reason, n := range s.Dead {
		t.Counts = append(t.Counts, service.Count{Metric: telemetry.DeadLetters, Labels: [2]string{Bucket, reason}, N: float64(n)})
	}
	return t
}

// Work is the stage, for an instance.
func Work(d *service.Deployment, c *catalog.Catalog, resolver normalize.Resolver) service.Work {
	return service.Work{
		Stage: Bucket, Partitions: d.Identity.Lanes,
		Open: func(ctx context.Context, lane int) (service.Part, error) { return Open(ctx, d, lane, c, resolver) },
	}
}
