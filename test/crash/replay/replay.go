// Package replay runs raw records through the whole pipeline in memory, stage after stage and undisturbed: what every other
// way to run the same records must give, byte for byte.
package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/trailvane/trailvane/pipeline/aggregate"
	"github.com/trailvane/trailvane/pipeline/catalog"
	"github.com/trailvane/trailvane/pipeline/decode"
	"github.com/trailvane/trailvane/pipeline/decode/formats"
	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/pipeline/detect/all"
	"github.com/trailvane/trailvane/pipeline/memory"
	"github.com/trailvane/trailvane/pipeline/normalize"
	"github.com/trailvane/trailvane/pipeline/pair"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/pipeline/runner/runnertest"
)

func stream(name string) func(int) string {
	return func(partition int) string { return name + "_" + strconv.Itoa(partition) }
}

// Stages are those of a deployment behind its connectors, one for each insight type among them.
func Stages(lanes, partitions int) []runnertest.Stage {
	var decoders []decode.Decoder
	for _, f := range formats.All() {
		decoders = append(decoders, f)
	}
	stages := []runnertest.Stage{
		{
			Name: normalize.Stage, Partitions: lanes, Input: stream("RAW"), Constants: normalize.Constants(catalog.Default()),
			New: func(lane int, _ uint64) runner.Processor {
				return normalize.New(normalize.Config{Lane: lane, Partitions: partitions, Decoders: decoders})
			},
		},
		{
			Name: aggregate.Stage, Partitions: partitions, Input: stream("EVENTS"), Constants: aggregate.Constants,
			New: func(p int, _ uint64) runner.Processor { return aggregate.New(p) },
		},
	}
	detectors := all.Detectors()
	for _, t := range slices.Sorted(maps.Keys(detectors)) { // in one order, or a seed would mean nothing
		create := detectors[t]
		stages = append(stages, runnertest.Stage{
			Name: detect.Stage(t), Partitions: partitions, Input: stream("WINDOWS"), Constants: create().Constants(),
			New: func(p int, generation uint64) runner.Processor { return detect.NewProcessor(p, generation, create()) },
		})
	}
	return append(stages, runnertest.Stage{
		Name: pair.Stage, Partitions: partitions, Input: stream("FINDINGS"), Constants: pair.Constants,
		New: func(p int, _ uint64) runner.Processor { return pair.New(p) },
	})
}

// A Way to run the pipeline, of which nothing may be seen in what comes out.
type Way struct {
	Lanes, Partitions int
	CommitBytes       int
	Restarts          int // of each stage: it is stopped, and its position and state come back from the commit
	Wrong             func(*runner.Config)
}

// Run runs records, stored in their order, through the pipeline, and returns the broker that has what came out. An insight
// event that meets other bytes is an error.
func Run(ctx context.Context, records []runnertest.Raw, w Way) (*memory.Broker, error) {
	var stored time.Time
	b := memory.NewBroker(func() time.Time { return stored })
	for _, r := range records {
		stored = r.Time
		_, err := b.Sink().Put(ctx, runner.Output{
			Subject: r.Subject, Body: bytes.Clone(r.Body), Producer: r.Producer, Number: r.Number, Trace: r.Trace,
		})
		if err != nil {
			return nil, err
		}
	}
	for _, s := range Stages(w.Lanes, w.Partitions) {
		for p := range s.Partitions {
			for i := range w.Restarts + 1 {
				source := b.Source(s.Input(p))
				source.Drain()
				c := runner.Config{
					Stage: s.Name, Partition: strconv.Itoa(p), Instance: strconv.Itoa(i), Constants: s.Constants,
					Source: cut{source, i, w.Restarts}, Sink: b.Sink(), Store: b.Store(s.Name), CommitBytes: w.CommitBytes,
					New: func(generation uint64) runner.Processor { return s.New(p, generation) },
				}
				if w.Wrong != nil {
					w.Wrong(&c)
				}
				if err := runner.Run(ctx, c); err != nil {
					return nil, fmt.Errorf("%s.%d: %w", s.Name, p, err)
				}
			}
		}
	}
	if b.Conflicts() != 0 {
		return nil, errors.New("insight events met other bytes")
	}
	return b, nil
}

// cut ends an input early, so that the next run of several has something left.
type cut struct {
	*memory.Source
	run, last int
}

func (c cut) Read(ctx context.Context, after uint64) ([]runner.Record, error) {
	records, err := c.Source.Read(ctx, after)
	if err != nil || c.run == c.last {
		return records, err
	}
	info, err := c.Info(ctx)
	if err != nil {
		return nil, err
	}
	until := info.Last * uint64(c.run+1) / uint64(c.last+1)
	n, _ := slices.BinarySearchFunc(records, until, func(r runner.Record, until uint64) int {
		if r.Seq <= until {
			return -1
		}
		return 1
	})
	if n == 0 {
		return c.Source.Read(ctx, info.Last) // the end
	}
	return records[:n], nil
}
