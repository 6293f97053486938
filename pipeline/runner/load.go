package runner

import (
	"context"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/trailvane/trailvane/schemas"
)

// loadTries bounds how often a state is read that does not match its digest, or an input that seems to end before the position.
// With the waits between them that is a quarter of a minute: replicas answer late, after a cut by several seconds, and a leader
// that was cut off answers until it finds out that there is another one.
const loadTries = 14

// errBehind: the input ends before the position, or whoever was asked does not know better yet.
var errBehind = errors.New("its end is before the position")

// load makes the processor as the last commit left it, and claims the partition.
func (l *loop) load(ctx context.Context) error {
	l.held = false // until we have claimed it again: loading renews the fence, also before another owner's checkpoint
	var wait backoff
	for try := 1; ; try++ {
		err := l.restore(ctx)
		if err == nil {
			break
		}
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, errBehind) || try == loadTries {
			return err
		}
		l.Log.Warn("state and input do not match yet", "err", err)
		if err := wait.sleep(ctx); err != nil {
			return err
		}
	}
	l.Stats.Loads.Add(1)
	l.Stats.Position.Store(l.cp.Seq)
	return l.claim(ctx)
}

// restore reads checkpoint and state once.
func (l *loop) restore(ctx context.Context) error {
	cp, state, err := l.Store.Load(ctx, l.Partition)
	if errors.Is(err, schemas.ErrVersion) {
		return fmt.Errorf("%w: %w", ErrNewer, err)
	}
	if err != nil {
		return passing{fmt.Errorf("load: %w", err)}
	}
	info, err := l.Source.Info(ctx)
	switch {
	case errors.Is(err, ErrNewer), errors.Is(err, ErrCorrupt): // an input may have a state of its own
		return fmt.Errorf("look at the input: %w", err)
	case err != nil:
		return passing{fmt.Errorf("look at the input: %w", err)}
	}
	if cp.Epoch == 0 && cp.Keys == 0 { // nobody has ever claimed it
		start := max(info.First, 1) - 1
		cp = schemas.Checkpoint{Stream: info.ID, Seq: start, Generation: start, Constants: l.Constants}
	}
	l.cp = cp
	if l.taken() {
		return fmt.Errorf("%w: %s, in epoch %d", ErrConflict, cp.Owner, cp.Epoch)
	}
	if err := l.check(info); err != nil {
		return err
	}
	anew, err := l.upgrade(cp)
	if err != nil {
		return err
	}
	if anew {
		l.cp.Generation, l.cp.Keys, l.cp.Sum = cp.Seq, 0, 0
		cp, state = l.cp, none
	}
	l.cp.Constants, l.cp.Version = l.Constants, l.Version
	l.processor = l.New(cp.Generation)
	l.producer = Producer(l.Stage, l.Partition, cp.Stream, cp.Generation)
	l.state = digest{values: make(map[string]value)}
	var bad error
	twice := false
	for key, value := range state {
		twice = twice || l.state.has(key)
		l.state.set(key, value)
		if bad == nil {
			bad = l.processor.Restore(key, value)
		}
	}
	switch {
	case twice || l.state.keys() != cp.Keys || l.state.sum != cp.Sum:
		return fmt.Errorf("%w: %d keys with sum %x, not %d with %x",
			ErrCorrupt, l.state.keys(), l.state.sum, cp.Keys, cp.Sum)
	case bad != nil:
		return fmt.Errorf("restore: %w", bad)
	}
	return nil
}

// none is the state of a generation that begins.
func none(func(string, []byte) bool) {}

// upgrade decides what becomes of a state that another version of the program has written: an error, or whether the processor
// begins anew. A generation is known by where it begins, so that one which has not read anything cannot be followed by another:
// it goes on, for it has learned nothing yet.
func (l *loop) upgrade(cp schemas.Checkpoint) (anew bool, err error) {
	if cp.Version > l.Version {
		return false, fmt.Errorf("%w: the state of %s %s has format %d, this program reads up to %d; nothing was changed, "+
			"start the newer program again", ErrNewer, l.Stage, l.Partition, cp.Version, l.Version)
	}
	old, other := cp.Version < l.Oldest, cp.Constants != l.Constants
	switch {
	case !old && !other, cp.Seq == cp.Generation:
		return false, nil
	case l.Anew:
		l.Log.Warn("begin with an empty state, because the model is another one", "after", cp.Seq,
			"was", cp.Constants, "is", l.Constants)
		return true, nil
	case old:
		return false, fmt.Errorf("%w: the state of %s %s has format %d, this program reads from %d on; nothing was changed, "+
			"run a version in between first", ErrOlder, l.Stage, l.Partition, cp.Version, l.Oldest)
	}
	l.Log.Info("go on with other constants", "after", cp.Seq, "was", cp.Constants, "is", l.Constants)
	return false, nil
}

// taken reports whether the partition is another instance's: whoever lives and owned it before we tried to claim it, or has
// claimed it since.
func (l *loop) taken() bool {
	if l.claimed == 0 {
		return l.cp.Owner != "" && l.cp.Owner != l.Instance && l.Owned != nil && l.Owned(l.cp.Owner)
	}
	return l.cp.Epoch > l.claimed || l.cp.Epoch == l.claimed && l.cp.Owner != l.Instance
}

// check reports what is missing between the position and the input.
func (l *loop) check(info Info) error {
	switch {
	case info.ID != l.cp.Stream:
		return fmt.Errorf("%w: the stream is %s, but the state was made from %s", ErrGap, info.ID, l.cp.Stream)
	case info.First > l.cp.Seq+1:
		return fmt.Errorf("%w: records %d to %d of %s are gone", ErrGap, l.cp.Seq+1, info.First-1, info.ID)
	case info.Last < l.cp.Seq:
		return fmt.Errorf("%w: %w: records %d to %d of %s, which were read, are gone",
			ErrGap, errBehind, info.Last+1, l.cp.Seq, info.ID)
	}
	return nil
}

// claim makes us the owner before anything is read. A commit of an earlier owner, or one of our own that was given up, can
// not succeed any more.
func (l *loop) claim(ctx context.Context) error {
	l.cp.Owner = l.Instance
	l.cp.Epoch++
	l.claimed = l.cp.Epoch
	if err := l.launch(ctx); err != nil {
		return err
	}
	if err := l.await(ctx); err != nil {
		return err
	}
	l.held = true
	l.Stats.Epoch.Store(l.claimed)
	return nil
}

// A digest describes a state: its number of keys, and the sum of the hashes of each key and its value, so that it is kept
// up to date key by key.
type digest struct {
	values map[string]value
	sum    uint64
	bytes  uint64 // of all values; for those who look, no part of the checkpoint
	hash   xxhash.Digest
}

// A value is what a digest knows of one.
type value struct {
	hash uint64
	size int
}

func (d *digest) keys() uint64 { return uint64(len(d.values)) }

func (d *digest) has(key string) bool {
	_, ok := d.values[key]
	return ok
}

func (d *digest) set(key string, state []byte) {
	d.hash.Reset()
	d.hash.WriteString(key)
	d.hash.Write([]byte{0}) // keys have no zero byte, so key and value cannot run into each other
	d.hash.Write(state)
	is, was := value{d.hash.Sum64(), len(state)}, d.values[key]
	d.sum += is.hash - was.hash
	d.bytes += uint64(is.size) - uint64(was.size)
	d.values[key] = is
}
