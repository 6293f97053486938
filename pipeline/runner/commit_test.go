package runner_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// A commit is what a store was asked for.
type commit struct {
	Seq     uint64
	Epoch   uint64
	Changed []string
}

// record makes the stage's store note its commits, which the function that it returns tells. Commits are made beside the
// loop, and nothing but the mutex orders them and the test.
func (s *stage) record() (commits func() []commit) {
	var mu sync.Mutex
	var all []commit
	inner := s.config.Store
	s.config.Store = storeWith{Store: inner,
		commit: func(ctx context.Context, p string, c schemas.Checkpoint, changed map[string][]byte) error {
			mu.Lock()
			all = append(all, commit{c.Seq, c.Epoch, slices.Sorted(maps.Keys(changed))})
			mu.Unlock()
			return inner.Commit(ctx, p, c, changed)
		}}
	return func() []commit {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

func TestRule4_ACommitIsWhatChangedAndThePosition(t *testing.T) {
	s := setup(t, "a", "b a", "c")
	s.config.CommitBytes = 2
	commits := s.record()
	s.mustDrain()
	want := []commit{{0, 1, nil}, {2, 1, []string{"a", "b"}}, {3, 1, []string{"c"}}}
	if diff := cmp.Diff(want, commits()); diff != "" {
		t.Errorf("commits (-want +got):\n%s", diff)
	}
	cp, state := s.checkpoint()
	if diff := cmp.Diff(map[string]string{"a": "2", "b": "1", "c": "1"}, state); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
	if cp.Keys != 3 || cp.Sum == 0 || cp.Owner != "first" || cp.Stream != "RAW_0#1" || cp.Constants != "v1" {
		t.Errorf("checkpoint %+v", cp)
	}
}

func TestRule4_CommitsComeEveryFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup(t)
		commits := s.record()
		ctx, cancel := context.WithCancel(t.Context())
		done := s.start(ctx)
		seqs := func() (all []uint64) {
			for _, c := range commits() {
				all = append(all, c.Seq)
			}
			return all
		}
		want := func(when string, want ...uint64) {
			t.Helper()
			if got := seqs(); !slices.Equal(got, want) {
				t.Errorf("%s: commits at %v, want %v", when, got, want)
			}
		}
		s.publish("first")
		begin := time.Now() // of the grid: a moment of the partition's own
		for len(seqs()) < 2 && time.Since(begin) <= 5*time.Second {
			<-time.After(time.Millisecond)
			synctest.Wait()
		}
		want("within five seconds", 0, 1)
		begin = time.Now()
		after := func(d time.Duration) {
			<-time.After(time.Until(begin.Add(d)))
			synctest.Wait()
		}
		after(time.Second)
		s.publish("a")
		after(4 * time.Second)
		s.publish("b")
		after(4900 * time.Millisecond)
		want("before five seconds", 0, 1)
		after(5 * time.Second)
		want("after five seconds, without another record", 0, 1, 3)
		after(time.Hour + time.Second)
		want("when nothing has come", 0, 1, 3)
		s.publish("c")
		after(time.Hour + 1001*time.Millisecond)
		want("when the last commit is long ago", 0, 1, 3, 4)
		s.publish("d")
		after(time.Hour + 4900*time.Millisecond)
		want("soon after a commit", 0, 1, 3, 4)
		after(time.Hour + 5*time.Second)
		want("at the moment of the partition again", 0, 1, 3, 4, 5)
		s.publish("e")
		after(time.Hour + 6*time.Second)
		cancel()
		<-done
		want("at a planned stop", 0, 1, 3, 4, 5, 6)
	})
}

