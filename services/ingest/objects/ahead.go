package objects

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/trailvane/trailvane/pipeline/ingest"
)

const (
	// aheadObjects and aheadBytes bound what is read ahead. At 20 to 50 ms an object, eight at once are 160 to 400 of them a
	// second, of about 50 KB each as the vendors deliver them: more than is decoded.
	aheadObjects, aheadBytes = 8, 16 << 20

	// aheadEntries bounds how far it is looked for them.
	aheadEntries = 64

	// wholeBytes is the size up to which an object is read as a whole, before its first record is taken. Larger ones are
	// streams: no vendor delivers such, but exports can have any size.
	wholeBytes = 8 << 20
)

// ahead is what is being read before it is wanted.
type ahead struct {
	fetches map[ingest.Object]*fetch
	running sync.WaitGroup
}

// A fetch reads an object as a whole.
type fetch struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when the rest is set
	body   []byte
	err    error
}

// Expect says which objects will be opened next, and in which order. The first ones are read in the background; what was
// expected before and is not any more is dropped. It decides nothing but when an object is read.
func (o *Objects) Expect(next iter.Seq[ingest.Object]) {
	wanted := make(map[ingest.Object]bool)
	size, looked := int64(0), 0
	for object := range next {
		if looked++; looked > aheadEntries || len(wanted) == aheadObjects {
			break
		}
		if !Is(object.Name) {
			continue
		}
		if object.Size > wholeBytes || len(wanted) > 0 && size+object.Size > aheadBytes {
			break
		}
		size += object.Size
		wanted[object] = true
		if o.ahead.fetches[object] == nil {
			o.fetch(object)
		}
	}
	for object, f := range o.ahead.fetches {
		if !wanted[object] {
			f.cancel()
			delete(o.ahead.fetches, object)
		}
	}
}

// fetch begins to read an object.
func (o *Objects) fetch(object ingest.Object) {
	s, key, err := o.find(object.Name)
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancel(o.alive)
	f := &fetch{cancel: cancel, done: make(chan struct{})}
	o.ahead.fetches[object] = f
	o.ahead.running.Go(func() {
		defer close(f.done)
		f.body, f.err = s.whole(ctx, key, &object)
	})
}

// whole returns a reader of an object that was read as a whole, ahead or now.
func (o *Objects) whole(ctx context.Context, s *store, key string, object ingest.Object) (io.ReadCloser, error) {
	f := o.ahead.fetches[object]
	if f == nil {
		body, err := s.whole(ctx, key, &object)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(bytes.NewReader(body)), nil
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	f.cancel()
	delete(o.ahead.fetches, object)
	if f.err != nil {
		return nil, f.err
	}
	return io.NopCloser(bytes.NewReader(f.body)), nil
}

const (
	// wholeTries bounds how often an object is read on that breaks off, before the caller is told, who tries again.
	wholeTries = 5

	firstPause, longestPause = 100 * time.Millisecond, 10 * time.Second
)

// whole reads an object. The client tries again what fails before the first byte.
func (s *store) whole(ctx context.Context, key string, o *ingest.Object) ([]byte, error) {
	body := make([]byte, 0, o.Size)
	for try := 0; ; try++ {
		err := s.readOn(ctx, key, o, &body)
		if err == nil || errors.Is(err, ingest.ErrUnreadable) || ctx.Err() != nil || try == wholeTries-1 {
			return body, err
		}
		if err := pause(ctx, try); err != nil {
			return nil, err
		}
	}
}

// readOn appends what is missing of an object.
func (s *store) readOn(ctx context.Context, key string, o *ingest.Object, body *[]byte) error {
	at := len(*body)
	if int64(at) == o.Size && at > 0 {
		return nil
	}
	r, err := s.get(ctx, key, o, int64(at))
	if err != nil {
		return err
	}
	defer r.Close()
	for int64(len(*body)) < o.Size {
		n, err := r.Read((*body)[len(*body):o.Size])
		*body = (*body)[:len(*body)+n]
		if err != nil && int64(len(*body)) < o.Size {
			return s.brokeOff(key, int64(len(*body)), err)
		}
	}
	return nil
}

// brokeOff tells that an object could not be read up to its end.
func (s *store) brokeOff(key string, at int64, err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %s: broken off after %d bytes: %w", s.name(key), at, err)
}

// pause waits before the next try.
func pause(ctx context.Context, try int) error {
	t := time.NewTimer(min(firstPause<<min(try, 10), longestPause))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A stream reads a large object. What breaks off is read on from there, for as long as it takes: an object is not given up because
// a network is down.
type stream struct {
	ctx    context.Context
	log    *slog.Logger
	store  *store
	key    string
	object ingest.Object
	r      io.ReadCloser // nil if it broke off
	at     int64
	tries  int
}

// stream opens an object. The first context is for reading, the second one for opening.
func (s *store) stream(alive, opening context.Context, log *slog.Logger, key string, o ingest.Object) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(alive)
	stop := context.AfterFunc(opening, cancel)
	r, err := s.get(ctx, key, &o, 0)
	if err != nil || !stop() {
		if err == nil {
			r.Close()
			err = opening.Err()
		}
		cancel()
		return nil, err
	}
	return &streamCloser{stream{ctx: ctx, log: log, store: s, key: key, object: o, r: r}, cancel}, nil
}

type streamCloser struct {
	stream
	cancel context.CancelFunc
}

// Close ends reading.
func (c *streamCloser) Close() error {
	c.cancel()
	if c.r != nil {
		return c.r.Close()
	}
	return nil
}

// Read reads on.
func (t *stream) Read(p []byte) (int, error) {
	for {
		if t.at >= t.object.Size {
			return 0, io.EOF
		}
		if t.r != nil {
			n, err := t.r.Read(p[:min(int64(len(p)), t.object.Size-t.at)])
			t.at += int64(n)
			if err != nil {
				t.r.Close()
				t.r = nil
				if t.at < t.object.Size {
					t.failed(t.store.brokeOff(t.key, t.at, err))
				}
			}
			if n > 0 {
				t.tries = 0
				return n, nil
			}
		}
		if err := t.reopen(); err != nil {
			return 0, err
		}
	}
}

func (t *stream) reopen() error {
	if t.at >= t.object.Size || t.r != nil {
		return nil
	}
	if err := pause(t.ctx, t.tries); err != nil {
		return err
	}
	t.tries++
	r, err := t.store.get(t.ctx, t.key, &t.object, t.at)
	switch {
	case err == nil:
		t.r = r
		return nil
	case errors.Is(err, ingest.ErrUnreadable), t.ctx.Err() != nil:
		return err
	}
	t.failed(err)
	return nil
}

func (t *stream) failed(err error) {
	t.log.Warn("reading an object broke off; it is read on from there", "object", t.object.Name, "at", t.at, "err", err)
}
