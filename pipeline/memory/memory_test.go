package memory_test

import (
	"testing"
	"time"

	"github.com/trailvane/trailvane/pipeline/memory"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/pipeline/runner/runnertest"
)

func TestContracts(t *testing.T) {
	t.Run("source", func(t *testing.T) { runnertest.TestSource(t, harness) })
	t.Run("sink", func(t *testing.T) { runnertest.TestSink(t, harness) })
	t.Run("store", func(t *testing.T) { runnertest.TestStore(t, harness) })
}

func harness(t *testing.T) runnertest.Harness {
	b := memory.NewBroker(time.Now)
	return runnertest.Harness{
		Source: func(_ *testing.T, stream string) runner.Source { return b.Source(stream) },
		Sink:   func(*testing.T) runner.Sink { return b.Sink() },
		Store:  func(_ *testing.T, bucket string) runner.Store { return b.Store(bucket) },
		Publish: func(t *testing.T, subject string, body []byte) {
			if err := b.Publish(subject, body, ""); err != nil {
				t.Fatal(err)
			}
		},
		Drain:     func(_ *testing.T, s runner.Source) { s.(*memory.Source).Drain() },
		Purge:     func(_ *testing.T, stream string, upTo uint64) { b.Purge(stream, upTo) },
		Recreate:  func(_ *testing.T, stream string) { b.Delete(stream) },
		Limit:     func(_ *testing.T, stream string, bytes int) { b.Limit(stream, bytes) },
		Conflicts: func(*testing.T, runner.Sink) int { return b.Conflicts() },
	}
}
