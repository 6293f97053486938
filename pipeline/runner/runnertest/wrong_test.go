package runnertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"testing"

	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// The kit must find what is wrong. Each case breaks one rule in one place, the way a mistake in a runner, a port or a
// processor would.
func TestWrongVariantsAreFound(t *testing.T) {
	for _, c := range []struct {
		name string
		wrap func(*runner.Config)
	}{
		{"rule 1: position one too low", func(c *runner.Config) {
			c.Store = changeCheckpoint{c.Store, func(cp *schemas.Checkpoint) {
				if cp.Seq > cp.Generation {
					cp.Seq--
				}
			}}
		}},
		{"rule 1: position one too high", func(c *runner.Config) {
			c.Store = changeCheckpoint{c.Store, func(cp *schemas.Checkpoint) {
				if cp.Seq > cp.Generation {
					cp.Seq++
				}
			}}
		}},
		{"rule 2: state not saved", func(c *runner.Config) {
			wrapProcessor(c, func(p runner.Processor) runner.Processor { return notSaved{p} })
		}},
		{"rule 2: a change forgotten now and then", func(c *runner.Config) {
			wrapProcessor(c, func(p runner.Processor) runner.Processor { return &sometimesNotSaved{Processor: p} })
		}},
		{"rule 2: state not restored", func(c *runner.Config) {
			wrapProcessor(c, func(p runner.Processor) runner.Processor { return notRestored{p} })
		}},
		{"rule 2: output on snapshot", func(c *runner.Config) {
			wrapProcessor(c, func(p runner.Processor) runner.Processor { return &outputOnSnapshot{Processor: p} })
		}},
		{"rule 2: output by a timer", func(c *runner.Config) {
			wrapProcessor(c, func(p runner.Processor) runner.Processor { return &outputOnTimer{Processor: p} })
		}},
		{"rule 2: memory outside the state", func(c *runner.Config) {
			wrapProcessor(c, func(p runner.Processor) runner.Processor { return &remembers{Processor: p} })
		}},
		{"rule 2: order of outputs by chance", func(c *runner.Config) {
			wrapProcessor(c, func(p runner.Processor) runner.Processor { return unordered{p} })
		}},
		{"rule 2: a body is kept", func(c *runner.Config) {
			wrapProcessor(c, func(p runner.Processor) runner.Processor { return &keepsBody{Processor: p} })
		}},
		{"rule 3: commit before put", func(c *runner.Config) {
			late := &putLate{Sink: c.Sink}
			c.Sink = late
			c.Source = flushAtEnd{c.Source, late}
		}},
		{"rule 3: unordered put", func(c *runner.Config) { c.Sink = reversed{c.Sink} }},
		{"rule 3: a failed put is taken for done", func(c *runner.Config) { c.Sink = hopeful{c.Sink} }},
		{"rule 3: one output too few is put again", func(c *runner.Config) { c.Sink = skips{c.Sink} }},
		{"rule 3: repeats are not dropped", func(c *runner.Config) {
			c.Source = changeRecord{c.Source, func(r *runner.Record) { r.Producer = "" }}
		}},
		{"rule 3: outputs numbered by a counter of the process", func(c *runner.Config) { c.Sink = &renumbers{Sink: c.Sink} }},
		{"rule 3: producers not remembered over a restart", func(c *runner.Config) {
			c.Store = changeCheckpoint{c.Store, func(cp *schemas.Checkpoint) { cp.Seen = nil }}
		}},
		{"rule 4: state and position apart", func(c *runner.Config) { c.Store = &apart{Store: c.Store} }},
		{"rule 4: the fence is ignored", func(c *runner.Config) { c.Store = unfenced{c.Store} }},
		{"rule 4: a commit that failed is taken for done", func(c *runner.Config) { c.Store = &forgetful{Store: c.Store} }},
		{"rule 6: the owner's number in an insight", func(c *runner.Config) {
			instance := c.Instance
			c.Sink = changeOutput{c.Sink, func(o *runner.Output) {
				if o.Once {
					o.Body = append(slices.Clone(o.Body), instance...)
				}
			}}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, stage := range []int{0, 1, 2} {
				p := toy()
				p.Stages[stage].wrap = c.wrap
				p.Runs = 30
				_, err := check(t, p)
				if err == nil || errors.Is(err, errSeldom) {
					t.Logf("not found in %s", p.Stages[stage].Name)
					continue
				}
				t.Logf("found in %s: %.300v", p.Stages[stage].Name, err)
				return
			}
			t.Error("the kit did not find it")
		})
	}
}

