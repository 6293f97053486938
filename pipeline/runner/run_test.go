package runner_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/google/go-cmp/cmp"
	"github.com/trailvane/trailvane/pipeline/memory"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// The rules are those of docs/decisions/0001-runner-protocol.md.

func TestRule1_GoesOnWhereItWas(t *testing.T) {
	s := setup(t, "a b", "a")
	s.mustDrain()
	s.wantSeq(2)
	s.publish("a", "b")
	s.instance("second").mustDrain()
	s.wantPut("a 1, b 1, a 2, a 3, b 2")
	s.wantSeq(4)
}

func TestRule1_BeginsWithTheFirstRecordThereIs(t *testing.T) {
	s := setup(t, "a", "b", "c")
	s.Purge("RAW_0", 2)
	s.mustDrain()
	s.wantPut("c 1")
	cp, _ := s.checkpoint()
	if cp.Generation != 2 || s.Records("EVENTS_0")[0].Producer != "tally.0.g2.d7863b0d" {
		t.Errorf("generation %d of %s, want 2", cp.Generation, s.Records("EVENTS_0")[0].Producer)
	}
	s.publish("c")
	s.instance("second").mustDrain() // the generation stays
	s.wantPut("c 1, c 2")
	if p := s.Records("EVENTS_0")[1].Producer; p != "tally.0.g2.d7863b0d" {
		t.Errorf("producer is %s after a restart", p)
	}
}

func TestRule1_SaysWhatIsMissing(t *testing.T) {
	for _, c := range []struct {
		name string
		lose func(*stage)
		says string
	}{
		{"the head is gone", func(s *stage) { s.publish("c", "d"); s.Purge("RAW_0", 3) },
			"records 3 to 3 of RAW_0#1 are gone"},
		{"all of it is gone", func(s *stage) { s.publish("c", "d"); s.Purge("RAW_0", 4) },
			"records 3 to 4 of RAW_0#1 are gone"},
		{"it is another stream", func(s *stage) { s.Delete("RAW_0"); s.publish("a", "b", "c") },
			"but the state was made from RAW_0#1"},
		{"the end is gone", func(s *stage) {
			s.config.Source = sourceWith{Source: s.source, info: func(ctx context.Context) (runner.Info, error) {
				i, err := s.source.Info(ctx)
				i.Last = 1 // as after a restore from a backup
				return i, err
			}}
		}, "records 2 to 2 of"},
		{"a record does not follow", func(s *stage) {
			s.publish("c", "d")
			s.config.Source = sourceWith{Source: s.source, read: func(ctx context.Context, after uint64) ([]runner.Record, error) {
				r, err := s.source.Read(ctx, after)
				return r[1:], err
			}}
		}, "record 4 of RAW_0#1 follows 3, but the position is 2"},
		{"a record goes back", func(s *stage) {
			s.config.Source = sourceWith{Source: s.source, read: func(context.Context, uint64) ([]runner.Record, error) {
				return []runner.Record{{Seq: 2, Prev: 2}}, nil
			}}
		}, "record 2 of RAW_0#1 follows 2"},
		{"the source says so", func(s *stage) {
			s.config.Source = sourceWith{Source: s.source, read: func(context.Context, uint64) ([]runner.Record, error) {
				return nil, runner.ErrGap
			}}
		}, ""},
		{"the stream is replaced while it is read", func(s *stage) {
			s.config.Source = sourceWith{Source: s.source, read: func(context.Context, uint64) ([]runner.Record, error) {
				s.Delete("RAW_0")
				return nil, errors.New("connection lost")
			}}
		}, "the stream is RAW_0#2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := setup(t, "a", "b")
			s.mustDrain()
			c.lose(s.instance("second"))
			err := s.drain()
			if !errors.Is(err, runner.ErrGap) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("Run = %v, want ErrGap with %q", err, c.says)
			}
			s.wantPut("a 1, b 1")
		})
	}
}

