package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/runner"
)

// What follows is for those who look at a deployment or tidy it up: it claims nothing and leaves no consumer behind.

// A Content is what a stream holds, a bucket's stream too.
type Content struct {
	Messages uint64
	Bytes    int64
	Limit    int64     // bytes; 0 is none
	Waits    bool      // full means that writers wait; otherwise the oldest messages go
	Last     uint64    // last sequence ever stored
	LastTime time.Time // when that was stored, also if it is no longer there
}

// Contents returns what every stream of the account holds, by name, those of others too.
func Contents(ctx context.Context, js jetstream.JetStream) (map[string]Content, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	all := make(map[string]Content)
	streams := js.ListStreams(ctx)
	for info := range streams.Info() {
		all[info.Config.Name] = Content{
			Messages: info.State.Msgs, Bytes: int64(info.State.Bytes), Limit: max(info.Config.MaxBytes, 0),
			Waits: info.Config.Discard == jetstream.DiscardNew, Last: info.State.LastSeq, LastTime: info.State.LastTime,
		}
	}
	if err := streams.Err(); err != nil {
		return nil, fmt.Errorf("list the streams: %w", err)
	}
	return all, nil
}

// BucketStream names the stream that keeps a bucket.
func BucketStream(bucket string) string { return bucketStream(bucket) }

// Subjects counts the messages of a stream by subject, for those that a filter matches. It is for streams with few subjects.
func Subjects(ctx context.Context, js jetstream.JetStream, stream, filter string) (map[string]uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", stream, err)
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return nil, fmt.Errorf("count the subjects of %s: %w", stream, err)
	}
	return info.State.Subjects, nil
}

// LastTime returns when the last message of a subject was stored, and false if the stream holds none.
func LastTime(ctx context.Context, js jetstream.JetStream, stream, subject string) (time.Time, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("look up stream %s: %w", stream, err)
	}
	m, err := s.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, fmt.Errorf("read the last message of %s: %w", subject, err)
	}
	return m.Time, true, nil
}

// ReadState calls fn for the values that a partition of a stage has stored in a generation, in no order, each with its key; filter selects them
// by subject, ">" is all. Nothing holds them together: while the partition commits, some are older than others. It holds one
// value at a time, which is fn's until it returns.
func ReadState(
	ctx context.Context, js jetstream.JetStream, stage, partition string, generation uint64, filter string,
	fn func(key string, value []byte) error,
) error {
	bucket := StateBucket(stage)
	prefix := "$KV." + bucket + "." + keys(partition, generation) + "."
	err := readAll(ctx, js, bucketStream(bucket), prefix+filter, func(m *nats.Msg) error {
		if m.Header.Get("KV-Operation") != "" {
			return nil
		}
		key, err := unescape(m.Subject[len(prefix):])
		if err != nil {
			return err
		}
		return fn(key, m.Data)
	})
	if err != nil {
		return fmt.Errorf("look at the state of %s %s: %w", stage, partition, err)
	}
	return nil
}

// ReadFrom is [ReadAll] for the messages behind a sequence that a filter matches; an empty one matches all.
func ReadFrom(
	ctx context.Context, js jetstream.JetStream, stream, filter string, after uint64, fn func(runner.Record) error,
) error {
	err := readBehind(ctx, js, stream, filter, after, func(m *nats.Msg) error {
		r, _, err := decode(m, new([]byte)) // it belongs to fn
		if err != nil {
			return err
		}
		return fn(r)
	})
	if err != nil {
		return fmt.Errorf("read %s after %d: %w", stream, after, err)
	}
	return nil
}

// Before returns the last sequence of a stream that was stored before a time: what was stored since is behind it. It asks for some
// twenty messages of a million.
func Before(ctx context.Context, js jetstream.JetStream, stream string, t time.Time) (uint64, error) {
	looking, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	s, err := js.Stream(looking, stream)
	if err != nil {
		return 0, fmt.Errorf("look up stream %s: %w", stream, err)
	}
	info := infoOf(s.CachedInfo())
	before, after := info.First-1, info.Last+1 // the first is before the time, if it is anything, and the second is not
	for after-before > 1 {
		middle := before + (after-before)/2
		m, err := s.GetMsg(looking, middle)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound): // too old to be still there
			before = middle
		case err != nil:
			return 0, fmt.Errorf("look for %s in %s: %w", t.UTC().Format(time.RFC3339), stream, err)
		case m.Time.Before(t):
			before = middle
		default:
			after = middle
		}
	}
	return before, nil
}

// Delete takes a message out of a stream for good. That it is not there is no error.
func Delete(ctx context.Context, js jetstream.JetStream, stream string, seq uint64) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", stream, err)
	}
	failed := s.DeleteMsg(ctx, seq)
	if failed == nil {
		return nil
	}
	// The server has several words for a message that is not there.
	if _, err := s.GetMsg(ctx, seq); errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	return fmt.Errorf("delete message %d of %s: %w", seq, stream, failed)
}

// Get returns a message of a stream, and false if it is not there. It belongs to the caller.
func Get(ctx context.Context, js jetstream.JetStream, stream string, seq uint64) (runner.Record, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return runner.Record{}, false, fmt.Errorf("look up stream %s: %w", stream, err)
	}
	raw, err := s.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return runner.Record{}, false, nil
	}
	var r runner.Record
	if err == nil {
		r = runner.Record{
			Seq: raw.Sequence, Prev: raw.Sequence - 1, Subject: raw.Subject, Time: raw.Time, Trace: raw.Header.Get(traceHeader),
		}
		r.Producer, r.Number = parseNumber(raw.Header.Get(numberHeader))
		r.Body, err = unpack(&nats.Msg{Header: raw.Header, Data: raw.Data}, new([]byte))
	}
	if err != nil {
		return runner.Record{}, false, fmt.Errorf("read message %d of %s: %w", seq, stream, err)
	}
	return r, true, nil
}

// Purge takes all messages before a sequence that a filter matches out of a stream for good, and returns how many they were.
func Purge(ctx context.Context, js jetstream.JetStream, stream, filter string, before uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("look up stream %s: %w", stream, err)
	}
	held := s.CachedInfo().State.Msgs
	if err := s.Purge(ctx, jetstream.WithPurgeSubject(filter), jetstream.WithPurgeSequence(before)); err != nil {
		return 0, fmt.Errorf("purge %s of %s before %d: %w", filter, stream, before, err)
	}
	info, err := s.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("look up stream %s: %w", stream, err)
	}
	return held - min(held, info.State.Msgs), nil
}
