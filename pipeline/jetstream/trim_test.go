package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/schemas"
)

// trimmed is a deployment with one WINDOWS stream and its readers.
type trimmed struct {
	js     natsjs.JetStream
	stores map[string]*jetstream.Store
}

// deployReaders deploys readers of WINDOWS_0, which holds n records.
func deployReaders(t *testing.T, n int, change func(*jetstream.Topology), readers ...string) *trimmed {
	t.Helper()
	r := &trimmed{js: startJetStream(t), stores: make(map[string]*jetstream.Store)}
	c := small()
	c.Stages, c.Readers = slices.Clone(readers), make(map[string]schemas.Flow)
	for _, reader := range readers {
		c.Readers[reader] = schemas.WindowsFlow
	}
	if change != nil {
		change(&c)
	}
	if err := jetstream.Deploy(t.Context(), r.js, c); err != nil {
		t.Fatal(err)
	}
	for _, reader := range readers {
		var err error
		if r.stores[reader], err = jetstream.OpenStore(t.Context(), r.js, reader); err != nil {
			t.Fatal(err)
		}
	}
	if n > 0 {
		put(t, newSink(t, r.js), outputs("windows.0.r.counts", 1, n)...)
	}
	return r
}

// commit lets readers commit a position in the stream as it is now.
func (r *trimmed) commit(ctx context.Context, seq uint64, readers ...string) error {
	info, err := jetstream.NewSource(r.js, "WINDOWS_0", jetstream.SourceConfig{}).Info(ctx)
	if err != nil {
		return err
	}
	for _, reader := range readers {
		if _, _, err := r.stores[reader].Load(ctx, "0"); err != nil {
			return err
		}
		if err := r.stores[reader].Commit(ctx, "0", schemas.Checkpoint{Stream: info.ID, Seq: seq, Epoch: 1}, nil); err != nil {
			return err
		}
	}
	return nil
}

func (r *trimmed) mustCommit(t *testing.T, seq uint64, readers ...string) {
	t.Helper()
	if err := r.commit(t.Context(), seq, readers...); err != nil {
		t.Fatal(err)
	}
}

// wantTrim trims and compares the first record that is left.
func (r *trimmed) wantTrim(t *testing.T, first uint64) {
	t.Helper()
	if _, err := jetstream.Trim(t.Context(), r.js, "WINDOWS_0"); err != nil {
		t.Fatal(err)
	}
	if got := openStream(t, r.js, "WINDOWS_0").CachedInfo().State.FirstSeq; got != first {
		t.Errorf("after Trim the stream begins at %d, want %d", got, first)
	}
}

// Rule 7: the slowest registered reader decides, and one without a checkpoint holds everything.
func TestRule7SevenReaders(t *testing.T) {
	seven := []string{"d1", "d2", "d3", "d4", "d5", "slow", "new"}
	r := deployReaders(t, 50, nil, seven...)
	r.wantTrim(t, 1) // nobody has started
	r.mustCommit(t, 40, "d1", "d2", "d3", "d4", "d5")
	r.mustCommit(t, 7, "slow")
	r.wantTrim(t, 1) // "new" has no checkpoint
	r.mustCommit(t, 30, "new")
	r.wantTrim(t, 8)
	if err := jetstream.DisableReader(t.Context(), r.js, "slow"); err != nil {
		t.Fatal(err)
	}
	r.wantTrim(t, 31)
	r.mustCommit(t, 50, "d1", "d2", "d3", "d4", "d5", "new")
	r.wantTrim(t, 51) // all of it: the next record is the 51st
	put(t, newSink(t, r.js), outputs("windows.0.r.counts", 51, 1)...)
	if got := openStream(t, r.js, "WINDOWS_0").CachedInfo().State.LastSeq; got != 51 {
		t.Errorf("the next record is the %d.", got)
	}
}

func TestRule7WhatHoldsAStream(t *testing.T) {
	t.Run("trimming is off", func(t *testing.T) {
		r := deployReaders(t, 10, func(c *jetstream.Topology) { c.Trim = false }, "a")
		r.mustCommit(t, 10, "a")
		r.wantTrim(t, 1)
	})
	t.Run("a tail is kept", func(t *testing.T) {
		r := deployReaders(t, 10, func(c *jetstream.Topology) { c.KeepTail = 4 }, "a")
		r.mustCommit(t, 3, "a")
		r.wantTrim(t, 1)
		r.mustCommit(t, 10, "a")
		r.wantTrim(t, 7)
	})
	t.Run("nobody is registered", func(t *testing.T) {
		r := deployReaders(t, 10, func(c *jetstream.Topology) { c.Readers = nil }, "a")
		r.mustCommit(t, 10, "a")
		r.wantTrim(t, 1)
	})
	t.Run("a checkpoint of another stream", func(t *testing.T) {
		r := deployReaders(t, 10, nil, "a", "b")
		r.mustCommit(t, 9, "a", "b")
		if err := r.js.DeleteStream(t.Context(), "WINDOWS_0"); err != nil {
			t.Fatal(err)
		}
		c := small()
		c.Stages = nil
		if err := jetstream.Deploy(t.Context(), r.js, c); err != nil {
			t.Fatal(err)
		}
		put(t, newSink(t, r.js), outputs("windows.0.r.counts", 1, 20)...)
		r.mustCommit(t, 20, "a")
		r.wantTrim(t, 1)
	})
	// After a power loss, for example. Purging would lead the stream's numbers ahead of what it holds.
	t.Run("a position behind the end", func(t *testing.T) {
		r := deployReaders(t, 10, nil, "a")
		r.mustCommit(t, 500, "a")
		r.wantTrim(t, 11)
		if got := openStream(t, r.js, "WINDOWS_0").CachedInfo().State.LastSeq; got != 10 {
			t.Errorf("the stream ends at %d", got)
		}
	})
}