// Ingest's positions are places in objects: they grow, but not one by one.
func TestRule1_SequencesMayHaveHoles(t *testing.T) {
	const object = 1 << 40
	records := []runner.Record{
		{Seq: object, Body: []byte("a")}, {Seq: object + 300, Prev: object, Body: []byte("a")},
		{Seq: 3*object + 7, Prev: object + 300, Body: []byte("b a")},
	}
	s := setup(t)
	s.config.Source = sourceWith{
		info: func(context.Context) (runner.Info, error) {
			return runner.Info{ID: "a folder", First: 1, Last: math.MaxInt64}, nil
		},
		read: func(_ context.Context, after uint64) ([]runner.Record, error) {
			for _, r := range records {
				if r.Prev == after {
					return []runner.Record{r}, nil
				}
			}
			return nil, io.EOF
		},
	}
	s.config.CommitBytes = 1
	if err := runner.Run(t.Context(), s.config); err != nil {
		t.Fatal(err)
	}
	s.wantPut("a 1, a 2, b 1, a 3")
	s.wantSeq(3*object + 7)
	if n := s.Records("EVENTS_0")[3].Number; n != (schemas.Number{Seq: 3*object + 7, Index: 1}) {
		t.Errorf("number %v", n)
	}
}

func TestRule1_AReadThatFailsIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup(t, "a", "b")
		failures := 12
		s.config.Source = sourceWith{Source: s.source, read: func(ctx context.Context, after uint64) ([]runner.Record, error) {
			if failures--; failures >= 0 {
				return nil, errors.New("connection lost")
			}
			return s.source.Read(ctx, after)
		}}
		s.mustDrain()
		s.wantPut("a 1, b 1")
		if n := s.config.Stats.Retries.Load(); n != 12 {
			t.Errorf("%d retries counted, want 12", n)
		}
	})
}

func TestRule2_CutsChangeNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		bodies := rapid.SliceOfN(rapid.StringMatching(`([abc] ){0,4}`), 1, 12).Draw(rt, "records")
		whole := setup(t, bodies...)
		whole.mustDrain()

		cut := setup(t, bodies...)
		for range 1000 { // a new instance after every few records, commits anywhere
			stopAfter := rapid.IntRange(1, len(bodies)).Draw(rt, "until a stop")
			cut.instance("next")
			cut.config.CommitBytes = rapid.SampledFrom([]int{1, 3, 8, 1000}).Draw(rt, "commit bytes")
			inner := cut.source
			inner.Drain()
			read := 0
			cut.config.Source = sourceWith{Source: inner, read: func(ctx context.Context, after uint64) ([]runner.Record, error) {
				r, err := inner.Read(ctx, after)
				if err != nil {
					return nil, err
				}
				if read >= stopAfter {
					return nil, io.EOF // which commits what is done
				}
				r = r[:min(len(r), rapid.IntRange(1, 5).Draw(rt, "records in a read"))]
				read += len(r)
				return r, err
			}}
			if err := runner.Run(t.Context(), cut.config); err != nil {
				rt.Fatal(err)
			}
			if cp, _ := cut.checkpoint(); cp.Seq == uint64(len(bodies)) {
				break
			}
		}
		if got, want := cut.put(), whole.put(); got != want {
			rt.Fatalf("put out %q, want %q", got, want)
		}
	})
}

func TestRule2_AnErrorOfTheProcessorStopsTheStage(t *testing.T) {
	s := setup(t, "a", "unknown", "b")
	if err := s.drain(); !errors.Is(err, schemas.ErrVersion) || !strings.Contains(err.Error(), "record 2") {
		t.Fatalf("Run = %v, want ErrVersion at record 2", err)
	}
	s.wantPut("") // what was read with it is not put either; a newer program will
	s.wantSeq(0)
}

func TestUpgrade_OtherConstantsGoOn(t *testing.T) {
	s := setup(t, "a")
	s.mustDrain()
	s.publish("a b")
	s.instance("second").config.Constants = "v2"
	s.mustDrain()
	cp, state := s.checkpoint()
	if cp.Owner != "second" || cp.Constants != "v2" || cp.Generation != 0 {
		t.Errorf("checkpoint %+v", cp)
	}
	if diff := cmp.Diff(map[string]string{"a": "2", "b": "1"}, state); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
}

