package runnertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// A state is what a Store keeps for one partition.
type state = map[string][]byte

// load returns all that a store holds of a partition.
func load(t *testing.T, s runner.Store, partition string) (schemas.Checkpoint, state) {
	t.Helper()
	cp, keys, err := s.Load(patient(t), partition)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	all := make(state)
	for key, value := range keys {
		if _, twice := all[key]; twice {
			t.Fatalf("Load gives key %q twice", key)
		}
		all[key] = bytes.Clone(value)
	}
	return cp, all
}

func commit(t *testing.T, s runner.Store, partition string, cp schemas.Checkpoint, changed state) {
	t.Helper()
	if err := s.Commit(patient(t), partition, cp, changed); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

func wantState(t *testing.T, s runner.Store, partition string, cp schemas.Checkpoint, want state) {
	t.Helper()
	gotCP, got := load(t, s, partition)
	if diff := cmp.Diff(cp, gotCP, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("checkpoint (-want +got):\n%s", diff)
	}
	if !maps.EqualFunc(want, got, bytes.Equal) { // not cmp: values may have a megabyte
		t.Fatalf("state has keys %.200q, want %.200q; or their values differ",
			slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

// TestStore holds stores to their contract. Each case gets a broker of its own.
func TestStore(t *testing.T, harness func(t *testing.T) Harness) {
	full := schemas.Checkpoint{
		Stream: "2026-11-22T21:00:00.123456789Z", Seq: 1 << 50, Owner: "host-1", Epoch: 7, Generation: 3, Constants: "v1",
		Seen: []schemas.Seen{
			{Producer: "a.0.g0", Number: schemas.Number{Seq: 1 << 40, Index: 3}},
			{Producer: "b.0.g0", Number: schemas.Number{Seq: 2}},
		},
		Keys: 2, Sum: 1<<63 + 5,
	}
	at := func(seq uint64) schemas.Checkpoint {
		return schemas.Checkpoint{Stream: "s", Seq: seq, Owner: "o", Epoch: 1}
	}

	t.Run("nothing yet", func(t *testing.T) {
		wantState(t, harness(t).Store(t, "one"), "0", schemas.Checkpoint{}, nil)
	})
	t.Run("what was committed is loaded", func(t *testing.T) {
		h := harness(t)
		s := h.Store(t, "one")
		load(t, s, "3")
		want := state{
			"a": []byte("A"), "slice.17": {0, 1, 0xff}, "Z_-=/z": []byte("z"), "empty": {},
			"checkpoint": []byte("no"), "aws:1/eu *>": []byte("*"), ".": []byte("."), "a..b": []byte(".."), "\xff\r\n": {1},
			strings.Repeat("k", runner.MaxKey): []byte("long"), strings.Repeat(":", runner.MaxKey): []byte("long"),
			"big": bytes.Repeat([]byte("b"), runner.MaxBody),
		}
		commit(t, s, "3", full, want)
		wantState(t, s, "3", full, want)
		wantState(t, h.Store(t, "one"), "3", full, want)
	})
	t.Run("keys that did not change stay", func(t *testing.T) {
		h := harness(t)
		s := h.Store(t, "one")
		load(t, s, "0")
		commit(t, s, "0", at(1), state{"a": []byte("1"), "b": []byte("1")})
		commit(t, s, "0", at(2), state{"b": []byte("2"), "c": []byte("2")})
		commit(t, s, "0", at(3), nil)
		wantState(t, h.Store(t, "one"), "0", at(3),
			state{"a": []byte("1"), "b": []byte("2"), "c": []byte("2")})
	})
	t.Run("the caller's memory is its own again", func(t *testing.T) {
		h := harness(t)
		s := h.Store(t, "one")
		load(t, s, "0")
		value, cp := []byte("1"), at(1)
		cp.Seen = []schemas.Seen{{Producer: "p"}}
		commit(t, s, "0", cp, state{"a": value})
		value[0], cp.Seen[0].Producer = 'x', "x"
		want := at(1)
		want.Seen = []schemas.Seen{{Producer: "p"}}
		wantState(t, s, "0", want, state{"a": []byte("1")})
	})
	t.Run("partitions and stages are apart", func(t *testing.T) {
		h := harness(t)
		one, two := h.Store(t, "one"), h.Store(t, "two")
		for _, p := range []string{"1", "10", "11"} {
			load(t, one, p)
			commit(t, one, p, at(1), state{"k": []byte("one " + p)})
			load(t, two, p)
			commit(t, two, p, at(2), state{"k": []byte("two " + p)})
		}
		for _, p := range []string{"1", "10", "11"} {
			wantState(t, one, p, at(1), state{"k": []byte("one " + p)})
			wantState(t, two, p, at(2), state{"k": []byte("two " + p)})
		}
	})
	t.Run("as many keys as one commit holds", func(t *testing.T) {
		h := harness(t)
		s := h.Store(t, "one")
		load(t, s, "0")
		want := make(state)
		for i := range runner.MaxChanged {
			want[fmt.Sprintf("slice.%d", i)] = fmt.Appendf(nil, "value %d", i)
		}
		commit(t, s, "0", at(1), want)
		commit(t, s, "0", at(2), want)
		wantState(t, h.Store(t, "one"), "0", at(2), want)
	})

	t.Run("a new generation begins empty", func(t *testing.T) {
		h := harness(t)
		s := h.Store(t, "one")
		load(t, s, "0")
		load(t, s, "1")
		commit(t, s, "0", at(1), state{"a": []byte("1"), "b": []byte("2")})
		commit(t, s, "1", at(1), state{"a": []byte("3")})
		second := at(2)
		second.Generation = 1
		commit(t, s, "0", second, state{"b": []byte("4")})
		wantState(t, h.Store(t, "one"), "0", second, state{"b": []byte("4")})
		third := at(3)
		third.Generation = 2
		commit(t, s, "0", third, nil)
		wantState(t, h.Store(t, "one"), "0", third, nil)
		wantState(t, h.Store(t, "one"), "1", at(1), state{"a": []byte("3")})
	})

	conflict := func(t *testing.T, s runner.Store, cp schemas.Checkpoint, changed state) {
		t.Helper()
		if err := s.Commit(patient(t), "0", cp, changed); !errors.Is(err, runner.ErrConflict) {
			t.Fatalf("Commit: %v, want ErrConflict", err)
		}
	}
	t.Run("an old owner is fenced", func(t *testing.T) {
		h := harness(t)
		old, next := h.Store(t, "one"), h.Store(t, "one")
		load(t, old, "0")
		commit(t, old, "0", at(1), state{"a": []byte("1")})
		load(t, next, "0")
		commit(t, next, "0", at(2), nil) // a claim
		for range 2 {                    // it stays fenced
			conflict(t, old, at(3), state{"a": []byte("old"), "b": []byte("old")})
		}
		wantState(t, h.Store(t, "one"), "0", at(2), state{"a": []byte("1")})
		commit(t, next, "0", at(4), state{"a": []byte("2")})
		load(t, old, "0")
		commit(t, old, "0", at(5), state{"a": []byte("3")})
		conflict(t, next, at(6), nil)
		wantState(t, h.Store(t, "one"), "0", at(5), state{"a": []byte("3")})
	})
	t.Run("of two first owners one wins", func(t *testing.T) {
		h := harness(t)
		a, b := h.Store(t, "one"), h.Store(t, "one")
		load(t, a, "0")
		load(t, b, "0")
		commit(t, a, "0", at(1), state{"a": []byte("a")})
		conflict(t, b, at(2), state{"b": []byte("b")})
		wantState(t, h.Store(t, "one"), "0", at(1), state{"a": []byte("a")})
	})
	t.Run("of many commits at the same time one wins", func(t *testing.T) {
		h := harness(t)
		const n = 8
		results := make(chan error, n)
		ctx := patient(t)
		stores := make([]runner.Store, n)
		for i := range stores { // all have loaded before the first commits
			stores[i] = h.Store(t, "one")
			load(t, stores[i], "0")
		}
		for i, s := range stores {
			go func() {
				results <- s.Commit(ctx, "0", at(uint64(i+1)), state{"k": fmt.Appendf(nil, "%d", i+1)})
			}()
		}
		won := 0
		for range n {
			switch err := <-results; {
			case err == nil:
				won++
			case !errors.Is(err, runner.ErrConflict):
				t.Errorf("Commit: %v, want ErrConflict", err)
			}
		}
		if won != 1 {
			t.Fatalf("%d commits succeeded, want 1", won)
		}
		cp, got := load(t, h.Store(t, "one"), "0")
		if want := fmt.Sprint(cp.Seq); string(got["k"]) != want {
			t.Fatalf("the checkpoint is of commit %s, the state of %s", want, got["k"])
		}
	})
	t.Run("nothing is committed without a load", func(t *testing.T) {
		h := harness(t)
		if err := h.Store(t, "one").Commit(patient(t), "0", at(1), nil); err == nil {
			t.Fatal("Commit succeeded")
		}
		wantState(t, h.Store(t, "one"), "0", schemas.Checkpoint{}, nil)
	})
	t.Run("an ended context", func(t *testing.T) {
		h := harness(t)
		s := h.Store(t, "one")
		load(t, s, "0")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := s.Load(ctx, "0"); err == nil {
			t.Error("Load succeeded")
		}
		if err := s.Commit(ctx, "0", at(1), nil); err == nil {
			t.Error("Commit succeeded")
		}
	})
}
