package service

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
)

// trimEvery is how often a partition trims its input at most: as often as it commits when it has little to do. It is a dozen
// small requests.
const trimEvery = 5 * time.Second

// trimAnyway is how many turns may pass before a stream is trimmed although its reader has committed nothing more: a minute.
// Who holds it may have been taken out of the readers, and with the stream full nobody would ever commit more.
const trimAnyway = 12

// trimAfterCommits trims a stream when its reader has committed more, until the context ends. The slowest reader is the one
// whose commit makes room, so nobody has to wait for others. A trim that fails is tried again: it only makes room.
func trimAfterCommits(
	ctx context.Context, js jetstream.JetStream, stream string, committed *atomic.Uint64, every time.Duration, log *slog.Logger,
) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	trimmed := uint64(0)
	for turns := 1; ; turns++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		at := committed.Load()
		if at == trimmed && turns < trimAnyway {
			continue
		}
		if _, err := tvjetstream.Trim(ctx, js, stream); err != nil {
			if ctx.Err() == nil {
				log.Warn("trim again", "stream", stream, "err", err)
			}
			continue
		}
		trimmed, turns = at, 0
	}
}