func TestUpgrade_AModelBeginsAnew(t *testing.T) {
	s := setup(t, "a", "a b")
	s.mustDrain()
	s.publish("a c")
	second := s.instance("second")
	second.config.Constants, second.config.Anew = "v2", true
	second.mustDrain()
	cp, state := second.checkpoint()
	if cp.Constants != "v2" || cp.Generation != 2 || cp.Seq != 3 || cp.Keys != 2 {
		t.Errorf("checkpoint %+v", cp)
	}
	if diff := cmp.Diff(map[string]string{"a": "1", "c": "1"}, state); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
	records := s.Records("EVENTS_0")
	if last := records[len(records)-1]; last.Producer != "tally.0.g2.d7863b0d" {
		t.Errorf("its outputs are of producer %q, want tally.0.g2.d7863b0d", last.Producer)
	}
	// Once more it goes on, and the first model's program begins anew too.
	s.publish("c")
	third := s.instance("third")
	third.config.Constants, third.config.Anew = "v2", true
	third.mustDrain()
	if cp, state := third.checkpoint(); cp.Generation != 2 || state["c"] != "2" {
		t.Errorf("checkpoint %+v, state %v", cp, state)
	}
}

func TestUpgrade_FormatsOfTheState(t *testing.T) {
	for _, c := range []struct {
		name             string
		version, oldest  uint32
		anew             bool
		want             error
		generation, keys uint64
	}{
		{name: "the same", version: 5, oldest: 5, keys: 1},
		{name: "newer, which reads it", version: 6, oldest: 5, keys: 1},
		{name: "newer, which does not", version: 7, oldest: 6, want: runner.ErrOlder},
		{name: "newer, which does not and can learn again", version: 7, oldest: 6, anew: true, generation: 1},
		{name: "older", version: 4, oldest: 3, want: runner.ErrNewer},
		{name: "older, also if it can learn again", version: 4, oldest: 3, anew: true, want: runner.ErrNewer},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := setup(t, "a")
			s.config.Version, s.config.Oldest = 5, 5
			s.mustDrain()
			second := s.instance("second")
			second.config.Version, second.config.Oldest, second.config.Anew = c.version, c.oldest, c.anew
			err := second.drain()
			if !errors.Is(err, c.want) {
				t.Fatalf("Run = %v, want %v", err, c.want)
			}
			cp, _ := second.checkpoint()
			if err != nil {
				if cp.Owner != "first" || cp.Version != 5 {
					t.Errorf("it changed the checkpoint: %+v", cp)
				}
				return
			}
			if cp.Owner != "second" || cp.Version != c.version || cp.Generation != c.generation || cp.Keys != c.keys {
				t.Errorf("checkpoint %+v", cp)
			}
		})
	}
}

func TestUpgrade_ACheckpointOfANewerVersionIsNotTouched(t *testing.T) {
	s := setup(t, "a")
	s.config.Store = storeWith{Store: s.config.Store,
		load: func(context.Context, string) (schemas.Checkpoint, iter.Seq2[string, []byte], error) {
			return schemas.Checkpoint{}, nil, fmt.Errorf("checkpoint: %w", schemas.ErrVersion)
		}}
	if err := s.drain(); !errors.Is(err, runner.ErrNewer) {
		t.Fatalf("Run = %v, want ErrNewer", err)
	}
}

// An input that has a state of its own, as that of ingest has, may be newer or corrupt: that is for a person, too.
func TestUpgrade_AnInputOfANewerVersionIsNotTouched(t *testing.T) {
	for _, want := range []error{runner.ErrNewer, runner.ErrCorrupt} {
		synctest.Test(t, func(t *testing.T) {
			s := setup(t, "a")
			s.config.Source = sourceWith{Source: s.source, info: func(context.Context) (runner.Info, error) {
				return runner.Info{}, fmt.Errorf("load the plan: %w", want)
			}}
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			if err := runner.Run(ctx, s.config); !errors.Is(err, want) {
				t.Errorf("Run = %v, want %v", err, want)
			}
			if cp, _, err := s.Store("tally").Load(t.Context(), "0"); err != nil || cp.Epoch != 0 {
				t.Errorf("it was claimed: %+v, %v", cp, err)
			}
		})
	}
}

