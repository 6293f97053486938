package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

func deploy(tb testing.TB, js natsjs.JetStream, change ...func(*jetstream.Topology)) {
	tb.Helper()
	t := jetstream.DefaultTopology(jetstream.Identity{
		Lanes: 1, Partitions: 2, Lateness: 15, Learn: 1440, Budget: 1,
	}, "normalizer")
	for _, f := range change {
		f(&t)
	}
	if err := jetstream.Deploy(tb.Context(), js, t); err != nil {
		tb.Fatal(err)
	}
}

func newSink(tb testing.TB, js natsjs.JetStream) *jetstream.Sink {
	tb.Helper()
	s, err := jetstream.NewSink(js)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return s
}

func newSource(tb testing.TB, js natsjs.JetStream, stream string) *jetstream.Source {
	s := jetstream.NewSource(js, stream, jetstream.SourceConfig{})
	tb.Cleanup(s.Close)
	return s
}

// outputs makes n outputs for a subject, numbered from a sequence.
func outputs(subject string, from, n int) []runner.Output {
	all := make([]runner.Output, n)
	for i := range all {
		all[i] = runner.Output{
			Subject: subject, Body: []byte(fmt.Sprint("body ", from+i)),
			Producer: "normalizer 0", Number: schemas.Number{Seq: uint64(from + i), Index: 7},
		}
	}
	return all
}

func put(tb testing.TB, s *jetstream.Sink, all ...runner.Output) {
	tb.Helper()
	stored, err := s.Put(tb.Context(), all...)
	if err != nil || stored != len(all) {
		tb.Fatalf("Put stored %d of %d: %v", stored, len(all), err)
	}
}

func TestReadReturnsWhatWasPutInOrder(t *testing.T) {
	js := startJetStream(t)
	deploy(t, js)
	sink, source := newSink(t, js), newSource(t, js, "EVENTS_1")
	all := outputs("events.1.eu-west-1", 1, 1200)
	all[3].Trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	put(t, sink, all...)
	source.Drain()

	var after uint64
	for {
		records, err := source.Read(t.Context(), after)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			want := all[r.Seq-1]
			if r.Seq != after+1 || r.Prev != after || string(r.Body) != string(want.Body) || r.Producer != want.Producer ||
				r.Number != want.Number || r.Trace != want.Trace || r.Subject != want.Subject ||
				time.Since(r.Time) > time.Minute {
				t.Fatalf("after %d: got %+v, want %+v", after, r, want)
			}
			after = r.Seq
		}
	}
	if after != 1200 {
		t.Errorf("read up to %d, want 1200", after)
	}
}

func TestReadBlocksUntilThereIsARecord(t *testing.T) {
	js := startJetStream(t)
	deploy(t, js)
	sink, source := newSink(t, js), newSource(t, js, "EVENTS_0")

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if r, err := source.Read(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Read of an empty stream: %v, %v", r, err)
	}
	got := make(chan error, 1)
	go func() {
		r, err := source.Read(t.Context(), 0)
		if err == nil && (len(r) != 1 || r[0].Seq != 1) {
			err = fmt.Errorf("got %+v", r)
		}
		got <- err
	}()
	put(t, sink, outputs("events.0.x", 1, 1)...)
	if err := <-got; err != nil {
		t.Fatal(err)
	}
}
