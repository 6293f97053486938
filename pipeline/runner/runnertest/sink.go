package runnertest

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/trailvane/trailvane/pipeline/runner"
)

// TestSink holds sinks to their contract. Each case gets a broker of its own.
func TestSink(t *testing.T, harness func(t *testing.T) Harness) {
	t.Run("nothing to put", func(t *testing.T) {
		put(t, harness(t).Sink(t))
	})
	t.Run("order is kept in each of several streams", func(t *testing.T) {
		h := harness(t)
		sink := h.Sink(t)
		all := outputs("events.0.here", 0, 3000)
		var want [2][]runner.Output
		for i := range all {
			k := i * i % 7 % 2
			if k == 1 {
				all[i].Subject = "events.1.there"
			}
			want[k] = append(want[k], all[i])
		}
		for rest := clone(all); len(rest) > 0; {
			n := min(1+len(rest)/2, len(rest)) // from more than a server's batch down to one
			put(t, sink, rest[:n]...)
			rest = rest[n:]
		}
		wantOutputs(t, stored(t, h, "EVENTS_0"), want[0])
		wantOutputs(t, stored(t, h, "EVENTS_1"), want[1])
	})
	t.Run("what was put may be put again", func(t *testing.T) {
		h := harness(t)
		out := outputs("events.0.here", 0, 10)
		put(t, h.Sink(t), clone(out)...)
		put(t, h.Sink(t), clone(out[5:])...) // by another instance
		put(t, h.Sink(t), outputs("events.0.here", 10, 1)...)
		records := stored(t, h, "EVENTS_0")
		wantOutputs(t, records[:10], out)
		wantOutputs(t, records[len(records)-1:], outputs("events.0.here", 10, 1))
	})
	t.Run("the largest body", func(t *testing.T) {
		h := harness(t)
		out := outputs("events.0.here", 0, 3)
		out[1].Body = bytes.Repeat([]byte("x"), runner.MaxBody)
		put(t, h.Sink(t), clone(out)...)
		wantOutputs(t, stored(t, h, "EVENTS_0"), out)
	})
	t.Run("a subject without a stream", func(t *testing.T) {
		h := harness(t)
		out := outputs("events.0.here", 0, 3)
		out[1].Subject = "nowhere.0"
		if n, err := h.Sink(t).Put(patient(t), clone(out)...); n > 1 || err == nil {
			t.Fatalf("Put = %d, %v; want an error and at most 1", n, err)
		}
	})
	t.Run("an ended context", func(t *testing.T) {
		h := harness(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if n, err := h.Sink(t).Put(ctx, outputs("events.0.here", 0, 3)...); n != 0 || !errors.Is(err, context.Canceled) {
			t.Fatalf("Put = %d, %v; want 0, context.Canceled", n, err)
		}
	})

	once := func(id, body string, number int) runner.Output {
		o := outputs("insights.here.aws-1.ApiCallRateInsight."+id, number, 1)[0]
		o.Once, o.Body = true, []byte(body)
		return o
	}
	t.Run("an insight is inserted once", func(t *testing.T) {
		h := harness(t)
		sink := h.Sink(t)
		a, b, c := once("a", "A", 0), once("b", "B", 1), once("c", "C", 2)
		put(t, sink, clone([]runner.Output{a, b})...)
		put(t, sink, clone([]runner.Output{a, b, c})...)
		put(t, h.Sink(t), clone([]runner.Output{a})...)
		wantOutputs(t, stored(t, h, "INSIGHTS"), []runner.Output{a, b, c})
		if n := h.Conflicts(t, sink); n != 0 {
			t.Fatalf("%d conflicts, want none", n)
		}
	})
	t.Run("of two different insights the first stays", func(t *testing.T) {
		h := harness(t)
		sink := h.Sink(t)
		a, other, b := once("a", "A", 0), once("a", "not A", 1), once("b", "B", 2)
		put(t, sink, clone([]runner.Output{a})...)
		put(t, sink, clone([]runner.Output{other, b})...)
		wantOutputs(t, stored(t, h, "INSIGHTS"), []runner.Output{a, b})
		if n := h.Conflicts(t, sink); n != 1 {
			t.Fatalf("%d conflicts, want 1", n)
		}
	})
	t.Run("an insight twice in one Put", func(t *testing.T) {
		h := harness(t)
		a := once("a", "A", 0)
		put(t, h.Sink(t), clone([]runner.Output{a, a})...)
		wantOutputs(t, stored(t, h, "INSIGHTS"), []runner.Output{a})
	})
	t.Run("insights and others in one Put", func(t *testing.T) {
		h := harness(t)
		e := outputs("events.0.here", 0, 3)
		a, b := once("a", "A", 3), once("b", "B", 4)
		put(t, h.Sink(t), clone([]runner.Output{e[0], a, e[1], b, e[2]})...)
		wantOutputs(t, stored(t, h, "EVENTS_0"), e)
		wantOutputs(t, stored(t, h, "INSIGHTS"), []runner.Output{a, b})
	})

	// Rule 8: back-pressure.
	big := func(n int) []runner.Output {
		out := outputs("events.0.here", 0, n)
		for i := range out {
			out[i].Body = append(out[i].Body, bytes.Repeat([]byte("."), 10_000)...)
		}
		return out
	}
	t.Run("Put waits while the stream is full", func(t *testing.T) {
		h := harness(t)
		h.Limit(t, "EVENTS_0", 64<<10)
		out := big(20)
		done := make(chan error, 1)
		ctx, sink := patient(t), h.Sink(t)
		go func() {
			// As the runner does: a sink may give up for a while and say how far it came.
			var err error
			for rest := clone(out); len(rest) > 0 && ctx.Err() == nil; {
				var n int
				n, err = sink.Put(ctx, rest...)
				rest = rest[n:]
			}
			done <- err
		}()
		s := h.Source(t, "EVENTS_0")
		var records []got
		for after := uint64(0); after < 20; {
			for _, r := range readN(t, s, after, 1) {
				records = append(records, r)
				after = r.Seq
			}
			h.Purge(t, "EVENTS_0", after)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		wantOutputs(t, records, out)
	})
	t.Run("a Put that waits ends with its context", func(t *testing.T) {
		h := harness(t)
		h.Limit(t, "EVENTS_0", 64<<10)
		out := big(20)
		ctx, cancel := context.WithCancel(patient(t))
		type result struct {
			n   int
			err error
		}
		done := make(chan result, 1)
		sink := h.Sink(t)
		go func() {
			n, err := sink.Put(ctx, clone(out)...)
			done <- result{n, err}
		}()
		readN(t, h.Source(t, "EVENTS_0"), 0, 4) // something of it is stored
		cancel()
		r := <-done
		records := stored(t, h, "EVENTS_0")
		if r.err == nil || r.n > len(records) || len(records) >= 20 {
			t.Fatalf("Put = %d, %v, but %d are stored", r.n, r.err, len(records))
		}
		wantOutputs(t, records, out[:len(records)])
	})
}
