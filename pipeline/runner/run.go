package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/trailvane/trailvane/schemas"
)

// Run works on the partition: it loads the state, claims the partition, and then for ever reads records, applies each,
// puts their outputs, and from time to time commits state and position together.
//
// It returns nil when the input has ended (io.EOF from the source) and everything is put and committed. It returns the
// context's error after a planned stop: it begins no put any more, commits what is stored, and gives the partition up by leaving
// the owner empty, if that takes no longer than two seconds. [ErrConflict], [ErrGap], [ErrCorrupt], [ErrNewer], [ErrOlder] and
// errors of the processor are for the caller to decide; after them, too, the partition is given up, where the last commit left it.
// Whatever else fails is tried again until the context ends: after a failed commit with the state loaded anew, after a
// failed read or put from where it stands. No goroutine is left behind.
func Run(ctx context.Context, c Config) error {
	c, err := c.withDefaults()
	if err != nil {
		return err
	}
	l := &loop{Config: c}
	l.emit = l.take
	// Profiles tell the stages apart by this label.
	pprof.Do(ctx, pprof.Labels("stage", c.Stage), func(ctx context.Context) { err = l.run(ctx) })
	return err
}

// A loop is the life of one partition in one instance. Only commits leave its goroutine, one at a time, with a snapshot
// that is theirs.
type loop struct {
	Config

	processor Processor
	producer  string
	cp        schemas.Checkpoint // of the state as it is now; Seq is the last record applied
	state     digest             // of the state as of the last snapshot
	claimed   uint64             // epoch of our last claim, whether or not it is known to have succeeded

	emit    func(Output)
	cause   *Record  // the record being applied
	trace   string   // of its outputs
	index   uint32   // of its next output
	outputs []Output // of the records applied and not yet put
	size    int      // of their bodies

	committed uint64    // last record in a snapshot that was taken for a commit
	due       time.Time // when the next one is
	bytes     int       // of input, since that one
	flight    *flight   // the commit in flight, nil if there is none

	flown  schemas.Checkpoint // of the last commit that was started
	held   bool               // that one, and all before it, are not known to have failed: the partition is ours
	stopBy time.Time          // when a planned stop gives up committing, zero before it begins
	puts   context.Context    // of puts: a planned stop lets the one under way end
}

// A passing error is one after which the state is loaded again.
type passing struct{ error }

func (p passing) Unwrap() error { return p.error }

// run loads and works until the end of the input, the end of the context, or an error that a person must decide.
func (l *loop) run(ctx context.Context) error {
	puts, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(putGrace, cancel) })()
	l.puts = puts
	var wait backoff
	gap := uint64(math.MaxUint64) // the position behind which records were missing, while working
	for {
		err := l.load(ctx)
		if err == nil {
			wait = 0
			if err = l.work(ctx); errors.Is(err, ErrGap) && l.cp.Seq != gap {
				// Whoever slept too long finds his input trimmed by the new owner. That is no gap, and loading tells.
				gap = l.cp.Seq
				err = passing{err}
			}
		}
		switch p, isPassing := errors.AsType[passing](err); {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			l.release(ctx)
			return ctx.Err()
		case !isPassing:
			l.release(ctx)
			return err
		default:
			l.land(ctx)
			l.Log.Warn("load again", "after", l.cp.Seq, "err", p.error)
		}
		if err := wait.sleep(ctx); err != nil {
			return err
		}
	}
}

// work is the loop. It returns nil at the end of the input.
func (l *loop) work(ctx context.Context) error {
	for {
		if err := l.commitIfDue(ctx); err != nil {
			return err
		}
		records, err := l.read(ctx)
		switch {
		case ctx.Err() != nil:
			l.stop(ctx)
			return ctx.Err()
		case errors.Is(err, io.EOF):
			return l.finish(ctx)
		case err != nil:
			return err
		}
		for len(records) > 0 {
			n, err := l.apply(records)
			if err != nil {
				return err
			}
			records = records[n:]
			if err := l.put(ctx); err != nil {
				return err
			}
			if ctx.Err() != nil {
				l.stop(ctx)
				return ctx.Err()
			}
			if err := l.commitIfDue(ctx); err != nil {
				return err
			}
		}
	}
}

// read returns the next records, or none when it is time to look after a commit.
func (l *loop) read(ctx context.Context) ([]Record, error) {
	var wait backoff
	for {
		wake, cancel := l.wake(ctx)
		records, err := l.Source.Read(wake, l.cp.Seq)
		woken := wake.Err() != nil
		cancel()
		switch {
		case err == nil:
			return records, nil
		case woken:
			return nil, nil
		case errors.Is(err, io.EOF), errors.Is(err, ErrGap):
			return nil, err
		}
		l.Stats.Retries.Add(1)
		l.Log.Warn("read again", "after", l.cp.Seq, "err", err)
		if err := wait.sleep(ctx); err != nil {
			return nil, err
		}
		// The connection may be another one, and so may the stream.
		if info, err := l.Source.Info(ctx); err == nil {
			if err := l.check(info); err != nil {
				return nil, err
			}
		}
	}
}

// wake returns the context of a read. It ends when the commit in flight does, or when the next one is due.
func (l *loop) wake(ctx context.Context) (context.Context, context.CancelFunc) {
	switch {
	case l.flight != nil:
		return context.WithCancel(l.flight.flying)
	case l.cp.Seq != l.committed:
		return context.WithTimeout(ctx, l.due.Sub(l.Now()))
	}
	return context.WithCancel(ctx)
}

