package jetstream

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/schemas"
)

// Trim purges the head of a queue, up to what all registered readers have committed, less the deployment's tail, and returns
// how many records went. Anybody may call it at any time: positions only grow, so what was decided by old ones is true later.
//
// It does nothing if trimming is off, if nobody is registered, or if a registered reader has no checkpoint: that one begins at
// the first record there is. A checkpoint of another stream of that name holds everything too, because somebody must decide.
func Trim(ctx context.Context, js jetstream.JetStream, stream string) (uint64, error) {
	readers, err := LoadReaders(ctx, js)
	if err != nil || !readers.Trim {
		return 0, err
	}
	// The stream before the positions: one that is made anew between the two has another id than this one.
	handle, err := js.Stream(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("look up stream %s: %w", stream, err)
	}
	info := infoOf(handle.CachedInfo())
	last, err := slowest(ctx, js, &readers, stream, info.ID)
	if err != nil {
		return 0, err
	}
	// Never beyond the end: the server would take that as the place of the next record.
	last = min(last, info.Last)
	last -= min(last, readers.KeepTail)
	if last < info.First {
		return 0, nil
	}
	if err := handle.Purge(ctx, jetstream.WithPurgeSequence(last+1)); err != nil {
		return 0, fmt.Errorf("trim %s up to %d: %w", stream, last, err)
	}
	return last + 1 - info.First, nil
}

// slowest returns the position that all registered readers of a stream have committed, 0 if somebody holds everything.
func slowest(ctx context.Context, js jetstream.JetStream, readers *Readers, stream, id string) (uint64, error) {
	flow, partition, ok := strings.Cut(stream, "_")
	if !ok {
		return 0, fmt.Errorf("trim %s: it is no queue", stream)
	}
	position, any := uint64(math.MaxUint64), false
	for stage, reader := range readers.Stages {
		if !reader.Enabled || reader.Reads != schemas.Flow(strings.ToLower(flow)) {
			continue
		}
		any = true
		value, revision, err := lastValue(ctx, js, StateBucket(stage), checkpoints+"."+partition)
		if err != nil {
			return 0, fmt.Errorf("look at the position of %s: %w", stage, err)
		}
		if revision == 0 {
			return 0, nil
		}
		var c schemas.Checkpoint
		if err := c.Decode(value); err != nil {
			return 0, fmt.Errorf("checkpoint %s of %s: %w", partition, stage, err)
		}
		if c.Stream != id {
			return 0, nil
		}
		position = min(position, c.Seq)
	}
	if !any {
		return 0, nil
	}
	return position, nil
}
