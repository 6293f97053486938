package runner_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// Outputs have the trace that Trace says, that of their record without it, and the same bodies either way.
func TestTraceIsAHeaderOnly(t *testing.T) {
	type told struct {
		Seq     uint64
		Outputs int
		Err     bool
	}
	var ends []told
	put := func(trace func(*runner.Record) (string, func(int, error))) (bodies, traces []string) {
		s := setup(t)
		for _, body := range []string{"a b", "c"} {
			if err := s.Publish("raw.0.words", []byte(body), parent); err != nil {
				t.Fatal(err)
			}
		}
		s.config.Trace = trace
		inner := s.config.Sink
		s.config.Sink = sinkWith{func(ctx context.Context, out []runner.Output) (int, error) {
			for _, o := range out {
				bodies, traces = append(bodies, string(o.Body)), append(traces, o.Trace)
			}
			return inner.Put(ctx, out...)
		}}
		s.mustDrain()
		return bodies, traces
	}
	without, traces := put(nil)
	if want := slices.Repeat([]string{parent}, 3); !slices.Equal(traces, want) {
		t.Errorf("without Trace: traces %q", traces)
	}
	with, traces := put(func(r *runner.Record) (string, func(int, error)) {
		if r.Trace != parent {
			t.Errorf("record %d has trace %q", r.Seq, r.Trace)
		}
		if r.Seq == 2 {
			return "", nil
		}
		return "another", func(outputs int, err error) { ends = append(ends, told{r.Seq, outputs, err != nil}) }
	})
	if diff := cmp.Diff(without, with); diff != "" {
		t.Errorf("bodies (-without +with):\n%s", diff)
	}
	if want := []string{"another", "another", ""}; !slices.Equal(traces, want) {
		t.Errorf("traces %q, want %q", traces, want)
	}
	if diff := cmp.Diff([]told{{1, 2, false}}, ends); diff != "" {
		t.Errorf("ends (-want +got):\n%s", diff)
	}
}

// An observer sees each snapshot that changes hands, and is told of those that were committed.
func TestObserveTellsWhatIsCommitted(t *testing.T) {
	s := setup(t, "a", "b")
	s.config.CommitBytes = 1
	failed := false
	inner := s.config.Store
	s.config.Store = storeWith{Store: inner, commit: func(ctx context.Context, p string, c schemas.Checkpoint, changed map[string][]byte) error {
		if c.Seq == 1 && !failed {
			failed = true
			return errors.New("the wire is cut")
		}
		return inner.Commit(ctx, p, c, changed)
	}}
	snapshots := 0
	done := make(chan int, 10)
	s.config.Observe = func(runner.Processor) func(time.Duration) {
		snapshots++
		n := snapshots
		return func(time.Duration) { done <- n }
	}
	s.mustDrain()
	close(done)
	var committed []int
	for n := range done {
		committed = append(committed, n)
	}
	// 1 is the claim, 2 fails, 3 claims again; then come both records.
	if want := []int{1, 3, 4, 5}; !slices.Equal(committed, want) || snapshots != 5 {
		t.Errorf("committed %v of %d snapshots, want %v of 5", committed, snapshots, want)
	}
	if st := s.config.Stats; st.Keys.Load() != 2 || st.StateBytes.Load() != 2 {
		t.Errorf("%d keys of %d bytes, want 2 of 2", st.Keys.Load(), st.StateBytes.Load())
	}
}
