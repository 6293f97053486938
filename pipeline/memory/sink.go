package memory

import (
	"bytes"
	"context"
	"fmt"

	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// A Sink stores outputs in the streams of their subjects.
type Sink struct{ broker *Broker }

var _ runner.Sink = (*Sink)(nil)

// Sink returns a writer to all streams.
func (b *Broker) Sink() *Sink { return &Sink{broker: b} }

// Put stores outputs in order, as the contract says, and waits while a stream is full.
func (s *Sink) Put(ctx context.Context, outputs ...runner.Output) (int, error) {
	for i, o := range outputs {
		name, err := schemas.StreamOf(o.Subject)
		if err != nil {
			return i, err
		}
		if len(o.Body) > runner.MaxBody {
			return i, fmt.Errorf("message on %s has %d bytes", o.Subject, len(o.Body))
		}
		for {
			if err := ctx.Err(); err != nil {
				return i, err
			}
			room := s.broker.put(name, o)
			if room == nil {
				break
			}
			select {
			case <-room:
			case <-ctx.Done():
				return i, ctx.Err()
			}
		}
	}
	return len(outputs), nil
}

// put stores one output, or returns what to wait for.
func (b *Broker) put(name string, o runner.Output) (room <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stream(name)
	if o.Once {
		if seq, ok := s.subjects[o.Subject]; ok {
			if !bytes.Equal(s.records[uint64(seq)-s.first].Body, o.Body) {
				b.taken++
			}
			return nil
		}
	}
	if s.full(o.Subject, o.Body) {
		return s.changed
	}
	s.append(runner.Record{
		Subject: o.Subject, Body: o.Body, Producer: o.Producer, Number: o.Number, Trace: o.Trace, Time: b.now(),
	})
	return nil
}