// Producers were once named without their input stream. What such a program had put when it was killed comes again under the
// new name.
func TestUpgrade_ProducersThatHaveANewName(t *testing.T) {
	s := setup(t)
	in := func(producer string, seq uint64, body string) {
		t.Helper()
		o := runner.Output{Subject: "raw.0.words", Body: []byte(body), Producer: producer, Number: schemas.Number{Seq: seq}}
		if _, err := s.Sink().Put(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	in("tally.0.g0", 1, "a")
	in("tally.0.g0", 2, "a")
	in("tally.1.g0", 2, "a")
	s.mustDrain()
	in("tally.0.g0", 3, "a")          // put, and not committed by whoever put it
	in("tally.0.g0.d7863b0d", 2, "a") // so it comes again
	in("tally.0.g0.d7863b0d", 3, "a")
	in("tally.0.g0.d7863b0d", 4, "b")
	in("tally.0.g5.d7863b0d", 1, "c") // other generations are other producers,
	in("tally.0.g0.00000000", 1, "d") // and so are other streams
	s.instance("second").mustDrain()
	s.wantPut("a 1, a 2, a 3, a 4, b 1, c 1, d 1")
	cp, _ := s.checkpoint()
	want := []schemas.Seen{
		{Producer: "tally.0.g0.00000000", Number: schemas.Number{Seq: 1}},
		{Producer: "tally.0.g0.d7863b0d", Number: schemas.Number{Seq: 4}},
		{Producer: "tally.0.g5.d7863b0d", Number: schemas.Number{Seq: 1}},
		{Producer: "tally.1.g0", Number: schemas.Number{Seq: 2}},
	}
	if !slices.Equal(cp.Seen, want) {
		t.Errorf("seen %v, want %v", cp.Seen, want)
	}
}

// Whoever sends in another's name is not heard, and lifts nobody's number.
func TestForgedProducersAreRefused(t *testing.T) {
	s := setup(t)
	of := runner.By("words")
	s.config.Accept = func(r *runner.Record) bool { return of(r) && string(r.Body) != "forged" }
	for _, o := range []runner.Output{
		{Producer: runner.Producer("words", "0", "RAW_0", 0), Number: schemas.Number{Seq: 1}, Body: []byte("a")},
		{Producer: runner.Producer("words", "0", "RAW_0", 0), Number: schemas.Number{Seq: 1 << 60}, Body: []byte("forged")},
		{Body: []byte("unnumbered")},
		{Producer: "words", Number: schemas.Number{Seq: 2}, Body: []byte("other")},
		{Producer: runner.Producer("swords", "0", "RAW_0", 0), Number: schemas.Number{Seq: 2}, Body: []byte("other")},
		{Producer: runner.Producer("wordsmith", "0", "RAW_0", 0), Number: schemas.Number{Seq: 2}, Body: []byte("other")},
		{Producer: runner.Producer("words", "0", "RAW_0", 0), Number: schemas.Number{Seq: 2}, Body: []byte("a")},
	} {
		o.Subject = "raw.0.words"
		if _, err := s.Sink().Put(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	s.mustDrain()
	s.wantPut("a 1, a 2")
	s.wantSeq(7)
	if n := s.config.Stats.Refused.Load(); n != 5 {
		t.Errorf("%d records refused, want 5", n)
	}
}

func TestRule3_OutputsAreNumberedAndTraced(t *testing.T) {
	s := setup(t, "a b", "", "a")
	s.mustDrain()
	var got []schemas.Number
	for _, r := range s.Records("EVENTS_0") {
		got = append(got, r.Number)
		if r.Producer != "tally.0.g0.d7863b0d" {
			t.Errorf("producer %q, want tally.0.g0.d7863b0d", r.Producer)
		}
		if want := "trace of " + string(s.Records("RAW_0")[r.Number.Seq-1].Body); r.Trace != want {
			t.Errorf("trace %q, want %q", r.Trace, want)
		}
	}
	if want := []schemas.Number{{Seq: 1}, {Seq: 1, Index: 1}, {Seq: 3}}; !slices.Equal(got, want) {
		t.Errorf("numbers %v, want %v", got, want)
	}
}

func TestRule3_RepeatsAreDropped(t *testing.T) {
	s := setup(t)
	in := func(producer string, seq uint64, index uint32, body string) {
		t.Helper()
		_, err := s.Sink().Put(t.Context(), runner.Output{
			Subject: "raw.0.words", Body: []byte(body), Producer: producer, Number: schemas.Number{Seq: seq, Index: index},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	in("p", 1, 0, "a")
	in("p", 1, 1, "a")
	in("p", 1, 1, "a") // a repeat
	in("p", 1, 0, "a") // an older one, from an owner that woke up
	in("q", 1, 1, "a") // another producer
	in("", 0, 0, "a")  // from nobody: never dropped
	in("", 0, 0, "a")
	in("o", 0, 0, "a") // the lowest number there is
	s.mustDrain()
	s.wantPut("a 1, a 2, a 3, a 4, a 5, a 6")
	s.wantSeq(8)

	in("p", 1, 1, "b") // it is remembered over a restart
	in("o", 0, 0, "b")
	in("p", 2, 0, "b")
	s.instance("second").mustDrain()
	s.wantPut("a 1, a 2, a 3, a 4, a 5, a 6, b 1")
	cp, _ := s.checkpoint()
	want := []schemas.Seen{
		{Producer: "o"},
		{Producer: "p", Number: schemas.Number{Seq: 2}},
		{Producer: "q", Number: schemas.Number{Seq: 1, Index: 1}},
	}
	if !slices.Equal(cp.Seen, want) {
		t.Errorf("seen %v, want %v", cp.Seen, want)
	}
	if n := s.config.Stats.Repeats.Load(); n != 2 {
		t.Errorf("%d repeats counted, want 2", n)
	}
}

func TestRule3_PutGoesOnFromTheLastKnownToBeStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup(t, "a b c d e f")
		inner := s.Sink()
		var calls []int
		s.config.Sink = sinkWith{func(ctx context.Context, out []runner.Output) (int, error) {
			calls = append(calls, len(out))
			switch len(calls) {
			case 1: // one is stored and known to be
				return inner.Put(ctx, out[:1]...)
			case 2: // three are stored, two are known to be
				if n, err := inner.Put(ctx, out[:3]...); err != nil {
					return n, err
				}
				return 2, errors.New("connection lost")
			case 3:
				return 0, errors.New("no connection")
			}
			return inner.Put(ctx, out...)
		}}
		s.mustDrain()
		if want := []int{6, 5, 3, 3}; !slices.Equal(calls, want) {
			t.Errorf("put %v outputs, want %v", calls, want)
		}
		s.wantPut("a 1, b 1, c 1, d 1, d 1, e 1, f 1")
	})
}

func TestRule3_OutputDoesNotWaitForACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup(t, "a", "b", "c")
		s.config.CommitBytes = 1
		inner, release := s.config.Store, make(chan struct{})
		commits := 0
		s.config.Store = storeWith{Store: inner,
			commit: func(ctx context.Context, p string, c schemas.Checkpoint, changed map[string][]byte) error {
				if commits++; commits > 1 {
					<-release
				}
				return inner.Commit(ctx, p, c, changed)
			}}
		done := s.start(t.Context())
		synctest.Wait()
		s.wantPut("a 1, b 1, c 1")
		s.wantSeq(0)
		s.publish("a")
		synctest.Wait()
		s.wantPut("a 1, b 1, c 1, a 2")
		s.source.Drain()
		close(release)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		s.wantSeq(4)
	})
}

func TestRule3_ABodyThatNoMessageHoldsIsAnError(t *testing.T) {
	s := setup(t, "a")
	s.config.New = func(uint64) runner.Processor {
		return processorWith{Processor: newTally(0), apply: func(_ runner.Record, emit func(runner.Output)) error {
			emit(runner.Output{Subject: "events.0.words", Body: make([]byte, runner.MaxBody+1)})
			return nil
		}}
	}
	if err := s.drain(); err == nil || !strings.Contains(err.Error(), "events.0.words") {
		t.Fatalf("Run = %v, want an error that names the subject", err)
	}
}

func TestRule6_AnInsightIsInsertedOnce(t *testing.T) {
	s := setup(t, "a", "b")
	insight := func(uint64) runner.Processor {
		return processorWith{Processor: newTally(0), apply: func(r runner.Record, emit func(runner.Output)) error {
			emit(runner.Output{Subject: "insights.x.y.z." + string(r.Body), Body: slices.Clone(r.Body), Once: true})
			return nil
		}}
	}
	s.config.New = insight
	s.config.Store = storeWith{Store: s.config.Store, commit: failAfter(s.config.Store, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	s.config.Source = sourceWith{Source: s.source, read: func(ctx context.Context, after uint64) ([]runner.Record, error) {
		if after == 2 {
			cancel()
		}
		return s.source.Read(ctx, after)
	}}
	if err := runner.Run(ctx, s.config); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	s.wantSeq(0) // all is put, nothing committed
	s.instance("second").config.New = insight
	s.mustDrain()
	if n := len(s.Records("INSIGHTS")); n != 2 || s.Conflicts() != 0 {
		t.Errorf("%d insights and %d conflicts, want 2 and 0", n, s.Conflicts())
	}
}

// failAfter lets some commits succeed.
func failAfter(inner runner.Store, n int) func(context.Context, string, schemas.Checkpoint, map[string][]byte) error {
	return func(ctx context.Context, p string, c schemas.Checkpoint, changed map[string][]byte) error {
		if n--; n < 0 {
			return errors.New("connection lost")
		}
		return inner.Commit(ctx, p, c, changed)
	}
}

func TestRule8_AFullStreamIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup(t, "a", "b", "c", "d")
		one := len("events.0.words") + len("a 1")
		s.Limit("EVENTS_0", 2*one)
		done := s.start(t.Context())
		synctest.Wait()
		s.wantPut("a 1, b 1")
		s.wantSeq(0)
		s.Purge("EVENTS_0", 1)
		synctest.Wait()
		s.wantPut("b 1, c 1")
		s.Purge("EVENTS_0", 3)
		s.source.Drain()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		s.wantPut("d 1")
		s.wantSeq(4)
	})
}

