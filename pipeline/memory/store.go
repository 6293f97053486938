package memory

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// A bucket holds the state of one stage.
type bucket struct{ partitions map[string]*partition }

type partition struct {
	revision   uint64 // of the last commit
	checkpoint schemas.Checkpoint
	keys       map[string][]byte
}

// A Store is one instance's view of a bucket: it remembers what it has loaded, and commits only on top of that.
type Store struct {
	broker *Broker
	bucket string
	loaded map[string]uint64 // revision by partition; guarded by the broker's lock
}

var _ runner.Store = (*Store)(nil)

// Store returns a view of a bucket. Every instance has one of its own.
func (b *Broker) Store(bucket string) *Store {
	return &Store{broker: b, bucket: bucket, loaded: make(map[string]uint64)}
}

// Fork returns a copy of the view as it stands: a request that is on its way commits on top of what was known when it was
// sent, whatever its sender learns meanwhile.
func (s *Store) Fork() *Store {
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	return &Store{broker: s.broker, bucket: s.bucket, loaded: maps.Clone(s.loaded)}
}

// partition returns what the bucket holds; the lock must be held.
func (s *Store) partition(name string) *partition {
	b := s.broker.buckets[s.bucket]
	if b == nil {
		b = &bucket{partitions: make(map[string]*partition)}
		s.broker.buckets[s.bucket] = b
	}
	p := b.partitions[name]
	if p == nil {
		p = &partition{keys: make(map[string][]byte)}
		b.partitions[name] = p
	}
	return p
}

// Load returns checkpoint and state, as the contract says.
func (s *Store) Load(ctx context.Context, name string) (schemas.Checkpoint, iter.Seq2[string, []byte], error) {
	if err := ctx.Err(); err != nil {
		return schemas.Checkpoint{}, nil, err
	}
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	p := s.partition(name)
	s.loaded[name] = p.revision
	cp := p.checkpoint
	cp.Seen = slices.Clone(cp.Seen)
	state := maps.Clone(p.keys) // values are never written to
	return cp, func(yield func(string, []byte) bool) {
		var value []byte
		for _, key := range slices.Sorted(maps.Keys(state)) {
			clear(value)
			value = append(value[:0], state[key]...)
			if !yield(key, value) {
				return
			}
		}
		clear(value)
	}, nil
}

// Commit stores changed keys and checkpoint together, as the contract says.
func (s *Store) Commit(
	ctx context.Context, name string, c schemas.Checkpoint, changed map[string][]byte,
) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(changed) > runner.MaxChanged {
		return fmt.Errorf("%d keys in one commit", len(changed))
	}
	for key, value := range changed {
		switch {
		case len(key) == 0 || len(key) > runner.MaxKey || strings.IndexByte(key, 0) >= 0:
			return fmt.Errorf("invalid key %q", key)
		case len(value) > runner.MaxBody:
			return fmt.Errorf("key %q has %d bytes", key, len(value))
		}
	}
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	revision, ok := s.loaded[name]
	if !ok {
		return fmt.Errorf("partition %s was not loaded", name)
	}
	p := s.partition(name)
	if p.revision != revision {
		return fmt.Errorf("%w: revision %d, not %d", runner.ErrConflict, p.revision, revision)
	}
	if c.Generation != p.checkpoint.Generation {
		p.keys = make(map[string][]byte)
	}
	for key, value := range changed {
		p.keys[key] = bytes.Clone(value)
	}
	c.Seen = slices.Clone(c.Seen)
	p.checkpoint = c
	p.revision++
	s.loaded[name] = p.revision
	return nil
}
