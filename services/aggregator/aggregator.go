// Package aggregator is the service that puts events into windows.
package aggregator

import (
	"context"
	"maps"
	"slices"

	"github.com/trailvane/trailvane/pipeline/aggregate"
	"github.com/trailvane/trailvane/pipeline/eventtime"
	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/normalize"
	"github.com/trailvane/trailvane/pipeline/runner"
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
		Accept:  runner.By(normalize.Stage),
		Tally:   tally,
	})
}

func tally(p *aggregate.Processor) service.Tally {
	s := p.Stats()
	return service.Tally{
		Counts: []service.Count{
			{Metric: telemetry.Counted, N: float64(s.Events)},
			{Metric: telemetry.Late, N: float64(s.Late)},
			{Metric: telemetry.Stale, N: float64(s.Stale)},
			{Metric: telemetry.Dropped, Labels: [2]string{Bucket, "duplicate"}, N: float64(s.Duplicates)},
		},
		Levels: levels(p.Marks),
	}
}

// levels tells of each region the watermark of the account that is furthest behind, and when the account that is silent for longest
// had its newest event, in whatever region; no tick moves that. Accounts that are silent for a day of their lane's event time are left
// out: nothing but an event of theirs moves their mark.
func levels(marks func(func(m aggregate.Mark, open int))) []service.Count {
	newest := make(map[int]schemas.Minute) // by lane
	windows, groups := 0, 0
	marks(func(m aggregate.Mark, open int) {
		newest[m.Lane] = max(newest[m.Lane], m.Newest)
		windows += open
		groups++
	})
	behind := make(map[string]schemas.Minute)
	heard := make(map[schemas.Account]schemas.Minute)
	marks(func(m aggregate.Mark, _ int) {
		if m.Newest < newest[m.Lane]-eventtime.StaleAfter {
			return
		}
		heard[m.Account] = max(heard[m.Account], m.Newest)
		if first, ok := behind[m.Region]; !ok || m.First < first {
			behind[m.Region] = m.First
		}
	})
	all := []service.Count{{Metric: telemetry.OpenWindows, N: float64(windows)}, {Metric: telemetry.Groups, N: float64(groups)}}
	if len(heard) > 0 {
		all = append(all, service.Count{Metric: telemetry.Silence, N: seconds(slices.Min(slices.Collect(maps.Values(heard))))})
	}
	for region, first := range behind {
		all = append(all, service.Count{Metric: telemetry.WatermarkDelay, Labels: [2]string{region}, N: seconds(first)})
	}
	return all
}

func seconds(m schemas.Minute) float64 { return float64(m) * 60 }

// Work is the stage, for an instance.
func Work(d *service.Deployment) service.Work {
	return service.Work{
		Stage: Bucket, Partitions: d.Identity.Partitions,
		Open: func(ctx context.Context, partition int) (service.Part, error) { return Open(ctx, d, partition) },
	}
}
