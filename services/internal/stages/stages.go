// Package stages knows which stages there are.
package stages

import (
	"maps"
	"slices"

	"github.com/trailvane/trailvane/pipeline/detect/all"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/aggregator"
	"github.com/trailvane/trailvane/services/detector"
	"github.com/trailvane/trailvane/services/ingest"
	"github.com/trailvane/trailvane/services/normalizer"
	"github.com/trailvane/trailvane/services/pairer"
)

// Types returns the insight types that have a detector, in order.
func Types() []schemas.InsightType { return slices.Sorted(maps.Keys(all.Detectors())) }

// Names returns all stages, in the order of the flow. Each has a state bucket of this name.
func Names() []string {
	names := []string{ingest.Bucket, normalizer.Bucket, aggregator.Bucket}
	for _, t := range Types() {
		names = append(names, detector.Bucket(t))
	}
	return append(names, pairer.Bucket)
}

// Reads returns what each stage reads; ingest reads from outside.
func Reads() map[string]schemas.Flow {
	reads := map[string]schemas.Flow{
		normalizer.Bucket: schemas.RawFlow, aggregator.Bucket: schemas.EventsFlow, pairer.Bucket: schemas.FindingsFlow,
	}
	for _, t := range Types() {
		reads[detector.Bucket(t)] = schemas.WindowsFlow
	}
	return reads
}
