package jetstream_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// What befalls a stage's streams and state, and how a running or starting stage tells it. docs/operations.md says what to do.

// A stage numbers the records of EVENTS_0.
type stage struct {
	js     natsjs.JetStream
	config runner.Config
	source *jetstream.Source
}

type numberer struct{ n uint64 }

func (c *numberer) Apply(r runner.Record, emit func(runner.Output)) error {
	c.n++
	emit(runner.Output{Subject: "windows.0.x.counts", Body: fmt.Appendf(nil, "%d: %s", c.n, r.Body)})
	return nil
}

func (c *numberer) Snapshot(changed func(key string, state []byte)) error {
	changed("n", binary.BigEndian.AppendUint64(nil, c.n))
	return nil
}

func (c *numberer) Restore(_ string, state []byte) error {
	c.n = binary.BigEndian.Uint64(state)
	return nil
}

// startStage deploys, puts ten events, and lets a stage work on them.
func startStage(t *testing.T, js natsjs.JetStream) *stage {
	t.Helper()
	deploy(t, js, func(c *jetstream.Topology) { c.Stages = []string{"numberer"} })
	s := &stage{js: js}
	put(t, newSink(t, js), outputs("events.0.x", 1, 10)...)
	if err := s.drain(t); err != nil {
		t.Fatal(err)
	}
	return s
}

// open makes the ports anew, as a process that starts.
func (s *stage) open(t *testing.T) {
	t.Helper()
	store, err := jetstream.OpenStore(t.Context(), s.js, "numberer")
	if err != nil {
		t.Fatal(err)
	}
	s.source = newSource(t, s.js, "EVENTS_0")
	s.config = runner.Config{
		Stage: "numberer", Partition: "0", Instance: "one", Source: s.source, Sink: newSink(t, s.js), Store: store,
		New: func(uint64) runner.Processor { return new(numberer) }, Log: slog.New(slog.DiscardHandler),
	}
}

func (s *stage) drain(t *testing.T) error {
	t.Helper()
	s.open(t)
	s.source.Drain()
	return s.run(t)
}

func (s *stage) run(t *testing.T) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	return runner.Run(ctx, s.config)
}

// change rewrites the checkpoint as nobody should.
func (s *stage) change(t *testing.T, f func(*schemas.Checkpoint)) {
	t.Helper()
	store, err := jetstream.OpenStore(t.Context(), s.js, "numberer")
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := store.Load(t.Context(), "0")
	if err != nil {
		t.Fatal(err)
	}
	f(&c)
	if err := store.Commit(t.Context(), "0", c, nil); err != nil {
		t.Fatal(err)
	}
}

func (s *stage) checkpoint(t *testing.T) schemas.Checkpoint {
	t.Helper()
	all, err := jetstream.Checkpoints(t.Context(), s.js, "numberer")
	if err != nil {
		t.Fatal(err)
	}
	return all["0"].Checkpoint
}

func wantError(t *testing.T, err, want error, says ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("Run = %v, want %v", err, want)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("Run = %v, which does not say %q", err, s)
		}
	}
}

func TestFaultACorruptedStateValue(t *testing.T) {
	js := startJetStream(t)
	s := startStage(t, js)
	before := s.checkpoint(t)
	if _, err := js.Publish(t.Context(), "$KV.STATE_numberer.0.n", []byte("12345678")); err != nil {
		t.Fatal(err)
	}
	wantError(t, s.drain(t), runner.ErrCorrupt, "1 keys with sum")
	if now := s.checkpoint(t); now.Epoch != before.Epoch {
		t.Errorf("it wrote a checkpoint: %+v", now)
	}
}

func TestFaultAStateKeyIsGone(t *testing.T) {
	js := startJetStream(t)
	s := startStage(t, js)
	err := openStream(t, js, "KV_STATE_numberer").Purge(t.Context(), natsjs.WithPurgeSubject("$KV.STATE_numberer.0.n"))
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, s.drain(t), runner.ErrCorrupt, "0 keys with sum", "not 1 with")
}

func TestFaultACheckpointThatPointsPastTheStream(t *testing.T) {
	s := startStage(t, startJetStream(t))
	s.change(t, func(c *schemas.Checkpoint) { c.Seq = 25 })
	wantError(t, s.drain(t), runner.ErrGap, "records 11 to 25", "which were read, are gone")
}

func TestFaultRecordsThatWereNotReadArePurged(t *testing.T) {
	js := startJetStream(t)
	s := startStage(t, js)
	put(t, newSink(t, js), outputs("events.0.x", 11, 10)...)
	if err := openStream(t, js, "EVENTS_0").Purge(t.Context(), natsjs.WithPurgeSequence(16)); err != nil {
		t.Fatal(err)
	}
	wantError(t, s.drain(t), runner.ErrGap, "records 11 to 15", "are gone")
}

func TestFaultAStreamIsDeletedAndMadeAgain(t *testing.T) {
	js := startJetStream(t)
	s := startStage(t, js)
	c := openStream(t, js, "EVENTS_0").CachedInfo().Config
	again := func() {
		t.Helper()
		if err := js.DeleteStream(t.Context(), "EVENTS_0"); err != nil {
			t.Fatal(err)
		}
		if _, err := js.CreateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		put(t, newSink(t, js), outputs("events.0.x", 1, 30)...) // longer than what was read
	}

	t.Run("while the stage is down", func(t *testing.T) {
		again()
		wantError(t, s.drain(t), runner.ErrGap, "the stream is", "but the state was made from")
	})

	// What an operator does who knows that the old records are lost: forget the state, and begin with the stream there is.
	err := openStream(t, js, "KV_STATE_numberer").Purge(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.drain(t); err != nil || s.checkpoint(t).Seq != 30 {
		t.Fatalf("after the state was forgotten: %v, checkpoint %+v", err, s.checkpoint(t))
	}

	// Its outputs have the numbers of earlier ones, but readers must not take them for repeats.
	producers := make(map[string]int)
	err = jetstream.ReadAll(t.Context(), js, "WINDOWS_0", func(r runner.Record) error {
		producers[r.Producer]++
		return nil
	})
	if err != nil || len(producers) != 2 {
		t.Errorf("outputs by producer: %v, %v", producers, err)
	}

	t.Run("while the stage works", func(t *testing.T) {
		s.open(t)
		stats := new(runner.Stats)
		s.config.Stats = stats
		done := make(chan error, 1)
		go func() { done <- s.run(t) }()
		put(t, newSink(t, js), outputs("events.0.x", 31, 1)...)
		for stats.Position.Load() != 31 { // it reads
			select {
			case err := <-done:
				t.Fatal(err)
			case <-time.After(5 * time.Millisecond):
			}
		}
		again()
		wantError(t, <-done, runner.ErrGap, "the stream") // told by the look-up after a lost read, or by the next one
	})
}
