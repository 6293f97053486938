package runnertest

import (
	"context"
	"iter"
	"maps"
	"slices"

	"github.com/trailvane/trailvane/pipeline/memory"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// The ports as an instance has them: each call waits at its steps, where faults happen.

type source struct {
	*instance
	inner *memory.Source
}

func (s *source) Info(ctx context.Context) (runner.Info, error) {
	if _, err := s.at(ctx, "info", nil); err != nil {
		return runner.Info{}, err
	}
	return s.inner.Info(ctx)
}

func (s *source) Read(ctx context.Context, after uint64) ([]runner.Record, error) {
	dice, err := s.at(ctx, "read", func() bool {
		if s.drained {
			return true
		}
		info, _ := s.inner.Info(context.Background())
		return info.Last > after || info.First > after+1
	})
	if err != nil {
		return nil, err
	}
	records, err := s.inner.Read(ctx, after)
	if n := len(records); n > 0 && !s.world.calm {
		// Mostly a few, so that there are many cuts; sometimes all.
		records = records[:1+dice%uint64(n)]
		if few := int(dice>>32%8) + 1; dice>>40%4 != 0 && few < len(records) {
			records = records[:few]
		}
	}
	return records, err
}

type sink struct {
	*instance
	inner *memory.Sink
}

func (s *sink) Put(ctx context.Context, outputs ...runner.Output) (int, error) {
	if _, err := s.at(ctx, "put late", nil); err != nil {
		if err == errFault {
			out := slices.Clone(outputs)
			s.world.late = append(s.world.late, func() { s.inner.Put(context.Background(), out...) })
		}
		return 0, err
	}
	dice, err := s.at(ctx, "put before", nil)
	if err != nil {
		return 0, err
	}
	part := 0
	if len(outputs) > 1 && !s.world.calm {
		part = 1 + int(dice%uint64(len(outputs)-1))
		if n, err := s.inner.Put(ctx, outputs[:part]...); err != nil {
			return n, err
		}
		if dice, err := s.at(ctx, "put partial", nil); err != nil {
			return int(dice % uint64(part+1)), err // fewer may be known to be stored than are
		}
	}
	if n, err := s.inner.Put(ctx, outputs[part:]...); err != nil {
		return part + n, err
	}
	if dice, err := s.at(ctx, "put after", nil); err != nil {
		return int(dice % uint64(len(outputs))), err
	}
	return len(outputs), nil
}

type store struct {
	*instance
	inner  *memory.Store
	loaded bool // since the last commit: the next one is a claim
	late   bool // the last answer was older than its checkpoint
}

func (s *store) Load(ctx context.Context, partition string) (schemas.Checkpoint, iter.Seq2[string, []byte], error) {
	if _, err := s.at(ctx, "load", nil); err != nil {
		return schemas.Checkpoint{}, nil, err
	}
	s.loaded = true
	cp, state, err := s.inner.Load(ctx, partition)
	if err != nil || cp.Keys == 0 || s.late {
		s.late = false
		return cp, state, err
	}
	if _, err := s.at(ctx, "load late", nil); err == errFault {
		s.late = true
		return cp, withoutFirst(state), nil
	} else if err != nil {
		return cp, nil, err
	}
	return cp, state, nil
}

// withoutFirst is a state that lacks a key.
func withoutFirst(state iter.Seq2[string, []byte]) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		first := true
		for key, value := range state {
			if !first && !yield(key, value) {
				return
			}
			first = false
		}
	}
}

func (s *store) Commit(ctx context.Context, partition string, c schemas.Checkpoint, changed map[string][]byte) error {
	before, after := "commit before", "commit after"
	if s.loaded {
		before, after = "claim before", "claim after"
		s.loaded = false
	} else if _, err := s.at(ctx, "commit late", nil); err != nil {
		if err == errFault {
			view, keys := s.inner.Fork(), maps.Clone(changed)
			s.world.late = append(s.world.late, func() { view.Commit(context.Background(), partition, c, keys) })
		}
		return err
	}
	if _, err := s.at(ctx, before, nil); err != nil {
		return err
	}
	if err := s.inner.Commit(ctx, partition, c, changed); err != nil {
		return err
	}
	_, err := s.at(ctx, after, nil)
	return err
}

// A processor waits before each call. It counts its changed keys if the one inside does.
type processor struct {
	*instance
	runner.Processor
}

type dirtier struct {
	processor
	runner.Dirtier
}

func newProcessor(i *instance, inner runner.Processor) runner.Processor {
	p := processor{i, inner}
	if d, ok := inner.(runner.Dirtier); ok {
		return dirtier{p, d}
	}
	return p
}

func (p processor) Apply(r runner.Record, emit func(runner.Output)) error {
	if _, err := p.at(context.Background(), "apply", nil); err != nil {
		return err
	}
	return p.Processor.Apply(r, emit)
}

func (p processor) Snapshot(changed func(string, []byte)) error {
	if _, err := p.at(context.Background(), "snapshot", nil); err != nil {
		return err
	}
	return p.Processor.Snapshot(changed)
}