// Partitions that are claimed together, and get their records together, commit each at a moment of its own.
func TestCommitsOfPartitionsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		last := make(map[time.Duration]int)
		for p := range 16 {
			s := setup(t, "a")
			s.config.Partition = fmt.Sprint(p)
			var at []time.Time
			inner := s.config.Store
			s.config.Store = storeWith{Store: inner,
				commit: func(ctx context.Context, p string, c schemas.Checkpoint, changed map[string][]byte) error {
					at = append(at, time.Now())
					return inner.Commit(ctx, p, c, changed)
				}}
			ctx, cancel := context.WithCancel(t.Context())
			done := s.start(ctx)
			// The next one begins at the same moment of the five seconds.
			<-time.After(time.Until(begin.Add(time.Duration(p+1) * 10 * time.Second)))
			synctest.Wait()
			if len(at) != 2 {
				t.Fatalf("partition %d: %d commits, want the claim and one", p, len(at))
			}
			last[at[1].Sub(begin)%(5*time.Second)/time.Second]++
			cancel()
			<-done
		}
		for second, n := range last {
			if n > 8 {
				t.Errorf("%d of 16 commits come in second %d", n, second)
			}
		}
	})
}

func TestRule4_CommitsComeAfterEnoughInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup(t)
		s.config.CommitBytes = 4
		commits := s.record()
		done := s.start(t.Context())
		for range 10 {
			s.publish("a")
			synctest.Wait()
		}
		s.source.Drain()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		var seqs []uint64
		for _, c := range commits() {
			seqs = append(seqs, c.Seq)
		}
		if want := []uint64{0, 4, 8, 10}; !slices.Equal(seqs, want) {
			t.Errorf("commits at %v, want %v", seqs, want)
		}
	})
}

// words returns n words from first on.
func words(first, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "w%d ", first+i)
	}
	return b.String()
}

func TestRule4_ReadingWaitsWhenTooManyKeysHaveChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup(t)
		for i := range 30 {
			s.publish(words(100*i, 100)) // all in one read
		}
		inner, release := s.config.Store, make(chan struct{})
		largest, commits := 0, 0
		s.config.Store = storeWith{Store: inner,
			commit: func(ctx context.Context, p string, c schemas.Checkpoint, changed map[string][]byte) error {
				largest = max(largest, len(changed))
				if commits++; commits > 1 {
					<-release
				}
				return inner.Commit(ctx, p, c, changed)
			}}
		done := s.start(t.Context())
		synctest.Wait()
		// 500 keys are in the commit in flight, and 500 more wait for it.
		if got := s.config.Stats.Position.Load(); got != 10 {
			t.Errorf("position %d while a commit is in flight, want 10", got)
		}
		s.source.Drain()
		close(release)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		s.wantSeq(30)
		if largest != runner.MaxDirty {
			t.Errorf("the largest commit had %d keys, want %d", largest, runner.MaxDirty)
		}
		if _, state := s.checkpoint(); len(state) != 3000 {
			t.Errorf("%d keys in the state, want 3000", len(state))
		}
	})
}

func TestRule4_WhatCanNeverBeCommittedIsAnError(t *testing.T) {
	for _, c := range []struct {
		name     string
		snapshot func(changed func(string, []byte)) error
		says     string
	}{
		{"too many keys", func(changed func(string, []byte)) error {
			for i := range runner.MaxChanged + 1 {
				changed(fmt.Sprint(i), nil)
			}
			return nil
		}, "1000 keys"},
		{"too large", func(changed func(string, []byte)) error {
			changed("big", make([]byte, runner.MaxBody+1))
			return nil
		}, `"big"`},
		{"no key", func(changed func(string, []byte)) error { changed("", nil); return nil }, `key ""`},
		{"a zero byte", func(changed func(string, []byte)) error { changed("a\x00", nil); return nil }, `key "a\x00"`},
		{"a long key", func(changed func(string, []byte)) error {
			changed(strings.Repeat("k", runner.MaxKey+1), nil)
			return nil
		}, `key "kkk`},
		{"an error", func(func(string, []byte)) error { return errors.New("cannot") }, "cannot"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := setup(t, "a")
			s.config.New = func(uint64) runner.Processor { return processorWith{Processor: newTally(0), snapshot: c.snapshot} }
			if err := s.drain(); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("Run = %v, want an error with %q", err, c.says)
			}
		})
	}
}

