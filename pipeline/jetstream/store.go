package jetstream

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

var _ runner.Store = (*Store)(nil)

const (
	// commitWindow is what a commit sends before it waits for the server: far below the 128 MiB after which it drops.
	commitWindow = 16 << 20

	// checkpoints stands where a partition's name stands in other keys, so that one filter finds all checkpoints of a stage.
	checkpoints = "checkpoint"
)

// A Store keeps the state of one stage in the KV bucket STATE_<stage>: keys "<partition>.<key>", from the second generation
// on "<partition>=<generation>.<key>", and, as the fence, "checkpoint.<partition>". A partition's name is one token, and not
// "checkpoint".
//
// It is safe for concurrent use by the runners of several partitions, one runner each.
type Store struct {
	js     jetstream.JetStream
	bucket string
	stream jetstream.Stream

	mu     sync.Mutex
	fences map[string]fence // by partition
}

// A fence is the checkpoint that a commit may replace.
type fence struct {
	sequence   uint64
	generation uint64
}

// StateBucket names the bucket of a stage.
func StateBucket(stage string) string { return "STATE_" + stage }

// OpenStore opens the bucket of a stage, which [Deploy] made.
func OpenStore(ctx context.Context, js jetstream.JetStream, stage string) (*Store, error) {
	bucket := StateBucket(stage)
	stream, err := js.Stream(ctx, bucketStream(bucket))
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", bucket, err)
	}
	c := stream.CachedInfo().Config
	if !c.AllowAtomicPublish || c.MaxMsgsPerSubject != 1 {
		// The client library's CreateOrUpdateKeyValue takes the flag away without a word.
		return nil, fmt.Errorf("bucket %s takes no atomic batches or keeps a history: deploy again", bucket)
	}
	return &Store{js: js, bucket: bucket, stream: stream, fences: map[string]fence{}}, nil
}

func bucketStream(bucket string) string { return "KV_" + bucket }

func (s *Store) subject(partition, key string) string {
	return "$KV." + s.bucket + "." + partition + "." + key
}

// keys is what stands for a partition in the keys of its state. No partition has a name with "=".
func keys(partition string, generation uint64) string {
	if generation == 0 {
		return partition
	}
	return partition + "=" + strconv.FormatUint(generation, 10)
}

// Load returns the last checkpoint of a partition, the zero one if there is none, and its state, in no order. The state was
// read completely before Load returns; a slice belongs to the caller. If another owner commits during Load, checkpoint
// and state may not fit, which the checkpoint's digest shows.
func (s *Store) Load(ctx context.Context, partition string) (schemas.Checkpoint, iter.Seq2[string, []byte], error) {
	s.setFence(partition, nil)
	if partition == checkpoints || partition == "" || escape(partition) != partition || strings.Contains(partition, ".") {
		return schemas.Checkpoint{}, nil, fmt.Errorf("load %q of %s: invalid name", partition, s.bucket)
	}
	var c schemas.Checkpoint
	// From the leader: by the word of a replica that is behind, what has been trimmed since would look like a gap.
	value, sequence, err := lastValue(ctx, s.js, s.bucket, checkpoints+"."+partition)
	if err != nil {
		return c, nil, fmt.Errorf("load %s of %s: %w", partition, s.bucket, err)
	}
	if sequence > 0 {
		if err := c.Decode(value); err != nil {
			return c, nil, fmt.Errorf("checkpoint %s of %s: %w", partition, s.bucket, err)
		}
	}
	entries, err := s.readState(ctx, keys(partition, c.Generation))
	if err != nil {
		return c, nil, fmt.Errorf("load %s of %s: %w", partition, s.bucket, err)
	}
	s.setFence(partition, &fence{sequence, c.Generation})
	return c, func(yield func(string, []byte) bool) {
		for i := range entries {
			e := entries[i]
			entries[i] = entry{} // the caller decodes it into something else; both at once would be twice the memory
			if e.value != nil && !yield(e.key, e.value) {
				return
			}
		}
	}, nil
}

type entry struct {
	key   string
	value []byte // nil once it was given out
}