// Rule 7: whatever readers and trimmers do at the same time, nothing goes that somebody has not committed, and everybody who
// starts again finds the record after his position.
func TestRule7TrimmersRace(t *testing.T) {
	readers := []string{"a", "b", "c"}
	r := deployReaders(t, 0, nil, readers...)
	sink := newSink(t, r.js)
	at := map[string]uint64{"a": 0, "b": 0, "c": 0}
	last := uint64(0)
	rapid.Check(t, func(rt *rapid.T) {
		more := rapid.IntRange(1, 20).Draw(rt, "records")
		put(t, sink, outputs("windows.0.r.counts", int(last)+1, more)...)
		last += uint64(more)
		next := make(map[string]uint64)
		for _, reader := range readers {
			next[reader] = rapid.Uint64Range(at[reader], last).Draw(rt, reader)
		}
		var all sync.WaitGroup
		for _, reader := range readers {
			all.Go(func() {
				if err := r.commit(t.Context(), next[reader], reader); err != nil {
					t.Error(err)
				}
				if _, err := jetstream.Trim(t.Context(), r.js, "WINDOWS_0"); err != nil {
					t.Error(err)
				}
			})
		}
		all.Go(func() { // one that has committed nothing new
			if _, err := jetstream.Trim(t.Context(), r.js, "WINDOWS_0"); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
		at = next
		slowest := min(at["a"], at["b"], at["c"])
		s := openStream(t, r.js, "WINDOWS_0").CachedInfo().State
		if s.FirstSeq > slowest+1 || s.LastSeq != last {
			rt.Fatalf("the stream has %d to %d, the readers are at %v of %d", s.FirstSeq, s.LastSeq, at, last)
		}
		// When they are done, one more trim takes all that it may.
		if _, err := jetstream.Trim(t.Context(), r.js, "WINDOWS_0"); err != nil {
			rt.Fatal(err)
		}
		if first := openStream(t, r.js, "WINDOWS_0").CachedInfo().State.FirstSeq; first != slowest+1 {
			rt.Fatalf("the stream begins at %d, the slowest is at %d", first, slowest)
		}
		for reader, seq := range at {
			if seq == last {
				continue
			}
			source := jetstream.NewSource(r.js, "WINDOWS_0", jetstream.SourceConfig{Messages: 1})
			got, err := source.Read(t.Context(), seq)
			if err != nil || got[0].Seq != seq+1 || got[0].Prev != seq {
				rt.Fatalf("%s goes on after %d: %+v, %v", reader, seq, got, err)
			}
			source.Close()
		}
	})
}

func TestReadersAreChangedByCommandOnly(t *testing.T) {
	r := deployReaders(t, 10, nil, "a", "b")
	ctx := t.Context()
	enabled := func() string {
		t.Helper()
		all, err := jetstream.LoadReaders(ctx, r.js)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for name, reader := range all.Stages {
			if reader.Enabled {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return strings.Join(names, " ")
	}
	if err := jetstream.DisableReader(ctx, r.js, "b"); err != nil {
		t.Fatal(err)
	}
	c := small()
	c.Stages, c.Readers = []string{"a", "b", "c"}, map[string]schemas.Flow{"a": "windows", "b": "windows", "c": "windows"}
	if err := jetstream.Deploy(ctx, r.js, c); err != nil { // by a version that has one more
		t.Fatal(err)
	}
	if got := enabled(); got != "a c" {
		t.Errorf("after an upgrade %s are registered", got)
	}
	for _, change := range []func(string) error{
		func(s string) error { return jetstream.DisableReader(ctx, r.js, s) },
		func(s string) error { return jetstream.EnableReader(ctx, r.js, s, false) },
	} {
		if err := change("x"); !errors.Is(err, jetstream.ErrReader) || !strings.Contains(err.Error(), `no reader "x", only a, b, c`) {
			t.Errorf("an unknown stage: %v", err)
		}
	}
	if err := jetstream.DisableReader(ctx, r.js, "c"); err != nil {
		t.Fatal(err)
	}
	if err := jetstream.DisableReader(ctx, r.js, "a"); !errors.Is(err, jetstream.ErrReader) ||
		!strings.Contains(err.Error(), "nobody else reads WINDOWS") {
		t.Errorf("the last reader: %v", err)
	}
	if got := enabled(); got != "a" {
		t.Errorf("%s are registered", got)
	}
}

// Two people who change the set at the same time both succeed.
func TestReadersAreChangedTogether(t *testing.T) {
	var names []string
	for i := range 8 {
		names = append(names, fmt.Sprint("r", i))
	}
	r := deployReaders(t, 0, nil, append(names, "last")...)
	var all sync.WaitGroup
	for _, name := range names[:4] {
		all.Go(func() {
			if err := jetstream.DisableReader(t.Context(), r.js, name); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	readers, err := jetstream.LoadReaders(t.Context(), r.js)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		if readers.Stages[name].Enabled != (i >= 4) {
			t.Errorf("%s: %+v", name, readers.Stages[name])
		}
	}
}

// A reader that is registered again after it has missed records is told so, and can begin afresh.
func TestEnableSaysWhatWasLost(t *testing.T) {
	r := deployReaders(t, 50, nil, "a", "b")
	ctx := t.Context()
	r.mustCommit(t, 10, "a", "b")
	if err := jetstream.DisableReader(ctx, r.js, "b"); err != nil {
		t.Fatal(err)
	}
	r.wantTrim(t, 11)
	if err := jetstream.EnableReader(ctx, r.js, "b", false); err != nil {
		t.Fatalf("nothing is lost: %v", err)
	}
	if err := jetstream.DisableReader(ctx, r.js, "b"); err != nil {
		t.Fatal(err)
	}
	r.mustCommit(t, 40, "a")
	r.wantTrim(t, 41)
	places, err := jetstream.PlacesOf(ctx, r.js)
	if err != nil || len(places) != 2 {
		t.Fatalf("PlacesOf: %+v, %v", places, err)
	}
	a, b := places[0], places[1]
	if a.Lag() != 10 || a.Missed() != 0 || !a.Enabled || !a.Same || b.Lag() != 40 || b.Missed() != 30 || b.Enabled {
		t.Errorf("places: %+v", places)
	}
	err = jetstream.EnableReader(ctx, r.js, "b", false)
	if !errors.Is(err, jetstream.ErrReader) || !strings.Contains(err.Error(), "30 of WINDOWS_0") {
		t.Errorf("EnableReader: %v", err)
	}
	if readers, err := jetstream.LoadReaders(ctx, r.js); err != nil || readers.Stages["b"].Enabled {
		t.Errorf("a refused reader holds the stream: %+v, %v", readers, err)
	}
	if err := jetstream.EnableReader(ctx, r.js, "b", true); err != nil {
		t.Fatal(err)
	}
	c, state, err := r.stores["b"].Load(ctx, "0")
	if err != nil || c.Epoch != 0 {
		t.Errorf("its checkpoint: %+v, %v", c, err)
	}
	for key := range state {
		t.Errorf("it still has %s", key)
	}
	r.mustCommit(t, 50, "a")
	r.wantTrim(t, 41) // held for the one that begins
}

// What a reader has missed in one partition makes it forget no other, whatever generation each is in.
func TestEnableAfreshForgetsWhatMissedSomething(t *testing.T) {
	r := deployReaders(t, 50, nil, "a", "b")
	ctx := t.Context()
	r.mustCommit(t, 10, "a", "b")
	store := r.stores["b"]
	info, err := jetstream.NewSource(r.js, "WINDOWS_0", jetstream.SourceConfig{}).Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	commit := func(partition string, generation uint64) {
		t.Helper()
		c, _, err := store.Load(ctx, partition)
		if err != nil {
			t.Fatal(err)
		}
		c.Stream, c.Seq, c.Generation, c.Epoch = info.ID, 10, generation, c.Epoch+1
		if err := store.Commit(ctx, partition, c, map[string][]byte{"k": {1}}); err != nil {
			t.Fatal(err)
		}
	}
	commit("0", 7)
	commit("1", 7)
	if err := jetstream.DisableReader(ctx, r.js, "b"); err != nil {
		t.Fatal(err)
	}
	r.mustCommit(t, 40, "a")
	r.wantTrim(t, 41)
	if err := jetstream.EnableReader(ctx, r.js, "b", true); err != nil {
		t.Fatal(err)
	}
	for partition, want := range map[string]int{"0": 0, "1": 1} {
		c, state, err := store.Load(ctx, partition)
		n := 0
		for range state {
			n++
		}
		if err != nil || n != want || (c.Epoch > 0) != (want > 0) {
			t.Errorf("partition %s: %d keys, %+v, %v", partition, n, c, err)
		}
	}
}

// Whoever reads on where the stream was trimmed sees that its records are gone.
func TestRule7AGapShows(t *testing.T) {
	r := deployReaders(t, 50, nil, "a")
	r.mustCommit(t, 40, "a")
	r.wantTrim(t, 41)
	records, err := newSource(t, r.js, "WINDOWS_0").Read(t.Context(), 20)
	if err != nil || records[0].Prev != 40 {
		t.Errorf("Read after 20: %+v, %v", records[:min(1, len(records))], err)
	}
}
