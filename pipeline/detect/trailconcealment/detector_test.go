package trailconcealment

import (
	"testing"

	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/pipeline/detect/detecttest"
)

func newDetector() detect.Detector { return New() }

var _ detect.Explainer = (*Detector)(nil)

func TestLaws(t *testing.T)         { detecttest.Laws(t, newDetector, detecttest.Ordered) }
func FuzzRestore(f *testing.F)      { detecttest.FuzzRestore(f, newDetector) }
func BenchmarkObserve(b *testing.B) { detecttest.Benchmark(b, "trailconcealment", newDetector) }

func TestScenarios(t *testing.T) { detecttest.Scenarios(t, newDetector, "testdata") }