func TestRule4_AfterAFailedCommitTheStateIsLoadedAgain(t *testing.T) {
	for _, c := range []struct {
		name   string
		stored bool
	}{{"nothing was stored", false}, {"all was stored", true}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := setup(t, "a", "a", "a")
				s.config.CommitBytes = 1
				inner, n := s.config.Store, 0
				s.config.Store = storeWith{Store: inner,
					commit: func(ctx context.Context, p string, cp schemas.Checkpoint, changed map[string][]byte) error {
						if n++; n%3 != 2 {
							return inner.Commit(ctx, p, cp, changed)
						}
						if c.stored {
							if err := inner.Commit(ctx, p, cp, changed); err != nil {
								return err
							}
						}
						return errors.New("connection lost")
					}}
				s.mustDrain()
				s.wantSeq(3)
				if _, state := s.checkpoint(); state["a"] != "3" {
					t.Errorf("counted %s, want 3", state["a"])
				}
				// As its reader sees it.
				next := schemas.Number{}
				var got []string
				for _, r := range s.Records("EVENTS_0") {
					if next.Less(r.Number) {
						next = r.Number
						got = append(got, string(r.Body))
					}
				}
				if want := []string{"a 1", "a 2", "a 3"}; !slices.Equal(got, want) {
					t.Errorf("put out %q, want %q", got, want)
				}
				if n := s.config.Stats.Loads.Load(); n < 2 {
					t.Errorf("loaded %d times", n)
				}
			})
		})
	}
}

func TestRule4_AFailedCommitIsNoticedWithoutAnotherRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup(t, "a")
		s.config.CommitBytes = 1
		inner, n := s.config.Store, 0
		s.config.Store = storeWith{Store: inner,
			commit: func(ctx context.Context, p string, c schemas.Checkpoint, changed map[string][]byte) error {
				if n++; n == 2 {
					<-time.After(time.Second) // by then the loop waits for a record
					return errors.New("connection lost")
				}
				return inner.Commit(ctx, p, c, changed)
			}}
		ctx, cancel := context.WithCancel(t.Context())
		done := s.start(ctx)
		<-time.After(2 * time.Second)
		synctest.Wait()
		s.wantSeq(1)
		cancel()
		<-done
	})
}

func TestRule5_LateAnswersAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup(t, "a b c", "a")
		s.mustDrain()
		s.instance("second")
		inner, late := s.config.Store, 4
		s.config.Store = storeWith{Store: inner,
			load: func(ctx context.Context, p string) (schemas.Checkpoint, iter.Seq2[string, []byte], error) {
				cp, state, err := inner.Load(ctx, p)
				if late--; late < 0 {
					return cp, state, err
				}
				return cp, func(yield func(string, []byte) bool) {
					for key, value := range state {
						switch {
						case late == 3 && key == "a": // an older value
							value = []byte("1")
						case late == 2 && key == "b": // not there yet
							continue
						case late == 1 && key == "c": // twice
							yield(key, value)
						case late == 0 && key == "c": // not even to be understood
							value = []byte("?")
						}
						if !yield(key, value) {
							return
						}
					}
				}, err
			}}
		s.publish("a b c")
		s.mustDrain()
		s.wantPut("a 1, b 1, c 1, a 2, a 3, b 2, c 2")
	})
}

func TestRule5_CorruptStateIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup(t, "a b c")
		s.mustDrain()
		s.publish("a")
		s.instance("second")
		inner := s.config.Store
		s.config.Store = storeWith{Store: inner,
			load: func(ctx context.Context, p string) (schemas.Checkpoint, iter.Seq2[string, []byte], error) {
				cp, state, err := inner.Load(ctx, p)
				return cp, func(yield func(string, []byte) bool) {
					for key, value := range state {
						if key == "b" {
							key = "B"
						}
						if !yield(key, value) {
							return
						}
					}
				}, err
			}}
		if err := s.drain(); !errors.Is(err, runner.ErrCorrupt) {
			t.Errorf("Run = %v, want ErrCorrupt", err)
		}
		s.wantPut("a 1, b 1, c 1")
		if cp, _ := s.checkpoint(); cp.Owner != "first" {
			t.Errorf("%s has claimed it", cp.Owner)
		}
	})
}

