package ingest

import (
	"context"
	"time"
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
