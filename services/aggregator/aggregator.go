// Package aggregator is the service that puts events into windows.
package aggregator

import (
	"context"

	"github.com/trailvane/trailvane/pipeline/aggregate"
	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/services/internal/service"
)

// Bucket names the state of the stage.
const Bucket = aggregate.Stage

// A Partition aggregates one partition.
type Partition = service.Partition[*aggregate.Processor]

// Open prepares the aggregator of a partition.
func Open(ctx context.Context, d *service.Deployment, partition int) (*Partition, error) {
	return service.Open(ctx, d, service.Stage[*aggregate.Processor]{
		Name: aggregate.Stage, Partition: partition, Input: jetstream.EventsStream(partition), Constants: aggregate.Constants,
		Version: aggregate.StateVersion,
		New:     func(uint64) *aggregate.Processor { return aggregate.New(partition) },
	})
}

// Work is the stage, for an instance.
func Work(d *service.Deployment) service.Work {
	return service.Work{
		Stage: Bucket, Partitions: d.Identity.Partitions,
		Open: func(ctx context.Context, partition int) (service.Part, error) { return Open(ctx, d, partition) },
	}
}
