package memory

import (
	"context"
	"fmt"
	"io"
	"math"

	"github.com/trailvane/trailvane/pipeline/runner"
)

// readLimit bounds the bodies that one Read returns, so that a reader which is far behind works in pieces.
const readLimit = 1 << 20

// A Source reads one stream. Several goroutines may not read from one Source.
type Source struct {
	broker *Broker
	name   string
	end    uint64 // last record of a bounded input; guarded by the broker's lock
	body   []byte // of the records of the last Read
}

var _ runner.Source = (*Source)(nil)

// Source returns a reader of a stream.
func (b *Broker) Source(stream string) *Source {
	return &Source{broker: b, name: stream, end: math.MaxUint64}
}

// Drain makes the input bounded: what the stream holds now is read, then Read returns io.EOF. It may be called while
// another goroutine reads.
func (s *Source) Drain() {
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	stream := s.broker.stream(s.name)
	s.end = stream.last()
	stream.wake()
}

// Info says what the stream holds now.
func (s *Source) Info(ctx context.Context) (runner.Info, error) {
	if err := ctx.Err(); err != nil {
		return runner.Info{}, err
	}
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	stream := s.broker.stream(s.name)
	return runner.Info{ID: stream.id, First: stream.first, Last: stream.last()}, nil
}

// Read returns the records after a sequence, as the contract says. The bodies of the last call are overwritten.
func (s *Source) Read(ctx context.Context, after uint64) ([]runner.Record, error) {
	clear(s.body) // who kept a body against the contract finds it out here
	for {
		records, changed, err := s.next(after)
		if err != nil || len(records) > 0 {
			return records, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// next returns copies of records, or what to wait for.
func (s *Source) next(after uint64) ([]runner.Record, <-chan struct{}, error) {
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	stream := s.broker.stream(s.name)
	switch {
	case after+1 < stream.first:
		return nil, nil, fmt.Errorf("%w: records %d to %d of %s are gone", runner.ErrGap, after+1, stream.first-1, s.name)
	case after >= s.end:
		return nil, nil, io.EOF
	case after >= stream.last():
		return nil, stream.changed, nil
	}
	var records []runner.Record
	size := 0
	for _, r := range stream.records[after+1-stream.first:] {
		if r.Seq > s.end || size > 0 && size+len(r.Body) > readLimit {
			break
		}
		size += len(r.Body)
		records = append(records, r)
	}
	if cap(s.body) < size {
		s.body = make([]byte, 0, size)
	}
	s.body = s.body[:0]
	for i := range records {
		start := len(s.body)
		s.body = append(s.body, records[i].Body...)
		records[i].Body = s.body[start:len(s.body):len(s.body)]
	}
	return records, nil, nil
}
