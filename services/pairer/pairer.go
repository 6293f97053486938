// Package pairer is the service that publishes insight events.
package pairer

import (
	"context"

	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/pair"
	"github.com/trailvane/trailvane/services/internal/service"
	"github.com/trailvane/trailvane/services/internal/telemetry"
)

// Bucket names the state of the stage.
const Bucket = pair.Stage

// A Partition pairs the findings of one partition.
type Partition = service.Partition[*pair.Processor]

// Open prepares the pairer of a partition.
func Open(ctx context.Context, d *service.Deployment, partition int) (*Partition, error) {
	return service.Open(ctx, d, service.Stage[*pair.Processor]{
		Name: pair.Stage, Partition: partition, Input: jetstream.FindingsStream(partition), Constants: pair.Constants,
		New:    func(uint64) *pair.Processor { return pair.New(partition) },
		Accept: pair.Accept,
		Tally:  tally,
	})
}

func tally(p *pair.Processor) service.Tally {
	s := p.Stats()
	var t service.Tally
	for kind, n := range s.Started {
		t.Levels = append(t.Levels, service.Count{
			Metric: telemetry.OpenInsights, Labels: [2]string{string(kind)}, N: float64(n - s.Ended[kind]),
		})
	}
	return t
}

// Work is the stage, for an instance.
func Work(d *service.Deployment) service.Work {
	return service.Work{
		Stage: Bucket, Partitions: d.Identity.Partitions,
		Open: func(ctx context.Context, partition int) (service.Part, error) { return Open(ctx, d, partition) },
	}
}