// The same seed is the same run, or nobody could look at a failure. Only a planned stop beside a commit in flight leaves a
// choice to the scheduler, rarely, so one pair of several is enough.
func TestRunsCanBeRepeated(t *testing.T) {
	happened := func() string {
		p := toy()
		p.Stages[1].wrap = func(c *runner.Config) {
			wrapProcessor(c, func(p runner.Processor) runner.Processor { return notRestored{p} })
		}
		_, err := check(t, p)
		return fmt.Sprint(err)
	}
	var a, b string
	for range 5 {
		if a, b = happened(), happened(); a == b {
			return
		}
	}
	t.Errorf("got\n%s\nthen\n%s", a, b)
}

func wrapProcessor(c *runner.Config, wrap func(runner.Processor) runner.Processor) {
	inner := c.New
	c.New = func(generation uint64) runner.Processor { return wrap(inner(generation)) }
}

type changeCheckpoint struct {
	runner.Store
	change func(*schemas.Checkpoint)
}

func (s changeCheckpoint) Commit(ctx context.Context, p string, c schemas.Checkpoint, changed map[string][]byte) error {
	s.change(&c)
	return s.Store.Commit(ctx, p, c, changed)
}

type notSaved struct{ runner.Processor }

func (p notSaved) Snapshot(func(string, []byte)) error {
	return p.Processor.Snapshot(func(string, []byte) {})
}

type sometimesNotSaved struct {
	runner.Processor
	n int
}

func (p *sometimesNotSaved) Snapshot(changed func(string, []byte)) error {
	return p.Processor.Snapshot(func(key string, state []byte) {
		if p.n++; p.n%9 != 0 {
			changed(key, state)
		}
	})
}

type notRestored struct{ runner.Processor }

func (notRestored) Restore(string, []byte) error { return nil }

// other is an output that looks like another one.
func other(o runner.Output, what string) runner.Output {
	o.Body = append(slices.Clone(o.Body), what...)
	return o
}

type outputOnSnapshot struct {
	runner.Processor
	pending bool
}

func (p *outputOnSnapshot) Snapshot(changed func(string, []byte)) error {
	p.pending = true
	return p.Processor.Snapshot(changed)
}

func (p *outputOnSnapshot) Apply(r runner.Record, emit func(runner.Output)) error {
	return p.Processor.Apply(r, func(o runner.Output) {
		emit(o)
		if p.pending && !o.Once {
			p.pending = false
			emit(other(o, " saved"))
		}
	})
}

type outputOnTimer struct {
	runner.Processor
	n int
}

func (p *outputOnTimer) Apply(r runner.Record, emit func(runner.Output)) error {
	return p.Processor.Apply(r, func(o runner.Output) {
		emit(o)
		if p.n++; p.n%10 == 0 && !o.Once {
			emit(other(o, " ping"))
		}
	})
}

type remembers struct {
	runner.Processor
	last string
}

func (p *remembers) Apply(r runner.Record, emit func(runner.Output)) error {
	return p.Processor.Apply(r, func(o runner.Output) {
		emit(other(o, " after "+p.last))
		p.last = o.Subject
	})
}

type unordered struct{ runner.Processor }

func (p unordered) Apply(r runner.Record, emit func(runner.Output)) error {
	all := make(map[int]runner.Output)
	err := p.Processor.Apply(r, func(o runner.Output) { all[len(all)] = o })
	for _, o := range all {
		emit(o)
	}
	return err
}

type keepsBody struct {
	runner.Processor
	last []byte
}

func (p *keepsBody) Apply(r runner.Record, emit func(runner.Output)) error {
	defer func() { p.last = r.Body }()
	return p.Processor.Apply(r, func(o runner.Output) {
		if bytes.IndexByte(p.last, 0) >= 0 {
			o = other(o, " after nothing")
		}
		emit(o)
	})
}

