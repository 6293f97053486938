package ingest

import (
	"context"
	"time"

	"github.com/trailvane/trailvane/pipeline/ingest"
)

// WithClock lets a test say what time it is at the broker.
func (c Config) WithClock(now func() time.Time) Config {
	c.now = func(context.Context) (time.Time, error) { return now(), nil }
	return c
}

// WithFailed tells a test of polls that fail.
func (c Config) WithFailed(failed func(error)) Config {
	c.failed = failed
	return c
}

// SetSteps lets a test fail or hold up the steps by which requests are stored, and settle earlier what others have begun. Call it
// before Serve.
func (h *HTTP) SetSteps(takeover time.Duration, step func(name string) error) {
	for _, p := range h.pushers {
		p.takeover, p.step = takeover, step
	}
}

// SetTimes lets a test wait less for an answer, or for a body. Call it before the first request, and before Serve.
func (h *HTTP) SetTimes(answer, body time.Duration) { h.answerTime, h.bodyTime = answer, body }

// Kept returns how many bytes of bodies are in memory.
func (h *HTTP) Kept() int64 { return h.kept.Load() }

// LaneOf returns the lane of a source.
func (h *HTTP) LaneOf(source string) int { return ingest.Lane(connectorName, source, h.lanes) }
