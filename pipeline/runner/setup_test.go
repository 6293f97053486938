package runner_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trailvane/trailvane/pipeline/memory"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// A tally counts words: for every word of a record it puts out the word and how often it has come. Each word is a key.
type tally struct {
	counts map[string]int
	dirty  map[string]bool
}

func newTally(uint64) runner.Processor {
	return &tally{counts: make(map[string]int), dirty: make(map[string]bool)}
}

func (p *tally) Apply(r runner.Record, emit func(runner.Output)) error {
	if string(r.Body) == "unknown" {
		return schemas.ErrVersion
	}
	for _, word := range strings.Fields(string(r.Body)) {
		p.counts[word]++
		p.dirty[word] = true
		emit(runner.Output{Subject: "events.0.words", Body: fmt.Appendf(nil, "%s %d", word, p.counts[word])})
	}
	return nil
}

func (p *tally) Dirty() int { return len(p.dirty) }

func (p *tally) Snapshot(changed func(string, []byte)) error {
	for word := range p.dirty {
		changed(word, strconv.AppendInt(nil, int64(p.counts[word]), 10))
	}
	clear(p.dirty)
	return nil
}

func (p *tally) Restore(word string, state []byte) (err error) {
	if p.counts[word] > 0 {
		return fmt.Errorf("%q comes twice", word)
	}
	p.counts[word], err = strconv.Atoi(string(state))
	return err
}

// A stage is a tally of RAW_0 on a broker of its own.
type stage struct {
	*memory.Broker
	t      *testing.T
	source *memory.Source
	config runner.Config
}

func setup(t *testing.T, bodies ...string) *stage {
	s := &stage{Broker: memory.NewBroker(time.Now), t: t}
	s.publish(bodies...)
	s.instance("first")
	return s
}

// instance makes the configuration that of another instance.
func (s *stage) instance(name string) *stage {
	s.source = s.Source("RAW_0")
	s.config = runner.Config{
		Stage: "tally", Partition: "0", Instance: name, Constants: "v1", New: newTally,
		Source: s.source, Sink: s.Sink(), Store: s.Store("tally"),
		Log: slog.New(slog.DiscardHandler), Stats: new(runner.Stats),
	}
	return s
}

func (s *stage) publish(bodies ...string) {
	s.t.Helper()
	for _, body := range bodies {
		if err := s.Publish("raw.0.words", []byte(body), "trace of "+body); err != nil {
			s.t.Fatal(err)
		}
	}
}

// drain runs to the end of what is there now.
func (s *stage) drain() error {
	s.source.Drain()
	return runner.Run(s.t.Context(), s.config)
}

// mustDrain is drain without an error.
func (s *stage) mustDrain() {
	s.t.Helper()
	if err := s.drain(); err != nil {
		s.t.Fatal(err)
	}
}

// start runs beside the test; the result comes on the channel.
func (s *stage) start(ctx context.Context) <-chan error {
	done := make(chan error, 1)
	c := s.config
	go func() { done <- runner.Run(ctx, c) }()
	return done
}

// put returns what has been put out, as one line.
func (s *stage) put() string {
	var all []string
	for _, r := range s.Records("EVENTS_0") {
		all = append(all, string(r.Body))
	}
	return strings.Join(all, ", ")
}

func (s *stage) wantPut(want string) {
	s.t.Helper()
	if got := s.put(); got != want {
		s.t.Errorf("put out %q, want %q", got, want)
	}
}

// checkpoint returns what is stored.
func (s *stage) checkpoint() (schemas.Checkpoint, map[string]string) {
	s.t.Helper()
	cp, keys, err := s.Store("tally").Load(s.t.Context(), "0")
	if err != nil {
		s.t.Fatal(err)
	}
	state := make(map[string]string)
	for key, value := range keys {
		state[key] = string(value)
	}
	return cp, state
}

func (s *stage) wantSeq(want uint64) {
	s.t.Helper()
	if cp, _ := s.checkpoint(); cp.Seq != want {
		s.t.Errorf("committed position %d, want %d", cp.Seq, want)
	}
}

// The ports with a part replaced.

type sourceWith struct {
	runner.Source
	info func(context.Context) (runner.Info, error)
	read func(context.Context, uint64) ([]runner.Record, error)
}

func (s sourceWith) Info(ctx context.Context) (runner.Info, error) {
	if s.info != nil {
		return s.info(ctx)
	}
	return s.Source.Info(ctx)
}

func (s sourceWith) Read(ctx context.Context, after uint64) ([]runner.Record, error) {
	if s.read != nil {
		return s.read(ctx, after)
	}
	return s.Source.Read(ctx, after)
}

type sinkWith struct {
	put func(context.Context, []runner.Output) (int, error)
}

func (s sinkWith) Put(ctx context.Context, outputs ...runner.Output) (int, error) {
	return s.put(ctx, outputs)
}

type storeWith struct {
	runner.Store
	load   func(context.Context, string) (schemas.Checkpoint, iter.Seq2[string, []byte], error)
	commit func(context.Context, string, schemas.Checkpoint, map[string][]byte) error
}

func (s storeWith) Load(ctx context.Context, p string) (schemas.Checkpoint, iter.Seq2[string, []byte], error) {
	if s.load != nil {
		return s.load(ctx, p)
	}
	return s.Store.Load(ctx, p)
}

func (s storeWith) Commit(ctx context.Context, p string, c schemas.Checkpoint, changed map[string][]byte) error {
	if s.commit != nil {
		return s.commit(ctx, p, c, changed)
	}
	return s.Store.Commit(ctx, p, c, changed)
}

type processorWith struct {
	runner.Processor
	apply    func(runner.Record, func(runner.Output)) error
	snapshot func(func(string, []byte)) error
	restore  func(string, []byte) error
}

func (p processorWith) Apply(r runner.Record, emit func(runner.Output)) error {
	if p.apply != nil {
		return p.apply(r, emit)
	}
	return p.Processor.Apply(r, emit)
}

func (p processorWith) Snapshot(changed func(string, []byte)) error {
	if p.snapshot != nil {
		return p.snapshot(changed)
	}
	return p.Processor.Snapshot(changed)
}

func (p processorWith) Restore(key string, state []byte) error {
	if p.restore != nil {
		return p.restore(key, state)
	}
	return p.Processor.Restore(key, state)
}