func TestAStageCanBeToldFromOthersInAProfile(t *testing.T) {
	s := setup(t)
	var label string
	s.config.Source = sourceWith{Source: s.source, read: func(ctx context.Context, _ uint64) ([]runner.Record, error) {
		label, _ = pprof.Label(ctx, "stage")
		return nil, io.EOF
	}}
	s.mustDrain()
	if label != "tally" {
		t.Errorf("label %q, want tally", label)
	}
}

func TestStatsBeginWhereTheStateIs(t *testing.T) {
	s := setup(t, "a", "b")
	s.mustDrain()
	s.instance("second").mustDrain()
	if st := s.config.Stats; st.Position.Load() != 2 || st.Committed.Load() != 2 {
		t.Errorf("position %d, committed %d, want 2", st.Position.Load(), st.Committed.Load())
	}
}

func TestStatsAreKept(t *testing.T) {
	s := setup(t, "a b", "c")
	s.mustDrain()
	st := s.config.Stats
	for _, c := range []struct {
		name      string
		got, want uint64
	}{
		{"Position", st.Position.Load(), 2}, {"Committed", st.Committed.Load(), 2}, {"Records", st.Records.Load(), 2},
		{"Bytes", st.Bytes.Load(), 4}, {"Outputs", st.Outputs.Load(), 3}, {"Loads", st.Loads.Load(), 1},
		{"Commits", st.Commits.Load(), 2}, // a claim and one at the end
	} {
		if c.got != c.want {
			t.Errorf("%s = %d, want %d", c.name, c.got, c.want)
		}
	}
}

