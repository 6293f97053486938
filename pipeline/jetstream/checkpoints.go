package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/trailvane/trailvane/schemas"
)

// A Saved checkpoint is one as the store has it.
type Saved struct {
	schemas.Checkpoint
	At time.Time // when the broker stored it
}

// Checkpoints returns the last checkpoints of a stage by partition; a partition that nobody has ever claimed is missing. They
// may be a little old, because any replica may answer: they are for looking, and what is decided by them is checked again
// when it is committed.
func Checkpoints(ctx context.Context, js jetstream.JetStream, stage string) (map[string]Saved, error) {
	prefix := "$KV." + StateBucket(stage) + "." + checkpoints + "."
	all := make(map[string]Saved)
	err := lastOf(ctx, js, StateBucket(stage), prefix+">", func(m *jetstream.RawStreamMsg) error {
		s := Saved{At: m.Time}
		partition := m.Subject[len(prefix):]
		if err := s.Decode(m.Data); err != nil {
			return fmt.Errorf("checkpoint %s: %w", partition, err)
		}
		all[partition] = s
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at the checkpoints of %s: %w", stage, err)
	}
	return all, nil
}

// lastOf visits the last message of every subject of a bucket below a filter, by one request. Whoever is missing may be taken
// for dead, so an answer that is not complete is an error.
func lastOf(ctx context.Context, js jetstream.JetStream, bucket, filter string, visit func(*jetstream.RawStreamMsg) error) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	messages, err := jetstreamext.GetLastMsgsFor(ctx, js, bucketStream(bucket), []string{filter})
	if err != nil {
		return err
	}
	for m, err := range messages {
		switch {
		case errors.Is(err, jetstreamext.ErrNoMessages):
			return nil
		case err != nil:
			return err
		}
		if err := visit(m); err != nil {
			return err
		}
	}
	// The library ends without a word when time is up or the connection is closed.
	if js.Conn().IsClosed() {
		return nats.ErrConnectionClosed
	}
	return ctx.Err()
}
