package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/trailvane/trailvane/schemas"
)

// A flight is a commit in flight.
type flight struct {
	flying context.Context // ends when the commit does; reads that wait meanwhile wait under it
	cancel context.CancelFunc
	done   chan error
	seq    uint64
}

// commitIfDue starts a commit when it is time for one, and takes the result of one that has ended. It is called only when
// all outputs are stored. With a commit in flight it waits only if too many keys have changed again.
func (l *loop) commitIfDue(ctx context.Context) error {
	if l.flight != nil {
		if l.flight.flying.Err() == nil && l.dirty() < MaxDirty {
			return nil
		}
		if err := l.await(ctx); err != nil {
			return err
		}
	}
	if l.cp.Seq == l.committed {
		return nil
	}
	if l.bytes >= l.CommitBytes || l.dirty() >= MaxDirty || !l.Now().Before(l.due) {
		return l.launch(ctx)
	}
	return nil
}

// dirty returns how many keys the next snapshot would give, zero if the processor does not say.
func (l *loop) dirty() int {
	if d, ok := l.processor.(Dirtier); ok {
		return d.Dirty()
	}
	return 0
}

// launch takes a snapshot and starts its commit. Everything that the commit uses is its own, so the loop goes on.
func (l *loop) launch(ctx context.Context) error {
	changed := make(map[string][]byte)
	err := l.processor.Snapshot(func(key string, state []byte) {
		changed[key] = state
		l.state.set(key, state)
	})
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	if err := checkChanged(changed); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	cp := l.cp
	cp.Seen = slices.Clone(cp.Seen)
	cp.Keys, cp.Sum = l.state.keys(), l.state.sum
	l.committed, l.due, l.bytes = cp.Seq, l.nextCommit(l.Now()), 0
	var committed func(time.Duration)
	if l.Observe != nil {
		committed = l.Observe(l.processor)
	}
	l.fly(ctx, cp, changed, committed)
	return nil
}

// nextCommit returns when a commit is due that follows one at the given time: CommitEvery later or earlier, at a moment that differs from
// partition to partition and stays the same for each. If all partitions of a host made their snapshots together, everything else
// would wait for that long, every time.
func (l *loop) nextCommit(last time.Time) time.Time {
	phase := xxhash.Sum64String(l.Stage+"."+l.Partition) % uint64(l.CommitEvery)
	since := (uint64(last.UnixNano()) - phase) % uint64(l.CommitEvery)
	return last.Add(l.CommitEvery - time.Duration(since)) // of the clock of last, which may be monotonic
}

// fly starts a commit, and has committed called, if it is not nil, when that succeeds.
func (l *loop) fly(ctx context.Context, cp schemas.Checkpoint, changed map[string][]byte, committed func(took time.Duration)) {
	l.flown = cp
	size := l.state.bytes
	// A planned stop lets the commit in flight end, so the context's end must not reach it.
	during, cancel := context.WithCancel(context.WithoutCancel(ctx))
	if ctx.Err() != nil { // the stop has begun, and this one knows how much time there is
		during, cancel = context.WithDeadline(during, l.stopTime())
	}
	flying, ended := context.WithCancel(ctx)
	f := &flight{flying: flying, cancel: cancel, done: make(chan error, 1), seq: cp.Seq}
	go func() {
		begin := time.Now()
		err := l.Store.Commit(during, l.Partition, cp, changed)
		if err == nil {
			took := time.Since(begin)
			l.Stats.Commits.Add(1)
			l.Stats.CommitTime.Add(int64(took))
			l.Stats.Keys.Store(cp.Keys)
			l.Stats.StateBytes.Store(size)
			l.Stats.Committed.Store(cp.Seq)
			if committed != nil {
				committed(took)
			}
		}
		f.done <- err
		ended()
	}()
	l.flight = f
}

// checkChanged says why a commit could never succeed. Trying it for ever would be silence.
func checkChanged(changed map[string][]byte) error {
	if len(changed) > MaxChanged {
		return fmt.Errorf("%d keys have changed, more than the %d that one commit can hold", len(changed), MaxChanged)
	}
	for key, value := range changed {
		if len(key) == 0 || len(key) > MaxKey || strings.IndexByte(key, 0) >= 0 {
			return fmt.Errorf("key %.300q is not one", key)
		}
		if len(value) > MaxBody {
			return fmt.Errorf("key %q has %d bytes, more than a message holds", key, len(value))
		}
	}
	return nil
}

// await waits for the commit in flight. Any error of it means that the outcome is unknown: the state must be loaded again.
// That also tells a conflict with another owner from one with a commit of our own that came late.
func (l *loop) await(ctx context.Context) error {
	f := l.flight
	if f == nil {
		return nil
	}
	l.flight = nil
	defer f.cancel()
	var err error
	select {
	case err = <-f.done:
	case <-ctx.Done():
		grace := time.AfterFunc(time.Until(l.stopTime()), f.cancel)
		defer grace.Stop()
		err = <-f.done
	}
	if err != nil {
		l.held = false
		return passing{fmt.Errorf("commit at %d: %w", f.seq, err)}
	}
	return nil
}

// stopTime returns when a planned stop gives up committing. The first call is its beginning.
func (l *loop) stopTime() time.Time {
	if l.stopBy.IsZero() {
		l.stopBy = time.Now().Add(stopGrace)
	}
	return l.stopBy
}

// finish commits what is left at the end of the input.
func (l *loop) finish(ctx context.Context) error {
	if err := l.await(ctx); err != nil {
		return err
	}
	if l.cp.Seq == l.committed {
		return nil
	}
	if err := l.launch(ctx); err != nil {
		return err
	}
	return l.await(ctx)
}

// stop commits what is stored and gives the partition up, as far as that is possible in the time that a planned stop has. It
// is called between reads, when everything is stored.
func (l *loop) stop(ctx context.Context) {
	err := l.await(ctx)
	if err == nil {
		l.cp.Owner = ""
		if err = l.launch(ctx); err == nil {
			err = l.await(ctx)
		}
	}
	if err != nil {
		l.Log.Warn("stopped without a last commit", "after", l.cp.Seq, "err", err)
		return
	}
	l.held = false
}

// release gives the partition up where the last commit has left it: the state is ahead of what is stored, or is not to be
// trusted. If that commit's outcome is unknown, it stays ours until we are silent.
func (l *loop) release(ctx context.Context) {
	err := l.await(ctx)
	if err == nil && l.held {
		cp := l.flown
		cp.Owner = ""
		l.fly(ctx, cp, nil, nil)
		err = l.await(ctx)
		l.held = false
	}
	if err != nil && !errors.Is(err, ErrConflict) {
		l.Log.Warn("stopped without giving the partition up", "after", l.flown.Seq, "err", err)
	}
}

// land waits for a commit that nobody waits for any more; the loop leaves nothing behind.
func (l *loop) land(ctx context.Context) {
	if err := l.await(ctx); err != nil && ctx.Err() == nil {
		l.Log.Warn("commit failed", "err", err)
	}
}