func (s *Store) readState(ctx context.Context, partition string) ([]entry, error) {
	var entries []entry
	prefix := s.subject(partition, "")
	err := readAll(ctx, s.js, bucketStream(s.bucket), prefix+">", func(m *nats.Msg) error {
		if m.Header.Get("KV-Operation") != "" { // a marker of a key that was deleted by hand
			return nil
		}
		key, err := unescape(m.Subject[len(prefix):])
		if err != nil {
			return err
		}
		value := m.Data
		if value == nil {
			value = []byte{}
		}
		entries = append(entries, entry{key, value})
		return nil
	})
	return entries, err
}

// Commit stores the changed keys and the checkpoint in one atomic batch, or nothing, if nobody has committed since this
// Store loaded or committed the partition: otherwise runner.ErrConflict. After any error the outcome is unknown, and the
// partition must be loaded before the next commit.
//
// It takes at most runner.MaxChanged keys, and values of up to runner.MaxBody bytes.
func (s *Store) Commit(
	ctx context.Context, partition string, c schemas.Checkpoint, changed map[string][]byte,
) error {
	s.mu.Lock()
	before, loaded := s.fences[partition]
	delete(s.fences, partition) // until this one is known to have succeeded
	s.mu.Unlock()
	if !loaded {
		return fmt.Errorf("commit %s of %s: not loaded", partition, s.bucket)
	}
	if len(changed) > runner.MaxChanged {
		return fmt.Errorf("commit %s of %s: %d keys, at most %d fit", partition, s.bucket, len(changed), runner.MaxChanged)
	}
	messages := make([]*nats.Msg, 0, len(changed)+1)
	for key, value := range changed {
		if len(value) > runner.MaxBody {
			return fmt.Errorf("commit %s of %s: key %q has %d bytes", partition, s.bucket, key, len(value))
		}
		messages = append(messages, &nats.Msg{
			Subject: s.subject(keys(partition, c.Generation), escape(key)), Header: nats.Header{}, Data: value,
		})
	}
	// In a fixed order, so that two runs write the same stream.
	slices.SortFunc(messages, func(a, b *nats.Msg) int { return strings.Compare(a.Subject, b.Subject) })
	messages = append(messages, &nats.Msg{
		Subject: s.subject(checkpoints, partition),
		Header:  nats.Header{jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(before.sequence, 10)}},
		Data:    c.Append(nil),
	})
	sequence, err := publishTogether(ctx, s.js, messages)
	switch {
	case err == nil:
		s.setFence(partition, &fence{sequence, c.Generation})
		if c.Generation != before.generation {
			s.forget(ctx, keys(partition, before.generation))
		}
		return nil
	case wrongLast(err):
		s.setFence(partition, &before) // so that it stays fenced
		return fmt.Errorf("commit %s of %s: %w", partition, s.bucket, runner.ErrConflict)
	}
	return fmt.Errorf("commit %s of %s: %w", partition, s.bucket, err)
}

// forget removes the state of a generation that is over. Nobody reads it again, so that an error costs nothing but room.
func (s *Store) forget(ctx context.Context, keys string) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	_ = s.stream.Purge(ctx, jetstream.WithPurgeSubject(s.subject(keys, ">")))
}

// forgetAll removes the state of a partition, its checkpoint last: until then the command that asked for it can be repeated.
func (s *Store) forgetAll(ctx context.Context, partition string) error {
	value, revision, err := lastValue(ctx, s.js, s.bucket, checkpoints+"."+partition)
	if err != nil || revision == 0 {
		return err
	}
	var c schemas.Checkpoint
	if err := c.Decode(value); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	for _, subject := range []string{s.subject(keys(partition, c.Generation), ">"), s.subject(checkpoints, partition)} {
		if err := s.stream.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
			return err
		}
	}
	return nil
}

// setFence remembers what the next commit of a partition may replace; nil: it must load first.
func (s *Store) setFence(partition string, f *fence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f != nil {
		s.fences[partition] = *f
	} else {
		delete(s.fences, partition)
	}
}