type putLate struct {
	runner.Sink
	pending []runner.Output
}

func (s *putLate) Put(ctx context.Context, outputs ...runner.Output) (int, error) {
	if err := s.flush(ctx); err != nil {
		return 0, err
	}
	s.pending = slices.Clone(outputs)
	return len(outputs), nil
}

func (s *putLate) flush(ctx context.Context) error {
	if len(s.pending) == 0 {
		return nil
	}
	n, err := s.Sink.Put(ctx, s.pending...)
	s.pending = s.pending[n:]
	return err
}

type flushAtEnd struct {
	runner.Source
	sink *putLate
}

func (s flushAtEnd) Read(ctx context.Context, after uint64) ([]runner.Record, error) {
	records, err := s.Source.Read(ctx, after)
	if err == io.EOF {
		if err := s.sink.flush(ctx); err != nil {
			return nil, err
		}
	}
	return records, err
}

type reversed struct{ runner.Sink }

func (s reversed) Put(ctx context.Context, outputs ...runner.Output) (int, error) {
	back := slices.Clone(outputs)
	slices.Reverse(back)
	if n, err := s.Sink.Put(ctx, back...); n < len(back) {
		return 0, err
	}
	return len(outputs), nil
}

type hopeful struct{ runner.Sink }

func (s hopeful) Put(ctx context.Context, outputs ...runner.Output) (int, error) {
	s.Sink.Put(ctx, outputs...)
	return len(outputs), nil
}

type skips struct{ runner.Sink }

func (s skips) Put(ctx context.Context, outputs ...runner.Output) (int, error) {
	n, err := s.Sink.Put(ctx, outputs...)
	if err != nil && n > 0 && n < len(outputs) {
		n++
	}
	return n, err
}

type changeRecord struct {
	runner.Source
	change func(*runner.Record)
}

func (s changeRecord) Read(ctx context.Context, after uint64) ([]runner.Record, error) {
	records, err := s.Source.Read(ctx, after)
	for i := range records {
		s.change(&records[i])
	}
	return records, err
}

type changeOutput struct {
	runner.Sink
	change func(*runner.Output)
}

func (s changeOutput) Put(ctx context.Context, outputs ...runner.Output) (int, error) {
	outputs = slices.Clone(outputs)
	for i := range outputs {
		s.change(&outputs[i])
	}
	return s.Sink.Put(ctx, outputs...)
}

type renumbers struct {
	runner.Sink
	n uint64
}

func (s *renumbers) Put(ctx context.Context, outputs ...runner.Output) (int, error) {
	outputs = slices.Clone(outputs)
	for i := range outputs {
		outputs[i].Number = schemas.Number{Seq: s.n + uint64(i) + 1}
	}
	n, err := s.Sink.Put(ctx, outputs...)
	s.n += uint64(n)
	return n, err
}

// apart commits the state first, the position one commit later.
type apart struct {
	runner.Store
	last *schemas.Checkpoint
}

func (s *apart) Commit(ctx context.Context, p string, c schemas.Checkpoint, changed map[string][]byte) error {
	now := c
	if s.last != nil && s.last.Epoch == c.Epoch {
		c.Seq, c.Seen = s.last.Seq, s.last.Seen
	}
	s.last = &now
	return s.Store.Commit(ctx, p, c, changed)
}

type unfenced struct{ runner.Store }

func (s unfenced) Commit(ctx context.Context, p string, c schemas.Checkpoint, changed map[string][]byte) error {
	for {
		err := s.Store.Commit(ctx, p, c, changed)
		if !errors.Is(err, runner.ErrConflict) {
			return err
		}
		if _, _, err := s.Store.Load(ctx, p); err != nil {
			return err
		}
	}
}

// forgetful hides that a commit failed.
type forgetful struct{ runner.Store }

func (s *forgetful) Commit(ctx context.Context, p string, c schemas.Checkpoint, changed map[string][]byte) error {
	if err := s.Store.Commit(ctx, p, c, changed); err != nil && !errors.Is(err, errFault) {
		return err
	}
	return nil
}

func (s *forgetful) Load(ctx context.Context, p string) (schemas.Checkpoint, iter.Seq2[string, []byte], error) {
	return s.Store.Load(ctx, p)
}