// apply lets the processor work on the first of the records, at least one, and returns on how many: so many that neither
// their outputs nor the keys they change exceed what one put and one commit should hold.
func (l *loop) apply(records []Record) (int, error) {
	for i := range records {
		r := &records[i]
		if r.Prev != l.cp.Seq || r.Seq <= r.Prev {
			return i, fmt.Errorf("%w: record %d of %s follows %d, but the position is %d",
				ErrGap, r.Seq, l.cp.Stream, r.Prev, l.cp.Seq)
		}
		l.Stats.Bytes.Add(uint64(len(r.Body)))
		l.bytes += len(r.Body)
		switch {
		case l.Accept != nil && !l.Accept(r):
			l.Stats.Refused.Add(1)
		case l.repeated(r):
			l.Stats.Repeats.Add(1)
		default:
			if err := l.applyOne(r); err != nil {
				return i, err
			}
			l.Stats.Records.Add(1)
		}
		l.cp.Seq = r.Seq
		if l.size >= maxPut || l.bytes >= l.CommitBytes || l.dirty() >= MaxDirty {
			return i + 1, nil
		}
	}
	return len(records), nil
}

// applyOne lets the processor work on one record.
func (l *loop) applyOne(r *Record) error {
	l.cause, l.index, l.trace = r, 0, r.Trace
	var end func(outputs int, err error)
	if l.Trace != nil {
		l.trace, end = l.Trace(r)
	}
	err := l.processor.Apply(*r, l.emit)
	if end != nil {
		end(int(l.index), err)
	}
	if err != nil {
		return fmt.Errorf("apply record %d of %s%s: %w", r.Seq, r.Subject, inTrace(l.trace), err)
	}
	return nil
}

// inTrace tells a trace in an error.
func inTrace(traceparent string) string {
	if id := TraceID(traceparent); id != "" {
		return ", trace " + id
	}
	return ""
}

// TraceID returns the id of the trace of a traceparent, empty if there is none.
func TraceID(traceparent string) string {
	const begin, end = len("00-"), len("00-") + 32
	if len(traceparent) < end {
		return ""
	}
	return traceparent[begin:end]
}

// repeated reports whether the record was read before, and remembers its number.
func (l *loop) repeated(r *Record) bool {
	if r.Producer == "" {
		return false
	}
	i, found := slices.BinarySearchFunc(l.cp.Seen, r.Producer, schemas.Seen.Compare)
	if !found {
		i, found = l.renamed(r.Producer, i)
	}
	if !found {
		l.cp.Seen = slices.Insert(l.cp.Seen, i, schemas.Seen{Producer: r.Producer, Number: r.Number})
		return false
	}
	if !l.cp.Seen[i].Number.Less(r.Number) {
		return true
	}
	l.cp.Seen[i].Number = r.Number
	return false
}

// renamed looks for a producer by the name without the stream that programs gave it before there was a version of states (see
// [Producer]), and keeps its number under the new name, which belongs at place i. What such a program had put when it was killed
// comes again from this one, with equal numbers; it must not count twice.
func (l *loop) renamed(producer string, i int) (int, bool) {
	former := producer[:max(strings.LastIndexByte(producer, '.'), 0)]
	j, found := slices.BinarySearchFunc(l.cp.Seen, former, schemas.Seen.Compare)
	if !found {
		return i, false
	}
	n := l.cp.Seen[j].Number
	l.cp.Seen = slices.Insert(slices.Delete(l.cp.Seen, j, j+1), i-1, schemas.Seen{Producer: producer, Number: n})
	return i - 1, true
}

// take numbers an output.
func (l *loop) take(o Output) {
	o.Producer = l.producer
	o.Number = schemas.Number{Seq: l.cause.Seq, Index: l.index}
	o.Trace = l.trace
	l.index++
	l.size += len(o.Body)
	l.outputs = append(l.outputs, o)
}

// put stores the outputs of the records that were applied. Until it succeeds the state is ahead of them and cannot be
// committed; so it ends without success only when the context does, or for good.
func (l *loop) put(ctx context.Context) error {
	var wait backoff
	for rest := l.outputs; len(rest) > 0; {
		if len(rest[0].Body) > MaxBody {
			return fmt.Errorf("output on %s has %d bytes, more than a message holds", rest[0].Subject, len(rest[0].Body))
		}
		n, err := l.Sink.Put(l.puts, rest...)
		l.Stats.Outputs.Add(uint64(n))
		if rest = rest[n:]; len(rest) == 0 {
			break
		}
		if n > 0 {
			wait = 0
		}
		l.Stats.Retries.Add(1)
		if ctx.Err() == nil {
			l.Log.Warn("put again", "input", rest[0].Number.Seq, "subject", rest[0].Subject, "outputs", len(rest),
				"trace_id", TraceID(rest[0].Trace), "err", err)
		}
		if err := wait.sleep(ctx); err != nil {
			return err
		}
	}
	clear(l.outputs) // bodies are the sink's now
	l.outputs, l.size = l.outputs[:0], 0
	l.Stats.Position.Store(l.cp.Seq)
	return nil
}

// A backoff spaces attempts: 10 ms at first, which is a few round trips, twice as long each time, and 2 s at most, so that
// work goes on soon after an outage of any length.
type backoff time.Duration

func (b *backoff) sleep(ctx context.Context) error {
	*b = min(max(2**b, backoff(10*time.Millisecond)), backoff(2*time.Second))
	t := time.NewTimer(time.Duration(*b))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
