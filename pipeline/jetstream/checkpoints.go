package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

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
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	all := make(map[string]Saved)
	messages, err := jetstreamext.GetLastMsgsFor(ctx, js, bucketStream(StateBucket(stage)), []string{prefix + ">"})
	if err != nil {
		return nil, fmt.Errorf("look at the checkpoints of %s: %w", stage, err)
	}
	for m, err := range messages {
		if errors.Is(err, jetstreamext.ErrNoMessages) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("look at the checkpoints of %s: %w", stage, err)
		}
		s := Saved{At: m.Time}
		partition := m.Subject[len(prefix):]
		if err := s.Decode(m.Data); err != nil {
			return nil, fmt.Errorf("checkpoint %s of %s: %w", partition, stage, err)
		}
		all[partition] = s
	}
	return all, nil
}
