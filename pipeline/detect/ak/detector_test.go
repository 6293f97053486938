package ak

import (
	"testing"

	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/pipeline/detect/detecttest"
)

func newDetector() detect.Detector { return New() }

func TestLaws(t *testing.T)    { detecttest.Laws(t, newDetector, detecttest.Rate) }
func FuzzRestore(f *testing.F) { detecttest.FuzzRestore(f, newDetector) }

// The first is of many keys, the second of one with many different calls.
func BenchmarkObserve(b *testing.B) {
	detecttest.Benchmark(b, "ak", newDetector, func(c *detecttest.Call) { c.AccessKey = "AKIA" + c.Event })
	detecttest.Benchmark(b, "ak/one", newDetector)
}

func TestScenarios(t *testing.T) { detecttest.Scenarios(t, newDetector, "testdata") }