func TestRule5_StateThatIsNotUnderstoodIsReported(t *testing.T) {
	s := setup(t, "a")
	s.mustDrain()
	s.instance("second")
	s.config.New = func(uint64) runner.Processor {
		return processorWith{Processor: newTally(0), restore: func(string, []byte) error { return schemas.ErrVersion }}
	}
	if err := s.drain(); !errors.Is(err, schemas.ErrVersion) {
		t.Errorf("Run = %v, want ErrVersion", err)
	}
}

func TestRule5_AStoreThatIsAwayIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup(t, "a")
		inner, failures := s.config.Store, 30
		s.config.Store = storeWith{Store: inner,
			load: func(ctx context.Context, p string) (schemas.Checkpoint, iter.Seq2[string, []byte], error) {
				if failures--; failures >= 0 {
					return schemas.Checkpoint{}, nil, errors.New("no connection")
				}
				return inner.Load(ctx, p)
			}}
		s.mustDrain()
		s.wantPut("a 1")
	})
}

func TestOwner_ClaimsBeforeItReads(t *testing.T) {
	s := setup(t, "a")
	s.mustDrain()
	s.instance("second")
	inner := s.source
	s.config.Source = sourceWith{Source: inner, read: func(ctx context.Context, after uint64) ([]runner.Record, error) {
		if cp, _ := s.checkpoint(); cp.Owner != "second" || cp.Epoch != 2 || cp.Seq != 1 {
			t.Errorf("it reads while the checkpoint is %+v", cp)
		}
		return inner.Read(ctx, after)
	}}
	s.mustDrain()
}

func TestOwner_OneThatLivesIsNotInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup(t, "a")
		done := s.start(t.Context())
		synctest.Wait()
		first := s.source

		s.instance("second")
		commits := s.record()
		s.config.Owned = func(owner string) bool { return owner == "first" }
		if err := s.drain(); !errors.Is(err, runner.ErrConflict) || !strings.Contains(err.Error(), "first") {
			t.Errorf("Run = %v, want ErrConflict with the owner's name", err)
		}
		if len(commits()) > 0 {
			t.Errorf("commits %v", commits())
		}
		first.Drain()
		if err := <-done; err != nil {
			t.Errorf("Run of the first = %v", err)
		}
		s.config.Owned = func(owner string) bool { return owner != "first" } // its process has ended
		s.mustDrain()
		if cp, _ := s.checkpoint(); cp.Owner != "second" || cp.Epoch != 2 {
			t.Errorf("checkpoint %+v", cp)
		}
		s.config.Owned = func(string) bool { return true } // but it is our own
		s.mustDrain()
	})
}

func TestOwner_OneThatWakesUpIsFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup(t, "a", "a")
		asleep, wake := make(chan struct{}), make(chan struct{})
		inner := s.config.Sink
		s.config.Sink = sinkWith{func(ctx context.Context, out []runner.Output) (int, error) {
			close(asleep)
			<-wake
			return inner.Put(ctx, out...)
		}}
		s.source.Drain()
		old := s.start(t.Context())
		<-asleep
		s.instance("second").mustDrain()
		s.publish("a")
		s.instance("third").mustDrain()
		close(wake)
		if err := <-old; !errors.Is(err, runner.ErrConflict) || !strings.Contains(err.Error(), "third") {
			t.Errorf("Run = %v, want ErrConflict with the owner's name", err)
		}
		s.wantPut("a 1, a 2, a 3, a 1, a 2")
		s.wantSeq(3)
	})
}

func TestOwner_OfTwoThatClaimOneGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup(t, "a")
		inner := s.config.Store
		rival, first := s.Store("tally"), true
		s.config.Store = storeWith{Store: inner,
			commit: func(ctx context.Context, p string, c schemas.Checkpoint, changed map[string][]byte) error {
				if first {
					first = false
					if _, _, err := rival.Load(ctx, p); err != nil {
						t.Error(err)
					}
					theirs := c
					theirs.Owner = "rival"
					if err := rival.Commit(ctx, p, theirs, nil); err != nil {
						t.Error(err)
					}
				}
				return inner.Commit(ctx, p, c, changed)
			}}
		if err := s.drain(); !errors.Is(err, runner.ErrConflict) {
			t.Errorf("Run = %v, want ErrConflict", err)
		}
		if cp, _ := s.checkpoint(); cp.Owner != "rival" {
			t.Errorf("%s owns it", cp.Owner)
		}
	})
}

// A commit that was given up for lost may arrive after the state was loaded again. That is a conflict with ourselves, and
// nobody else's business.
func TestOwner_ALateCommitOfItsOwnIsNoOtherOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup(t, "a", "a", "a", "a")
		s.config.CommitBytes = 1
		inner := s.Store("tally")
		var late func()
		n := 0
		s.config.Store = storeWith{Store: inner,
			commit: func(ctx context.Context, p string, c schemas.Checkpoint, changed map[string][]byte) error {
				switch n++; n {
				case 2: // it times out …
					view := inner.Fork()
					late = func() {
						if err := view.Commit(context.WithoutCancel(ctx), p, c, changed); err != nil {
							t.Errorf("the late commit: %v", err)
						}
					}
					return errors.New("timeout")
				case 3: // … and arrives just before the next claim
					late()
				}
				return inner.Commit(ctx, p, c, changed)
			}}
		s.mustDrain()
		s.wantSeq(4)
	})
}

func TestStop_CommitsWhatIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup(t, "a", "b")
		ctx, cancel := context.WithCancel(t.Context())
		done := s.start(ctx)
		synctest.Wait()
		s.wantSeq(0)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Fatalf("Run = %v, want context.Canceled", err)
		}
		s.wantSeq(2)
	})
}

func TestStop_GivesThePartitionUp(t *testing.T) {
	for _, c := range []struct {
		name   string
		bodies []string
		wait   time.Duration // before the stop
		want   []commit
	}{
		{"with what is stored", []string{"a", "b"}, 0, []commit{{0, 1, nil}, {2, 1, []string{"a", "b"}}}},
		{"although all is committed", []string{"a"}, 6 * time.Second, []commit{{0, 1, nil}, {1, 1, []string{"a"}}, {1, 1, nil}}},
		{"although nothing came", nil, 0, []commit{{0, 1, nil}, {0, 1, nil}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := setup(t, c.bodies...)
				commits := s.record()
				ctx, cancel := context.WithCancel(t.Context())
				done := s.start(ctx)
				<-time.After(c.wait)
				synctest.Wait()
				cancel()
				if err := <-done; !errors.Is(err, context.Canceled) {
					t.Fatalf("Run = %v, want context.Canceled", err)
				}
				if diff := cmp.Diff(c.want, commits()); diff != "" {
					t.Errorf("commits (-want +got):\n%s", diff)
				}
				if cp, _ := s.checkpoint(); cp.Owner != "" || cp.Epoch != 1 {
					t.Errorf("checkpoint %+v", cp)
				}
				s.instance("second").config.Owned = func(string) bool { return true }
				s.publish("c")
				s.mustDrain()
				if cp, _ := s.checkpoint(); cp.Owner != "second" || cp.Epoch != 2 {
					t.Errorf("checkpoint of the next owner %+v", cp)
				}
			})
		})
	}
}

