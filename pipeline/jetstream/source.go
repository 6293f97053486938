package jetstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/runner"
)

var _ runner.Source = (*Source)(nil)

// SourceConfig bounds what a [Source] reads ahead. The zero value is good.
type SourceConfig struct {
	// Messages and Bytes bound what one Read returns, and what the server may send ahead of it: a Source holds at most
	// twice that. 256 and 2 MiB if zero. Bytes is at least 2 MiB, so that any message fits.
	Messages int
	Bytes    int
}

func (c SourceConfig) withDefaults() SourceConfig {
	if c.Messages <= 0 {
		c.Messages = 256
	}
	c.Bytes = max(c.Bytes, minPullBytes)
	return c
}

// A Source reads one stream in order, from any position, with one ordered consumer: a pull consumer without
// acknowledgements, whose every delivery is counted and which is made anew at the position when the count is broken, the
// connection was lost or the server forgot it. The caller sees nothing of that but time; what the stream itself no longer
// holds shows as a record whose Prev is not the caller's position.
//
// Read and Close belong to one goroutine. Info and Drain may be called from any.
type Source struct {
	js     jetstream.JetStream
	stream string
	config SourceConfig

	pull    *pull // nil if none is open
	id      string
	records []runner.Record
	arena   []byte // bodies of the records that were packed

	drainOnce sync.Once
	draining  chan struct{}
	end       atomic.Uint64 // last record of a bounded input; math.MaxUint64 if not known
}

// NewSource returns a source on a stream. Nothing is sent to the server before the first call.
func NewSource(js jetstream.JetStream, stream string, c SourceConfig) *Source {
	s := &Source{js: js, stream: stream, config: c.withDefaults(), draining: make(chan struct{})}
	s.end.Store(math.MaxUint64)
	return s
}

// Info says what the stream holds now.
func (s *Source) Info(ctx context.Context) (runner.Info, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	return streamInfo(ctx, s.js, s.stream)
}

func streamInfo(ctx context.Context, js jetstream.JetStream, name string) (runner.Info, error) {
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return runner.Info{}, fmt.Errorf("look up stream %s: %w", name, err)
	}
	return infoOf(stream.CachedInfo()), nil // of the look-up just made
}

func infoOf(info *jetstream.StreamInfo) runner.Info {
	i := runner.Info{
		ID:    streamID(info),
		First: info.State.FirstSeq,
		Last:  info.State.LastSeq,
	}
	if info.State.Msgs == 0 {
		i.First = i.Last + 1
	}
	return i
}

// idMetadata is where a stream that was restored from a backup has the id that it had.
const idMetadata = "trailvane-stream-id"

// streamID tells streams of the same name apart: by their creation time, unless it is a restored one.
func streamID(info *jetstream.StreamInfo) string {
	if id := info.Config.Metadata[idMetadata]; id != "" {
		return id
	}
	return info.Created.UTC().Format(time.RFC3339Nano)
}

// Drain bounds the input: what the stream holds now is read, then Read returns io.EOF. If the server cannot say now what
// that is, the next Read asks again. It may be called while another goroutine reads, and more than once.
func (s *Source) Drain() {
	s.drainOnce.Do(func() {
		if info, err := s.Info(context.Background()); err == nil {
			s.end.Store(info.Last)
		}
		close(s.draining)
	})
}

// Read returns the records after a sequence that are there, at least one and at most as many as the configuration says;
// it blocks until there is one. They are valid until the next Read. io.EOF: see Drain. An error that wraps runner.ErrGap
// means that this is not the stream that was read so far, or that it lost its end; any other error is passing.
func (s *Source) Read(ctx context.Context, after uint64) ([]runner.Record, error) {
	if s.pull != nil && s.pull.at != after {
		s.closePull()
	}
	records, err := s.read(ctx, after)
	if errors.Is(err, errLost) {
		s.closePull()
		records, err = s.read(ctx, after) // with a new consumer; a second loss is for the caller to space out
	}
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return records, err
	case ctx.Err() != nil:
		return nil, ctx.Err() // the consumer stays: a caller may look elsewhere from time to time
	}
	s.closePull()
	return nil, fmt.Errorf("read %s after %d: %w", s.stream, after, err)
}

