package jetstream

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/runner"
)

// ReadAll calls fn for every message that a stream holds when it begins, in order, and returns fn's first error. The record
// belongs to fn. It is for readers that keep no position: what is shown, not what is computed.
func ReadAll(ctx context.Context, js jetstream.JetStream, stream string, fn func(runner.Record) error) error {
	err := readAll(ctx, js, stream, "", func(m *nats.Msg) error {
		r, _, err := decode(m, new([]byte)) // it belongs to fn
		if err != nil {
			return err
		}
		return fn(r)
	})
	if err != nil {
		return fmt.Errorf("read all of %s: %w", stream, err)
	}
	return nil
}

// readAll reads what a stream holds under a filter (empty: everything), by one ordered consumer. It starts over where it
// was when the consumer is lost, a few times.
func readAll(
	ctx context.Context, js jetstream.JetStream, stream, filter string, fn func(*nats.Msg) error,
) error {
	return readBehind(ctx, js, stream, filter, 0, fn)
}

// readBehind is readAll for what is behind a sequence.
func readBehind(
	ctx context.Context, js jetstream.JetStream, stream, filter string, after uint64, fn func(*nats.Msg) error,
) error {
	for attempt := 0; ; attempt++ {
		at, err := readRest(ctx, js, stream, filter, after, fn)
		if err == nil || !errors.Is(err, errLost) || attempt == 3 {
			return err
		}
		after = at
		if err := sleep(ctx, retryMax); err != nil {
			return err
		}
	}
}

func readRest(
	ctx context.Context, js jetstream.JetStream, stream, filter string, after uint64,
	fn func(*nats.Msg) error,
) (at uint64, err error) {
	p, err := openPull(ctx, js, stream, filter, after, SourceConfig{}.withDefaults())
	if err != nil {
		return after, err
	}
	defer p.close()
	for pending := p.pending; pending > 0; {
		m, err := p.receive(ctx, true, nil)
		if err != nil {
			return p.at, err
		}
		if m == nil { // either slow, or what was left has been replaced or deleted meanwhile
			info, err := p.consumer.Info(ctx)
			if err != nil {
				return p.at, errors.Join(errLost, err)
			}
			if info.NumPending == 0 && info.Delivered.Consumer == p.delivered {
				return p.at, nil
			}
			continue
		}
		md, err := m.Metadata()
		if err != nil {
			return p.at, err
		}
		if err := p.deliver(md.Sequence.Stream, md.Sequence.Consumer); err != nil {
			return p.at, err
		}
		pending = min(pending-1, md.NumPending)
		if err := fn(m); err != nil {
			return p.at, err
		}
	}
	return p.at, nil
}