// What is put when the stop comes is worked on: the next owner need not do it again.
func TestStop_LetsThePutUnderWayEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup(t, "a", "b", "c")
		inner := s.config.Sink
		s.config.Sink = sinkWith{func(ctx context.Context, out []runner.Output) (int, error) {
			select {
			case <-time.After(100 * time.Millisecond):
				return inner.Put(ctx, out...)
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}}
		ctx, cancel := context.WithCancel(t.Context())
		done := s.start(ctx)
		<-time.After(50 * time.Millisecond)
		cancel()
		<-done
		s.wantPut("a 1, b 1, c 1")
		s.wantSeq(3)
		s.instance("second").mustDrain()
		s.wantPut("a 1, b 1, c 1")
	})
}

func TestStop_OfOneWhoHasLostThePartitionChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup(t, "a")
		ctx, cancel := context.WithCancel(t.Context())
		done := s.start(ctx)
		synctest.Wait()
		s.instance("second")
		next := s.start(t.Context())
		synctest.Wait()
		cancel()
		<-done
		if cp, _ := s.checkpoint(); cp.Owner != "second" || cp.Epoch != 2 {
			t.Errorf("checkpoint %+v after the stop of the first owner", cp)
		}
		s.source.Drain()
		if err := <-next; err != nil {
			t.Error(err)
		}
	})
}

// After an error that a person must look at, too, others may try.
func TestStop_AnErrorGivesThePartitionUpWhereItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup(t, "a", "unknown")
		if err := s.drain(); !errors.Is(err, schemas.ErrVersion) {
			t.Fatalf("Run = %v, want ErrVersion", err)
		}
		if cp, state := s.checkpoint(); cp.Owner != "" || cp.Epoch != 1 || cp.Seq != 0 || len(state) != 0 {
			t.Errorf("checkpoint %+v of %v", cp, state)
		}
	})
}

func TestStop_InAFullStreamPutsNothingMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup(t, "a", "b", "c")
		s.Limit("EVENTS_0", 1)
		ctx, cancel := context.WithCancel(t.Context())
		done := s.start(ctx)
		synctest.Wait()
		begin := time.Now()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Fatalf("Run = %v, want context.Canceled", err)
		}
		if d := time.Since(begin); d > 500*time.Millisecond {
			t.Errorf("it took %v", d)
		}
		s.wantPut("a 1")
		s.wantSeq(0) // the state is ahead of what is put
		if cp, state := s.checkpoint(); cp.Owner != "" || cp.Epoch != 1 || len(state) != 0 {
			t.Errorf("checkpoint %+v of %v, want it given up as it was", cp, state)
		}
		s.Limit("EVENTS_0", 0)
		s.instance("second").mustDrain()
		s.wantPut("a 1, a 1, b 1, c 1")
	})
}

func TestStop_WaitsForACommitButNotForEver(t *testing.T) {
	for _, c := range []struct {
		name  string
		takes time.Duration
		want  uint64
	}{{"one that ends", time.Second, 1}, {"one that hangs", time.Hour, 0}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := setup(t, "a")
				s.config.CommitBytes = 1
				inner := s.config.Store
				s.config.Store = storeWith{Store: inner,
					commit: func(ctx context.Context, p string, cp schemas.Checkpoint, changed map[string][]byte) error {
						if cp.Seq > 0 {
							select {
							case <-time.After(c.takes):
							case <-ctx.Done():
								return ctx.Err()
							}
						}
						return inner.Commit(ctx, p, cp, changed)
					}}
				ctx, cancel := context.WithCancel(t.Context())
				done := s.start(ctx)
				synctest.Wait()
				begin := time.Now()
				cancel()
				if err := <-done; !errors.Is(err, context.Canceled) {
					t.Fatalf("Run = %v, want context.Canceled", err)
				}
				if d := time.Since(begin); d > 2*time.Second {
					t.Errorf("it took %v", d)
				}
				s.wantSeq(c.want)
			})
		})
	}
}
