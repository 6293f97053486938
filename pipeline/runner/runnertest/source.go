package runnertest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/trailvane/trailvane/pipeline/runner"
)

// TestSource holds sources to their contract. Each case gets a broker of its own.
func TestSource(t *testing.T, harness func(t *testing.T) Harness) {
	const stream, subject = "EVENTS_0", "events.0.here"

	t.Run("an empty stream", func(t *testing.T) {
		h := harness(t)
		info, err := h.Source(t, stream).Info(patient(t))
		if err != nil || info.ID == "" || info.First != info.Last+1 {
			t.Fatalf("Info = %+v, %v; want an id and First = Last+1", info, err)
		}
	})
	t.Run("records come whole and in order", func(t *testing.T) {
		h := harness(t)
		want := outputs(subject, 0, 2500)
		want[7].Body = nil
		want[8].Body = bytes.Repeat([]byte{0, 0xff, '\r', '\n'}, 50_000)
		want[9].Trace = ""
		put(t, h.Sink(t), clone(want)...)
		records := readN(t, h.Source(t, stream), 0, len(want))
		wantOutputs(t, records, want)
		for _, r := range records {
			if r.Time.IsZero() {
				t.Fatalf("record %d has no time", r.Seq)
			}
		}
		info, err := h.Source(t, stream).Info(patient(t))
		if err != nil || info.First != 1 || info.Last != 2500 {
			t.Fatalf("Info = %+v, %v; want 1 to 2500", info, err)
		}
	})
	t.Run("a record without a producer", func(t *testing.T) {
		h := harness(t)
		h.Publish(t, "raw.0.cloudtrail", []byte("body"))
		r := readN(t, h.Source(t, "RAW_0"), 0, 1)[0]
		if r.Producer != "" || r.Number.Seq != 0 || r.Number.Index != 0 || r.Trace != "" || string(r.body) != "body" {
			t.Fatalf("got %+v, want no producer, number and trace", r)
		}
	})
	t.Run("any position may be read", func(t *testing.T) {
		h := harness(t)
		want := outputs(subject, 0, 300)
		put(t, h.Sink(t), clone(want)...)
		s := h.Source(t, stream)
		for _, after := range []uint64{299, 0, 150, 150, 149, 200} {
			wantOutputs(t, readN(t, s, after, 1)[:1], want[after:after+1])
		}
	})
	t.Run("Read waits for a record", func(t *testing.T) {
		h := harness(t)
		s, sink := h.Source(t, stream), h.Sink(t)
		put(t, sink, outputs(subject, 0, 1)...)
		readN(t, s, 0, 1)
		done := make(chan error, 1)
		ctx := patient(t)
		go func() {
			records, err := s.Read(ctx, 1)
			if err == nil && (len(records) != 1 || records[0].Seq != 2) {
				err = errors.New("not record 2")
			}
			done <- err
		}()
		put(t, sink, outputs(subject, 1, 1)...)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
	t.Run("an interrupted Read loses nothing", func(t *testing.T) {
		h := harness(t)
		s, sink := h.Source(t, stream), h.Sink(t)
		want := outputs(subject, 0, 30)
		for i := range want {
			ctx, cancel := context.WithCancel(patient(t))
			done := make(chan error, 1)
			go func() {
				_, err := s.Read(ctx, uint64(i))
				done <- err
			}()
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Fatalf("interrupted Read: %v, want context.Canceled", err)
			}
			put(t, sink, clone(want[i:i+1])...)
			wantOutputs(t, readN(t, s, uint64(i), 1), want[i:i+1])
		}
	})
	t.Run("a drained input ends", func(t *testing.T) {
		h := harness(t)
		s, sink := h.Source(t, stream), h.Sink(t)
		want := outputs(subject, 0, 40)
		put(t, sink, clone(want)...)
		h.Drain(t, s)
		put(t, sink, outputs(subject, 40, 5)...)
		for range 2 { // also when it is read again
			records := readN(t, s, 0, 40)
			wantOutputs(t, records, want)
			for range 2 {
				if _, err := s.Read(patient(t), 40); !errors.Is(err, io.EOF) {
					t.Fatalf("Read at the end: %v, want io.EOF", err)
				}
			}
		}
	})
	t.Run("draining ends a Read that waits", func(t *testing.T) {
		h := harness(t)
		s := h.Source(t, stream)
		done := make(chan error, 1)
		ctx := patient(t)
		go func() {
			_, err := s.Read(ctx, 0)
			done <- err
		}()
		h.Drain(t, s)
		if err := <-done; !errors.Is(err, io.EOF) {
			t.Fatalf("Read of a drained empty stream: %v, want io.EOF", err)
		}
	})
	t.Run("missing records are told", func(t *testing.T) {
		h := harness(t)
		put(t, h.Sink(t), outputs(subject, 0, 20)...)
		h.Purge(t, stream, 12)
		s := h.Source(t, stream)
		if info, err := s.Info(patient(t)); err != nil || info.First != 13 || info.Last != 20 {
			t.Fatalf("Info = %+v, %v; want 13 to 20", info, err)
		}
		// Either way is fine: an error, or a record that does not follow the position.
		records, err := s.Read(patient(t), 3)
		if err != nil && !errors.Is(err, runner.ErrGap) || err == nil && records[0].Prev == 3 {
			t.Fatalf("Read before the head: %d records, %v", len(records), err)
		}
		readN(t, s, 12, 8)
		h.Purge(t, stream, 20)
		if info, err := s.Info(patient(t)); err != nil || info.First != 21 || info.Last != 20 {
			t.Fatalf("Info = %+v, %v; want 21 to 20", info, err)
		}
	})
	t.Run("a stream has an identity", func(t *testing.T) {
		h := harness(t)
		id := func(stream string) string {
			info, err := h.Source(t, stream).Info(patient(t))
			if err != nil {
				t.Fatal(err)
			}
			return info.ID
		}
		before := id(stream)
		put(t, h.Sink(t), outputs(subject, 0, 1)...)
		if after := id(stream); after != before {
			t.Fatalf("the id changed from %s to %s", before, after)
		}
		h.Recreate(t, stream)
		if after := id(stream); after == before {
			t.Fatalf("another stream has the same id %s", after)
		}
	})
}

// clone copies outputs, whose bodies a sink owns once they are put.
func clone(out []runner.Output) []runner.Output {
	c := make([]runner.Output, len(out))
	for i, o := range out {
		o.Body = bytes.Clone(o.Body)
		c[i] = o
	}
	return c
}
