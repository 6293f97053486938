package service

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/internal/broker"
)

// Rule 7: after its commits a reader trims its input, and ends with its partition.
func TestTrimAfterCommits(t *testing.T) {
	b, err := broker.Start(t.Context(), broker.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown()
	js, err := b.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	defer js.Conn().Close()
	topology := tvjetstream.DefaultTopology(tvjetstream.Identity{Lanes: 1, Partitions: 1}, "normalizer")
	topology.Readers = map[string]schemas.Flow{"normalizer": schemas.RawFlow}
	if err := tvjetstream.Deploy(t.Context(), js, topology); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if _, err := js.Publish(t.Context(), "raw.0.tick", strconv.AppendInt(nil, int64(i), 10)); err != nil {
			t.Fatal(err)
		}
	}
	source := tvjetstream.NewSource(js, "RAW_0", tvjetstream.SourceConfig{})
	info, err := source.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	store, err := tvjetstream.OpenStore(t.Context(), js, "normalizer")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var committed atomic.Uint64
	var running sync.WaitGroup
	running.Go(func() {
		trimAfterCommits(ctx, js, "RAW_0", &committed, time.Millisecond, slog.New(slog.DiscardHandler))
	})
	defer running.Wait()
	defer stop()
	for _, seq := range []uint64{7, 20} {
		if _, _, err := store.Load(t.Context(), "0"); err != nil {
			t.Fatal(err)
		}
		if err := store.Commit(t.Context(), "0", schemas.Checkpoint{Stream: info.ID, Seq: seq, Epoch: 1}, nil); err != nil {
			t.Fatal(err)
		}
		committed.Store(seq)
		deadline, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		for info.First <= seq {
			if info, err = source.Info(deadline); err != nil {
				t.Fatalf("the stream still begins at %d with %d committed: %v", info.First, seq, err)
			}
		}
		cancel()
		if info.First != seq+1 {
			t.Fatalf("the stream begins at %d with %d committed", info.First, seq)
		}
	}
}
