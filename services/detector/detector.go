// Package detector is the service that judges windows: one stage for each insight type, so that a type can be scaled,
// stopped and changed by itself.
package detector

import (
	"context"
	"fmt"

	"github.com/trailvane/trailvane/pipeline/aggregate"
	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/pipeline/detect/all"
	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/internal/service"
)

// Bucket names the state of a type's stage.
func Bucket(t schemas.InsightType) string { return detect.Stage(t) }

// A Partition runs one detector on one partition.
type Partition = service.Partition[*detect.Processor]

// Open prepares the detector of a type and partition. The panes are those of the partition, shared by all types.
func Open(ctx context.Context, d *service.Deployment, t schemas.InsightType, partition int, panes *Panes) (*Partition, error) {
	create, ok := all.Detectors()[t]
	if !ok {
		return nil, fmt.Errorf("there is no detector for %s", t)
	}
	return service.Open(ctx, d, service.Stage[*detect.Processor]{
		Name: Bucket(t), Partition: partition, Input: jetstream.WindowsStream(partition), Constants: create().Constants(),
		Anew: true, // what another model has learned means something else
		New: func(generation uint64) *detect.Processor {
			p := detect.NewProcessor(partition, generation, create())
			p.Share(panes.Decode)
			return p
		},
		Accept: runner.By(aggregate.Stage),
	})
}

// Works are the stages of some types, for an instance. They share the panes of each partition.
func Works(d *service.Deployment, types ...schemas.InsightType) []service.Work {
	panes := make([]*Panes, d.Identity.Partitions)
	for i := range panes {
		panes[i] = NewPanes()
	}
	works := make([]service.Work, len(types))
	for i, t := range types {
		works[i] = service.Work{
			Stage: Bucket(t), Partitions: d.Identity.Partitions,
			Open: func(ctx context.Context, partition int) (service.Part, error) {
				return Open(ctx, d, t, partition, panes[partition])
			},
		}
	}
	return works
}
