// Package crash runs the whole pipeline with faults at every step of every stage's loop, in memory and in virtual time,
// and demands the same insights and metrics, byte for byte. How the faults are made is told in package runnertest.
package crash

import (
	"testing"

	"github.com/trailvane/trailvane/pipeline/runner/runnertest"
	whole "github.com/trailvane/trailvane/test/crash/replay"
)

func stages(partitions int) []runnertest.Stage { return whole.Stages(lanes, partitions) }

func TestCrashAnywhere(t *testing.T) {
	runnertest.Crash(t, runnertest.Pipeline{
		Stages: stages(2), Raw: raw(), Final: []string{"INSIGHTS", "METRICS", "DEAD"}, Runs: 40, Faults: 120, Seed: 1,
	})
}
