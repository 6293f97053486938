package jetstream_test

import (
	"testing"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/pipeline/runner/runnertest"
)

func TestContracts(t *testing.T) {
	t.Run("source", func(t *testing.T) { runnertest.TestSource(t, harness) })
	t.Run("sink", func(t *testing.T) { runnertest.TestSink(t, harness) })
	t.Run("store", func(t *testing.T) { runnertest.TestStore(t, harness) })
}

// harness makes the ports on a server of their own.
func harness(t *testing.T) runnertest.Harness {
	js := startJetStream(t)
	deploy(t, js, func(c *jetstream.Topology) { c.Stages = []string{"one", "two"} })
	return runnertest.Harness{
		Source: func(t *testing.T, stream string) runner.Source { return newSource(t, js, stream) },
		Sink:   func(t *testing.T) runner.Sink { return newSink(t, js) },
		Store: func(t *testing.T, bucket string) runner.Store {
			s, err := jetstream.OpenStore(t.Context(), js, bucket)
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Publish: func(t *testing.T, subject string, body []byte) {
			if _, err := js.Publish(t.Context(), subject, body); err != nil {
				t.Fatal(err)
			}
		},
		Drain: func(_ *testing.T, s runner.Source) { s.(*jetstream.Source).Drain() },
		Purge: func(t *testing.T, stream string, upTo uint64) {
			if err := openStream(t, js, stream).Purge(t.Context(), natsjs.WithPurgeSequence(upTo+1)); err != nil {
				t.Fatal(err)
			}
		},
		Recreate: func(t *testing.T, stream string) {
			config := openStream(t, js, stream).CachedInfo().Config
			if err := js.DeleteStream(t.Context(), stream); err != nil {
				t.Fatal(err)
			}
			if _, err := js.CreateStream(t.Context(), config); err != nil {
				t.Fatal(err)
			}
		},
		Limit:     func(t *testing.T, stream string, bytes int) { limit(t, js, stream, int64(bytes)) },
		Conflicts: func(_ *testing.T, s runner.Sink) int { return int(s.(*jetstream.Sink).Conflicts()) },
	}
}

func openStream(tb testing.TB, js natsjs.JetStream, name string) natsjs.Stream {
	tb.Helper()
	s, err := js.Stream(tb.Context(), name)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func limit(tb testing.TB, js natsjs.JetStream, stream string, bytes int64) {
	tb.Helper()
	c := openStream(tb, js, stream).CachedInfo().Config
	c.MaxBytes = bytes
	if _, err := js.UpdateStream(tb.Context(), c); err != nil {
		tb.Fatal(err)
	}
}