// Follow calls each for every record behind a sequence, in order, and for what comes, until there is an error: one of each, or one of
// Read, behind which it may be called again. At the end of a bounded input it returns nil: see Drain.
func (s *Source) Follow(ctx context.Context, after uint64, each func(runner.Record) error) error {
	for {
		records, err := s.Read(ctx, after)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, r := range records {
			if err := each(r); err != nil {
				return err
			}
			after = r.Seq
		}
	}
}

func (s *Source) read(ctx context.Context, after uint64) ([]runner.Record, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var wake <-chan struct{} = s.draining
		select {
		case <-s.draining:
			if err := s.findEnd(ctx); err != nil {
				return nil, err
			}
			if after >= s.end.Load() {
				return nil, io.EOF
			}
			wake = nil
		default:
		}
		if s.pull == nil {
			if err := s.open(ctx, after); err != nil {
				return nil, err
			}
		}
		if err := s.fill(ctx, wake); err != nil || len(s.records) > 0 {
			return s.records, err
		}
	}
}

// findEnd makes sure that a draining Source knows where it ends.
func (s *Source) findEnd(ctx context.Context) error {
	if s.end.Load() != math.MaxUint64 {
		return nil
	}
	info, err := s.Info(ctx)
	if err == nil {
		s.end.Store(info.Last)
	}
	return err
}

// fill takes the records that are there, after waiting for the first one. It may find none: the caller looks again.
func (s *Source) fill(ctx context.Context, wake <-chan struct{}) error {
	s.records, s.arena = s.records[:0], s.arena[:0]
	for size := 0; len(s.records) < s.config.Messages && size < s.config.Bytes; {
		m, err := s.pull.receive(ctx, len(s.records) == 0, wake)
		if err != nil || m == nil {
			return s.keep(err)
		}
		r, delivered, err := decode(m, &s.arena)
		if err != nil {
			return s.keep(err)
		}
		if err := s.pull.deliver(r.Seq, delivered); err != nil {
			return s.keep(err)
		}
		size += len(r.Body)
		s.records = append(s.records, r)
		if wake == nil && r.Seq >= s.end.Load() {
			return nil
		}
	}
	return nil
}

// keep holds an error back if there are records before it: the next Read begins with a new consumer behind them.
func (s *Source) keep(err error) error {
	if err != nil && len(s.records) > 0 {
		s.closePull()
		return nil
	}
	return err
}

// open makes a consumer behind a position, after making sure that the position exists in this stream.
func (s *Source) open(ctx context.Context, after uint64) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := connected(ctx, s.js.Conn()); err != nil {
		return err
	}
	info, err := streamInfo(ctx, s.js, s.stream)
	if err != nil {
		return err
	}
	if s.id == "" {
		s.id = info.ID
	}
	if s.id != info.ID {
		return fmt.Errorf("%w: the stream was created at %s, it was %s", runner.ErrGap, info.ID, s.id)
	}
	if info.Last < after {
		return fmt.Errorf("%w: the stream ends at %d", runner.ErrGap, info.Last)
	}
	if s.end.Load() != math.MaxUint64 && after < info.Last && info.First > info.Last {
		return fmt.Errorf("%w: it held records up to %d and holds none", runner.ErrGap, info.Last)
	}
	s.pull, err = openPull(ctx, s.js, s.stream, "", after, s.config)
	return err
}

func (s *Source) closePull() {
	if s.pull != nil {
		s.pull.close()
		s.pull = nil
	}
}

// Close ends the consumer. A Read afterwards opens another one.
func (s *Source) Close() { s.closePull() }
