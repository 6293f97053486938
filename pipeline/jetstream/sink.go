package jetstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

var _ runner.Sink = (*Sink)(nil)

// What one round of Put sends before it waits for the answers: one round trip is shared by as much as is cheap to repeat
// after an error, and is far below the 128 MiB after which a server drops what a stream has not stored yet.
const (
	roundMessages = 512
	roundBytes    = 8 << 20
)

// A Sink stores outputs in the streams that their subjects belong to.
//
// It is safe for concurrent use, but one Put waits for the other: give each partition a Sink of its own.
type Sink struct {
	js jetstream.JetStream

	mu        sync.Mutex
	batcher   *batcher
	conflicts atomic.Uint64
}

// NewSink returns a sink on a connection. Close it.
func NewSink(js jetstream.JetStream) (*Sink, error) {
	b, err := newBatcher(js.Conn())
	if err != nil {
		return nil, err
	}
	return &Sink{js: js, batcher: b}, nil
}

// Close gives back what the sink holds of the connection. It must not be used any more.
func (s *Sink) Close() { s.batcher.close() }

// Conflicts counts outputs with Once whose subject held other bytes: two runs did not agree. It must stay 0.
func (s *Sink) Conflicts() uint64 { return s.conflicts.Load() }

// Put stores outputs, per stream in their order and without gaps, and waits while a stream is full. It returns how many
// of the first ones are known to be stored. After an error some of the later ones may be stored too; putting them again
// repeats them, and readers drop repeats by their number.
//
// An output with Once is stored only if its subject is empty. If it is taken, the first one stays; other bytes than these
// count as a conflict.
func (s *Sink) Put(ctx context.Context, outputs ...runner.Output) (stored int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for stored < len(outputs) {
		if err := ctx.Err(); err != nil {
			return stored, err
		}
		if outputs[stored].Once {
			if err := s.putOnce(ctx, &outputs[stored]); err != nil {
				return stored, err
			}
			stored++
			continue
		}
		if size, most := payload(&outputs[stored]), s.js.Conn().MaxPayload(); size > most {
			return stored, fmt.Errorf("put %s: %d bytes, the server takes %d: %w",
				outputs[stored].Subject, size, most, nats.ErrMaxPayload)
		}
		n, err := s.round(ctx, outputs[stored:stored+s.roundLength(outputs[stored:])])
		stored += n
		if err != nil {
			return stored, err
		}
	}
	return stored, nil
}

// roundLength says how many outputs one round takes, the first one always: up to one that goes another way.
func (s *Sink) roundLength(outputs []runner.Output) int {
	most, size := s.js.Conn().MaxPayload(), int64(0)
	for i := range outputs {
		n := payload(&outputs[i])
		size += n
		if i > 0 && (outputs[i].Once || n > most || i == roundMessages || size > roundBytes) {
			return i
		}
	}
	return len(outputs)
}

// payload is at least what an output counts against the server's largest message, which includes the header.
func payload(o *runner.Output) int64 {
	const frame = len("NATS/1.0\r\n\r\n") + len("Tv: 18446744073709551615.4294967295\r\n") + len(" traceparent: \r\n")
	return int64(len(o.Body) + len(o.Producer) + len(o.Trace) + frame)
}

// round stores outputs, a batch per stream, all streams at the same time.
func (s *Sink) round(ctx context.Context, outputs []runner.Output) (stored int, err error) {
	var batches []*batch
	for i := range outputs {
		name, err := schemas.StreamOf(outputs[i].Subject)
		if err != nil {
			return 0, err
		}
		b := find(batches, name)
		if b == nil {
			b = &batch{stream: name}
			batches = append(batches, b)
		}
		b.outputs = append(b.outputs, i)
	}
	for wait := retryFirst; ; wait = min(2*wait, retryMax) {
		err := s.batcher.send(ctx, outputs, batches)
		if err == nil {
			return len(outputs), nil
		}
		if err = errors.Join(ctx.Err(), err); !isFull(err) {
			return prefix(batches, len(outputs)), fmt.Errorf("put: %w", err)
		}
		if err := sleep(ctx, wait); err != nil {
			return prefix(batches, len(outputs)), err
		}
	}
}

func find(batches []*batch, stream string) *batch {
	for _, b := range batches {
		if b.stream == stream {
			return b
		}
	}
	return nil
}

// prefix says how many of the first n outputs are stored.
func prefix(batches []*batch, n int) int {
	for _, b := range batches {
		if b.stored < len(b.outputs) {
			n = min(n, b.outputs[b.stored])
		}
	}
	return n
}

// isFull reports whether an error only says that there is no room now.
func isFull(err error) bool {
	var api *jetstream.APIError
	if !errors.As(err, &api) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	switch api.ErrorCode {
	case codeStoreFailed:
		return api.Description == "maximum bytes exceeded" || api.Description == "maximum messages exceeded"
	case codeInsufficientResources, codeAccountResources, codeStorageResources, codeMemoryResources:
		return true
	}
	return false
}

// Error codes of the server, which the client library does not name.
const (
	codeAccountResources      = 10002
	codeInsufficientResources = 10023
	codeMemoryResources       = 10028
	codeStorageResources      = 10047
	codeStoreFailed           = 10077
	codeWrongLastSequence     = 10071
	codeWrongLastConstant     = 10164 // the same, said by a replicated stream while another write is in flight
)

// putOnce stores an output if its subject is empty.
func (s *Sink) putOnce(ctx context.Context, o *runner.Output) error {
	name, err := schemas.StreamOf(o.Subject)
	if err != nil {
		return err
	}
	for wait := retryFirst; ; wait = min(2*wait, retryMax) {
		err := s.insert(ctx, name, o)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		// errVanished: the one that was there ran out just now, so there is room.
		if !isFull(err) && !errors.Is(err, errVanished) {
			return fmt.Errorf("put %s: %w", o.Subject, err)
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

var errVanished = errors.New("the stored message has just gone")

func (s *Sink) insert(ctx context.Context, stream string, o *runner.Output) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	m := encode(o, "", &s.batcher.scratch)
	if m.Header == nil {
		m.Header = nats.Header{}
	}
	m.Header[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.Itoa(0)}
	_, err := s.js.PublishMsg(ctx, m)
	var api *jetstream.APIError
	if err == nil || !errors.As(err, &api) || api.ErrorCode != codeWrongLastSequence && api.ErrorCode != codeWrongLastConstant {
		return err
	}
	handle, err := s.js.Stream(ctx, stream)
	if err != nil {
		return err
	}
	first, err := handle.GetLastMsgForSubject(ctx, o.Subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return errVanished
	}
	if err != nil {
		return err
	}
	if !bytes.Equal(first.Data, o.Body) {
		s.conflicts.Add(1)
	}
	return nil
}

// sleep waits, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
