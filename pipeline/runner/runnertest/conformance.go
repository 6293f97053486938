// Package runnertest holds every implementation of the runner's ports, and every pipeline of processors, to the runner's
// law.
//
// [TestSource], [TestSink] and [TestStore] are the contracts of the ports as tests; each implementation runs them. [Crash]
// runs a whole pipeline with faults at every step and compares what comes out with an undisturbed run.
package runnertest

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// A Harness makes the ports of one implementation over one broker that is empty at first. The suite uses the streams RAW_0,
// EVENTS_0, EVENTS_1 and INSIGHTS, and the buckets "one" and "two"; whatever must exist before they are used, the harness
// makes. Two calls of Source or Store return ports that know nothing of each other, as two instances have.
type Harness struct {
	Source func(t *testing.T, stream string) runner.Source
	Sink   func(t *testing.T) runner.Sink
	Store  func(t *testing.T, bucket string) runner.Store

	Publish   func(t *testing.T, subject string, body []byte) // stores a record without a producer
	Drain     func(t *testing.T, s runner.Source)             // what is stored now is all that s reads
	Purge     func(t *testing.T, stream string, upTo uint64)  // removes the head of a stream
	Recreate  func(t *testing.T, stream string)               // deletes a stream and makes it again, empty
	Limit     func(t *testing.T, stream string, bytes int)    // bounds a stream that refuses records when full
	Conflicts func(t *testing.T, s runner.Sink) int           // outputs with Once that met other bytes
}

// patience bounds every wait of the suite. It is never reached unless something hangs.
const patience = 20 * time.Second

func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// outputs returns n outputs on a subject, numbered from first.
func outputs(subject string, first, n int) []runner.Output {
	out := make([]runner.Output, n)
	for i := range out {
		k := first + i
		out[i] = runner.Output{
			Subject: subject, Body: fmt.Appendf(nil, "body %d", k), Producer: "stage.0.g0",
			Number: schemas.Number{Seq: uint64(1 + k/3), Index: uint32(k % 3)}, Trace: fmt.Sprintf("trace-%d", k),
		}
	}
	return out
}

func put(t *testing.T, s runner.Sink, out ...runner.Output) {
	t.Helper()
	if n, err := s.Put(patient(t), out...); n != len(out) || err != nil {
		t.Fatalf("Put stored %d of %d outputs: %v", n, len(out), err)
	}
}

// A got is a record that outlives the next Read.
type got struct {
	runner.Record
	body []byte
}

// readN reads at least n records after a position and checks their continuity.
func readN(t *testing.T, s runner.Source, after uint64, n int) []got {
	t.Helper()
	ctx := patient(t)
	var all []got
	for len(all) < n {
		records, err := s.Read(ctx, after)
		if err != nil {
			t.Fatalf("Read(%d) after %d of %d records: %v", after, len(all), n, err)
		}
		if len(records) == 0 {
			t.Fatalf("Read(%d) returned no record and no error", after)
		}
		for _, r := range records {
			if r.Prev != after || r.Seq <= r.Prev {
				t.Fatalf("record %d says that it follows %d, read after %d", r.Seq, r.Prev, after)
			}
			after = r.Seq
			all = append(all, got{r, bytes.Clone(r.Body)})
		}
	}
	return all
}

// wantOutputs compares records with the outputs that they were.
func wantOutputs(t *testing.T, records []got, want []runner.Output) {
	t.Helper()
	if len(records) != len(want) {
		t.Fatalf("%d records, want %d", len(records), len(want))
	}
	for i, r := range records {
		w := want[i]
		if r.Subject != w.Subject || !bytes.Equal(r.body, w.Body) ||
			r.Producer != w.Producer || r.Number != w.Number || r.Trace != w.Trace {
			t.Fatalf("record %d is %s %s %v %s %.40q, want %s %s %v %s %.40q", r.Seq,
				r.Subject, r.Producer, r.Number, r.Trace, r.body, w.Subject, w.Producer, w.Number, w.Trace, w.Body)
		}
	}
}

// stored returns all that a stream holds.
func stored(t *testing.T, h Harness, stream string) []got {
	t.Helper()
	s := h.Source(t, stream)
	info, err := s.Info(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	if info.Last < info.First {
		return nil
	}
	return readN(t, s, info.First-1, int(info.Last+1-info.First))
}
