package service

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/jetstream/jetstreamtest"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/internal/broker"
)

// Rule 7: after its commits a reader trims its input, and ends with its partition.
func TestTrimAfterCommits(t *testing.T) {
	q := newQueue(t, "normalizer")
	for _, seq := range []uint64{7, 20} {
		q.commit("normalizer", seq)
		q.begins(seq + 1)
	}
}

// A stream that a stage holds is full, and everybody else has read it: when that stage is taken out of the readers, nobody commits
// anything more, and there is room nevertheless.
func TestTrimWhenAReaderIsDisabled(t *testing.T) {
	q := newQueue(t, "normalizer", "stopped")
	q.commit("stopped", 3)
	q.commit("normalizer", 20)
	q.begins(4)
	if err := tvjetstream.DisableReader(t.Context(), q.js, "stopped"); err != nil {
		t.Fatal(err)
	}
	q.begins(21)
}

// A queue is RAW_0 with 20 records, and the normalizer's trimming of it.
type queue struct {
	t         *testing.T
	js        jetstream.JetStream
	source    *tvjetstream.Source
	id        string
	committed atomic.Uint64 // by the normalizer
}

func newQueue(t *testing.T, readers ...string) *queue {
	t.Helper()
	b, err := broker.Start(t.Context(), broker.Config{Dir: jetstreamtest.Dir(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Shutdown)
	js, err := b.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(js.Conn().Close)
	topology := tvjetstream.DefaultTopology(tvjetstream.Identity{Lanes: 1, Partitions: 1}, readers...)
	topology.Readers = make(map[string]schemas.Flow)
	for _, reader := range readers {
		topology.Readers[reader] = schemas.RawFlow
	}
	if err := tvjetstream.Deploy(t.Context(), js, topology); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if _, err := js.Publish(t.Context(), "raw.0.tick", strconv.AppendInt(nil, int64(i), 10)); err != nil {
			t.Fatal(err)
		}
	}
	q := &queue{t: t, js: js, source: tvjetstream.NewSource(js, "RAW_0", tvjetstream.SourceConfig{})}
	info, err := q.source.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	q.id = info.ID
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		trimAfterCommits(ctx, js, "RAW_0", &q.committed, time.Millisecond, slog.New(slog.DiscardHandler))
	})
	t.Cleanup(func() { stop(); running.Wait() })
	return q
}

// commit moves a reader on.
func (q *queue) commit(reader string, seq uint64) {
	q.t.Helper()
	store, err := tvjetstream.OpenStore(q.t.Context(), q.js, reader)
	if err != nil {
		q.t.Fatal(err)
	}
	if _, _, err := store.Load(q.t.Context(), "0"); err != nil {
		q.t.Fatal(err)
	}
	if err := store.Commit(q.t.Context(), "0", schemas.Checkpoint{Stream: q.id, Seq: seq, Epoch: 1}, nil); err != nil {
		q.t.Fatal(err)
	}
	if reader == "normalizer" {
		q.committed.Store(seq)
	}
}

// begins waits until the queue begins with a record, and no other.
func (q *queue) begins(first uint64) {
	q.t.Helper()
	deadline, cancel := context.WithTimeout(q.t.Context(), 10*time.Second)
	defer cancel()
	for {
		info, err := q.source.Info(deadline)
		if err != nil {
			q.t.Fatalf("the queue does not begin with %d: %v", first, err)
		}
		if info.First == first {
			return
		}
		if info.First > first {
			q.t.Fatalf("the queue begins with %d, want %d", info.First, first)
		}
	}
}

// Outputs that find no room wait, and that is said.
func TestOutputsThatWait(t *testing.T) {
	q := newQueue(t, "normalizer")
	stream, err := q.js.Stream(t.Context(), "RAW_0")
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxMsgs = 20
	if _, err := q.js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	sink, err := tvjetstream.NewSink(q.js)
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	said := new(logs)
	o := &outputs{Sink: sink, log: slog.New(slog.NewTextHandler(said, nil)), patience: 10 * time.Millisecond}
	done := make(chan error, 1)
	go func() {
		_, err := o.Put(t.Context(), runner.Output{Subject: "raw.0.tick", Producer: "p", Number: schemas.Number{Seq: 7}})
		done <- err
	}()
	for deadline := time.After(10 * time.Second); !strings.Contains(said.String(), "outputs wait"); {
		select {
		case err := <-done:
			t.Fatalf("Put = %v without a word", err)
		case <-deadline:
			t.Fatal("nothing is said")
		case <-time.After(time.Millisecond):
		}
	}
	q.commit("normalizer", 20)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