// BenchmarkRun is the loop's own cost per record of two outputs, on maps.
func BenchmarkRun(b *testing.B) {
	const records = 1000
	input := memory.NewBroker(time.Now)
	for range records {
		if err := input.Publish("raw.0.words", []byte("ant bee"), ""); err != nil {
			b.Fatal(err)
		}
	}
	discard := sinkWith{func(_ context.Context, out []runner.Output) (int, error) { return len(out), nil }}
	b.ReportAllocs()
	for b.Loop() {
		s := input.Source("RAW_0")
		s.Drain()
		err := runner.Run(b.Context(), runner.Config{
			Stage: "tally", Partition: "0", Instance: "bench", New: newTally,
			Source: s, Sink: discard, Store: memory.NewBroker(time.Now).Store("tally"),
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/records, "ns/record")
}

// Rule 7: an instance that slept while another one took over, and trimmed the input, is told that it was overtaken. There
// is no gap that a person would have to look at.
func TestRule7ASleeperWhoseInputWasTrimmed(t *testing.T) {
	s := setup(t, "a", "b", "c")
	sleeper := s.config
	slept := false
	sleeper.Source = sourceWith{Source: s.source, read: func(ctx context.Context, after uint64) ([]runner.Record, error) {
		if !slept {
			slept = true
			s.instance("second").mustDrain()
			s.Purge("RAW_0", 3)
			s.publish("d")
		}
		return sleeper.Source.(sourceWith).Source.Read(ctx, after)
	}}
	if err := runner.Run(t.Context(), sleeper); !errors.Is(err, runner.ErrConflict) {
		t.Errorf("Run = %v, want ErrConflict", err)
	}
	s.wantPut("a 1, b 1, c 1")
	s.wantSeq(3)
}
