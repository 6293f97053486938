package jetstream_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// Rule 3: per stream a gapless prefix, whatever happens. Streams run full at random places while a reader makes room, and
// the writer gives up and comes back at random; who drops repeats by their number sees every output once and in order.
func TestRule3AFullStreamLosesNothing(t *testing.T) {
	js := startJetStream(t)
	deploy(t, js)
	limit(t, js, "EVENTS_0", 200_000)
	limit(t, js, "EVENTS_1", 90_000)
	random := rand.New(rand.NewPCG(5, 8))
	all := make([]runner.Output, 600)
	for i := range all {
		all[i] = runner.Output{
			Subject: schemas.EventsSubject(random.IntN(2), "x"), Body: bytes.Repeat([]byte{byte(i)}, random.IntN(9000)),
			Producer: "p", Number: schemas.Number{Seq: uint64(i + 1)},
		}
	}

	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	sink := newSink(t, js)
	done := make(chan error, 1)
	go func() {
		defer close(done)
		for rest := all; len(rest) > 0 && ctx.Err() == nil; {
			short, stop := context.WithTimeout(ctx, time.Duration(20+random.IntN(200))*time.Millisecond)
			n, err := sink.Put(short, rest[:min(len(rest), 1+random.IntN(300))]...)
			stop()
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				done <- err
				return
			}
			rest = rest[n:]
		}
	}()

	var read [2][]uint64
	wide := false
	for p, stream := range []string{"EVENTS_0", "EVENTS_1"} {
		want := 0
		for i := range all {
			if all[i].Subject == schemas.EventsSubject(p, "x") {
				want++
			}
		}
		// One stream after the other: while the first moves, the second stays full.
		source, after, last := newSource(t, js, stream), uint64(0), uint64(0)
		for len(read[p]) < want {
			records, err := source.Read(ctx, after)
			if err != nil {
				t.Fatalf("%s: %d of %d: %v", stream, len(read[p]), want, err)
			}
			for _, r := range records {
				after = r.Seq
				if r.Number.Seq <= last {
					continue
				}
				last = r.Number.Seq
				read[p] = append(read[p], last)
				if o := &all[last-1]; o.Subject != r.Subject || !bytes.Equal(o.Body, r.Body) {
					t.Fatalf("%s: record %d is not output %d", stream, r.Seq, last)
				}
			}
			if err := openStream(t, js, stream).Purge(ctx, natsjs.WithPurgeSequence(after+1)); err != nil {
				t.Fatal(err)
			}
			if p == 0 && !wide && len(read[0]) > want/3 {
				limit(t, js, "EVENTS_1", 4<<20) // the first goes on only if the second does
				wide = true
			}
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestPutSaysWhatCannotBeStored(t *testing.T) {
	js := startJetStream(t)
	deploy(t, js)
	sink := newSink(t, js)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()

	out := outputs("events.0.x", 1, 3)
	out[2].Body = make([]byte, 1<<20)
	if n, err := sink.Put(ctx, out...); n != 2 || !errors.Is(err, nats.ErrMaxPayload) {
		t.Errorf("a body of 1 MiB: %d, %v; want 2 and ErrMaxPayload", n, err)
	}
	if n, err := sink.Put(ctx, outputs("events.9.x", 1, 3)...); n != 0 || !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("a stream that does not exist: %d, %v; want 0 and ErrNoResponders", n, err)
	}
	// After both it works as before.
	put(t, sink, outputs("events.0.x", 3, 1)...)
	readUpTo(t, newSource(t, js, "EVENTS_0"), 0, 3)
}

func TestPutThatWaitsForOneStreamStoresTheOthers(t *testing.T) {
	js := startJetStream(t)
	deploy(t, js)
	limit(t, js, "EVENTS_1", 1000)
	out := outputs("events.0.x", 1, 40)
	for i := range out {
		if i%2 == 1 {
			out[i].Subject = "events.1.x"
			out[i].Body = make([]byte, 300)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	n, err := newSink(t, js).Put(ctx, out...)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Put: %v", err)
	}
	info, err := openStream(t, js, "EVENTS_1").Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if fit := int(info.State.Msgs); n != 2*fit+1 || fit == 0 {
		t.Errorf("Put says %d, %d of the odd ones fitted", n, fit)
	}
	readUpTo(t, newSource(t, js, "EVENTS_0"), 0, 20)
}

// Many put into one stream at the same time, as the detectors do: what each put is there, without gaps and in its order.
func TestManySinksOnOneStream(t *testing.T) {
	const sinks, rounds, each = 6, 60, 5
	js := startJetStream(t)
	deploy(t, js)
	var putting sync.WaitGroup
	for n := range sinks {
		sink := newSink(t, js)
		putting.Go(func() {
			for round := range rounds {
				var outputs []runner.Output
				for i := range each {
					outputs = append(outputs, runner.Output{
						Subject: schemas.EventsSubject(0, "x"), Body: []byte{byte(n)}, Producer: string(rune('a' + n)),
						Number: schemas.Number{Seq: uint64(round*each + i + 1)},
					})
				}
				if stored, err := sink.Put(t.Context(), outputs...); stored != each || err != nil {
					t.Errorf("sink %d stored %d: %v", n, stored, err)
					return
				}
			}
		})
	}
	putting.Wait()
	source, after, last := newSource(t, js, "EVENTS_0"), uint64(0), map[string]uint64{}
	for after < sinks*rounds*each && !t.Failed() {
		records, err := source.Read(t.Context(), after)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			after = r.Seq
			if r.Number.Seq != last[r.Producer]+1 {
				t.Fatalf("number %d of %s follows %d", r.Number.Seq, r.Producer, last[r.Producer])
			}
			last[r.Producer] = r.Number.Seq
		}
	}
}
