package apierrorrate

import (
	"testing"

	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/pipeline/detect/detecttest"
	"github.com/trailvane/trailvane/schemas"
)

func newDetector() detect.Detector { return New() }

// More failures never take an alarm away; more successes may, because the share falls.
func TestLaws(t *testing.T) {
	detecttest.Laws(t, newDetector, detecttest.Rate, detecttest.MoreOf(func(r *schemas.Row) bool { return r.ErrorCode != 0 }))
}

func FuzzRestore(f *testing.F) { detecttest.FuzzRestore(f, newDetector) }

// The first is of failures, the second of calls that never fail, which should cost nearly nothing.
func BenchmarkObserve(b *testing.B) {
	detecttest.Benchmark(b, "apierrorrate", newDetector, func(c *detecttest.Call) { c.Error = "AccessDenied" })
	detecttest.Benchmark(b, "apierrorrate/success", newDetector)
}

func TestScenarios(t *testing.T) { detecttest.Scenarios(t, newDetector, "testdata") }
