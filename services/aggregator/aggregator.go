// Package aggregator is the service that puts events into windows.
package aggregator

import (
	"context"

	"github.com/trailvane/trailvane/pipeline/aggregate"
	"github.com/trailvane/trailvane/pipeline/eventtime"
	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/internal/service"
	"github.com/trailvane/trailvane/services/internal/telemetry"
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
		Tally:   tally,
	})
}

// tally tells of each region the watermark of the account that is furthest behind. Accounts that are silent for a day of their
// lane's event time are left out: nothing but an event of theirs moves their mark.
func tally(p *aggregate.Processor) service.Tally {
	newest := make(map[int]schemas.Minute) // by lane
	p.Marks(func(m aggregate.Mark, _ int) { newest[m.Lane] = max(newest[m.Lane], m.Newest) })
	behind := make(map[string]schemas.Minute)
	windows, groups := 0, 0
	p.Marks(func(m aggregate.Mark, open int) {
		windows += open
		groups++
		if m.Newest < newest[m.Lane]-eventtime.StaleAfter {
			return
		}
		if first, ok := behind[m.Region]; !ok || m.First < first {
			behind[m.Region] = m.First
		}
	})
	s := p.Stats()
	t := service.Tally{
		Counts: []service.Count{
			{Metric: telemetry.Counted, N: float64(s.Events)},
			{Metric: telemetry.Late, N: float64(s.Late)},
			{Metric: telemetry.Stale, N: float64(s.Stale)},
			{Metric: telemetry.Dropped, Labels: [2]string{Bucket, "duplicate"}, N: float64(s.Duplicates)},
		},
		Levels: []service.Count{
			{Metric: telemetry.OpenWindows, N: float64(windows)},
			{Metric: telemetry.Groups, N: float64(groups)},
		},
	}
	for region, first := range behind {
		t.Levels = append(t.Levels, service.Count{
			Metric: telemetry.WatermarkDelay, Labels: [2]string{region}, N: float64(first) * 60,
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
