// Package crash runs the whole pipeline with faults at every step of every stage's loop, in memory and in virtual time,
// and demands the same insights and metrics, byte for byte. How the faults are made is told in package runnertest.
package crash

import (
	"maps"
	"slices"
	"strconv"
	"testing"

	"github.com/trailvane/trailvane/pipeline/aggregate"
	"github.com/trailvane/trailvane/pipeline/catalog"
	"github.com/trailvane/trailvane/pipeline/decode"
	"github.com/trailvane/trailvane/pipeline/decode/formats"
	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/pipeline/detect/all"
	"github.com/trailvane/trailvane/pipeline/normalize"
	"github.com/trailvane/trailvane/pipeline/pair"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/pipeline/runner/runnertest"
)

func stream(name string) func(int) string {
	return func(partition int) string { return name + "_" + strconv.Itoa(partition) }
}

// stages are those of a deployment, one for each insight type among them.
func stages(partitions int) []runnertest.Stage {
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
			Name: "detector-" + string(t), Partitions: partitions, Input: stream("WINDOWS"),
			New: func(p int, generation uint64) runner.Processor { return detect.NewProcessor(p, generation, create()) },
		})
	}
	return append(stages, runnertest.Stage{
		Name: pair.Stage, Partitions: partitions, Input: stream("FINDINGS"), Constants: pair.Constants,
		New: func(p int, _ uint64) runner.Processor { return pair.New(p) },
	})
}

func TestCrashAnywhere(t *testing.T) {
	runnertest.Crash(t, runnertest.Pipeline{
		Stages: stages(2), Raw: raw(), Final: []string{"INSIGHTS", "METRICS", "DEAD"}, Runs: 40, Faults: 120, Seed: 1,
	})
}
