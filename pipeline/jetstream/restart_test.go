package jetstream_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/jetstream/jetstreamtest"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// readUpTo reads as a runner does: from its position, again after a passing error.
func readUpTo(t *testing.T, s *jetstream.Source, after, last uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for after < last {
		records, err := s.Read(ctx, after)
		if ctx.Err() != nil || errors.Is(err, runner.ErrGap) {
			t.Fatalf("Read after %d: %v", after, err)
		}
		for _, r := range records {
			if r.Prev != after {
				t.Fatalf("record %d comes after %d", r.Seq, after)
			}
			after = r.Seq
		}
	}
}

// putAgain puts as a runner does: the rest again after an error.
func putAgain(t *testing.T, s *jetstream.Sink, rest []runner.Output) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for len(rest) > 0 {
		n, err := s.Put(ctx, rest...)
		if ctx.Err() != nil {
			t.Fatalf("Put: %v", err)
		}
		rest = rest[n:]
	}
}

func TestPortsOutliveARestartOfTheServer(t *testing.T) {
	dir := jetstreamtest.Dir(t)
	s := startServerAt(t, dir, -1)
	port := s.Addr().(*net.TCPAddr).Port
	js := connectAt(t, s.ClientURL())
	deploy(t, js)
	sink, source := newSink(t, js), newSource(t, js, "EVENTS_0")
	store, err := jetstream.OpenStore(t.Context(), js, "normalizer")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.Load(t.Context(), "0"); err != nil {
		t.Fatal(err)
	}

	put(t, sink, outputs("events.0.x", 1, 10)...)
	readUpTo(t, source, 0, 10)
	jetstreamtest.Stop(s)
	s = startServerAt(t, dir, port)
	putAgain(t, sink, outputs("events.0.x", 11, 10))
	readUpTo(t, source, 10, 20)

	// While a Read waits.
	done := make(chan struct{})
	go func() {
		defer close(done)
		readUpTo(t, source, 20, 21)
	}()
	jetstreamtest.Stop(s)
	startServerAt(t, dir, port)
	putAgain(t, sink, outputs("events.0.x", 21, 1))
	<-done

	if err := store.Commit(t.Context(), "0", schemas.Checkpoint{Seq: 20}, map[string][]byte{"k": nil}); err != nil {
		// The connection may have been away: the outcome is unknown, as the contract says.
		if _, _, err := store.Load(t.Context(), "0"); err != nil {
			t.Fatal(err)
		}
	}
}

// A service that is told to stop while its server is away does not wait for the server.
func TestCommitEndsWithItsContext(t *testing.T) {
	s := startServerAt(t, jetstreamtest.Dir(t), -1)
	js := connectAt(t, s.ClientURL())
	deploy(t, js)
	store, err := jetstream.OpenStore(t.Context(), js, "normalizer")
	if err != nil {
		t.Fatal(err)
	}
	for _, partition := range []string{"0", "1"} {
		if _, _, err := store.Load(t.Context(), partition); err != nil {
			t.Fatal(err)
		}
	}
	jetstreamtest.Stop(s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for partition, changed := range map[string]map[string][]byte{"0": nil, "1": {"a": nil, "b": nil}} {
		if err := store.Commit(ctx, partition, schemas.Checkpoint{}, changed); !errors.Is(err, context.Canceled) {
			t.Errorf("commit of %d keys = %v, want %v", len(changed), err, context.Canceled)
		}
	}
}

// A large batch takes as long as it takes, as long as the server goes on answering: here six seconds, of which each answer takes one and
// a half. The server is a subscription, so that it is as slow as the test wants.
func TestLargeBatchOnASlowServer(t *testing.T) {
	js := startJetStream(t)
	answers := 0
	sub, err := js.Conn().Subscribe("events.0.x", func(m *nats.Msg) {
		if m.Reply == "" {
			return
		}
		answers++
		<-time.After(1500 * time.Millisecond)
		var answer string
		if m.Header.Get("Nats-Batch-Commit") != "" {
			answer = `{"stream":"EVENTS_0","seq":40}`
		}
		if err := m.Respond([]byte(answer)); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	big := outputs("events.0.x", 1, 40)
	for i := range big {
		big[i].Body = make([]byte, 1_000_000)
	}
	if err := jetstream.PutAtomic(t.Context(), js, big...); err != nil {
		t.Error(err)
	}
	if answers != 4 { // to the first one, after each 16 MiB, and to the last one
		t.Errorf("%d answers, want 4", answers)
	}
}

func TestReadGoesOnWhenTheServerForgetsItsConsumer(t *testing.T) {
	js := startJetStream(t)
	deploy(t, js)
	sink, source := newSink(t, js), newSource(t, js, "EVENTS_0")
	put(t, sink, outputs("events.0.x", 1, 5)...)
	readUpTo(t, source, 0, 5)
	stream := openStream(t, js, "EVENTS_0")
	names := stream.ConsumerNames(t.Context())
	forgotten := 0
	for name := range names.Name() {
		if err := stream.DeleteConsumer(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		forgotten++
	}
	if forgotten != 1 {
		t.Fatalf("a source has %d consumers, want one", forgotten)
	}
	put(t, sink, outputs("events.0.x", 6, 5)...)
	readUpTo(t, source, 5, 10)
}

// Rule 1: neither server nor client reports that a stream is another one.
func TestRule1AStreamThatBecameAnotherIsAGap(t *testing.T) {
	js := startJetStream(t)
	deploy(t, js)
	sink, source := newSink(t, js), newSource(t, js, "EVENTS_0")
	put(t, sink, outputs("events.0.x", 1, 5)...)
	readUpTo(t, source, 0, 5)
	config := openStream(t, js, "EVENTS_0").CachedInfo().Config
	if err := js.DeleteStream(t.Context(), "EVENTS_0"); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	put(t, sink, outputs("events.0.x", 1, 10)...)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if records, err := source.Read(ctx, 5); !errors.Is(err, runner.ErrGap) {
		t.Errorf("Read gives %d records, %v; want ErrGap", len(records), err)
	}
}

func TestRule1APositionBehindTheEndIsAGap(t *testing.T) {
	js := startJetStream(t)
	deploy(t, js)
	put(t, newSink(t, js), outputs("events.0.x", 1, 5)...)
	if _, err := newSource(t, js, "EVENTS_0").Read(t.Context(), 6); !errors.Is(err, runner.ErrGap) {
		t.Errorf("Read: %v, want ErrGap", err)
	}
}

func TestRule1PurgedRecordsShowInPrev(t *testing.T) {
	js := startJetStream(t)
	deploy(t, js)
	sink, source := newSink(t, js), newSource(t, js, "EVENTS_0")
	put(t, sink, outputs("events.0.x", 1, 600)...)
	readUpTo(t, source, 0, 1)
	if err := openStream(t, js, "EVENTS_0").Purge(t.Context(), natsjs.WithPurgeSequence(501)); err != nil {
		t.Fatal(err)
	}
	// What was on its way may still come; then there is a gap that shows.
	for after := uint64(1); ; {
		records, err := source.Read(t.Context(), after)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if r.Prev != after {
				if r.Prev != r.Seq-1 || r.Seq < 501 {
					t.Errorf("after %d: %+v", after, r)
				}
				return
			}
			after = r.Seq
		}
		if after == 600 {
			t.Skip("everything was on its way")
		}
	}
}
