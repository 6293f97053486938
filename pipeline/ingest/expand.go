package ingest

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	// maxRatio bounds what stored bytes may expand to. Audit logs compress 10 to 50 times, one record over and over some
	// hundred times, and gzip cannot do more than 1032 times: what exceeds it was made to.
	maxRatio = 2048

	// expandFloor is always allowed, so that tiny objects are not judged by their ratio.
	expandFloor = 64 << 20

	// maxWindow bounds the memory of a zstd stream; zstd's own command line refuses more than 128 MiB, too.
	maxWindow = 128 << 20

	// maxObject bounds an object's uncompressed size, because record numbers have 40 bits for the offset.
	maxObject = 1<<40 - 16
)

var errExpansion = errors.New("expands to more than compressed logs can")

// An expander opens the compression of one object after the other, by its first bytes and not by its name. Memory is used
// again.
type expander struct {
	in   *bufio.Reader
	gzip *gzip.Reader
	zstd *zstd.Decoder

	window uint64 // bounds the memory of a zstd stream; maxWindow if zero

	out  io.Reader
	left int64 // that may still come out
}

// reset returns the uncompressed bytes of a stored object. Errors come from reading.
func (e *expander) reset(stored io.Reader, size int64) io.Reader {
	if e.in == nil {
		e.in = bufio.NewReaderSize(nil, 64<<10)
	}
	e.in.Reset(stored)
	e.left = maxObject
	magic, _ := e.in.Peek(4)
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		e.resetGzip()
		e.limit(size)
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		e.resetZstd()
		e.limit(size)
	default:
		e.out = e.in
	}
	return e
}

// compressed reports whether the object is.
func (e *expander) compressed() bool { return e.out != e.in }

func (e *expander) limit(size int64) {
	if size < maxObject/maxRatio {
		e.left = min(maxObject, expandFloor+maxRatio*size)
	}
}

func (e *expander) resetGzip() {
	if e.gzip == nil {
		e.gzip = new(gzip.Reader)
	}
	e.out = e.gzip
	if err := e.gzip.Reset(e.in); err != nil {
		e.out = failed{err}
	}
}

func (e *expander) resetZstd() {
	var err error
	if e.zstd == nil {
		// One at a time and in this goroutine: what is read depends on nothing else.
		e.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(cmp.Or(e.window, maxWindow)))
	}
	if err == nil {
		err = e.zstd.Reset(e.in)
	}
	e.out = e.zstd
	if err != nil {
		e.out = failed{err}
	}
}

// Read returns uncompressed bytes.
func (e *expander) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, errExpansion
	}
	n, err := e.out.Read(p[:min(int64(len(p)), e.left)])
	e.left -= int64(n)
	return n, err
}

type failed struct{ err error }

func (f failed) Read([]byte) (int, error) { return 0, f.err }
