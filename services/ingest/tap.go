package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

const (
	// quietTime is how long an input says nothing before what is there is analyzed: people who watch do not notice, and a
	// part, which is planned and committed by itself, is worth its cost.
	quietTime = 500 * time.Millisecond

	// maxPart ends a part of an input that is never quiet.
	maxPart = 8 << 20

	// maxLine is how much of a line is kept in memory: more than the largest record.
	maxLine = 1 << 20
)

// A tap cuts an input that can be read only once into files as it comes, so that what is there is analyzed while more is
// awaited. It cuts between lines, if the first line is JSON by itself; any other input, such as a compressed one, is one part.
type tap struct {
	dir    string
	blocks chan []byte
	failed error // of the input, once blocks is closed

	form   form
	line   []byte // begun, and not in a part yet
	offset int64  // of the next part in the input
}

// A form says where an input may be cut.
type form int

const (
	unknown form = iota
	lines
	whole
)

// openTap begins to read. Its goroutine ends with the input, or with the context as soon as the input says something more:
// nothing can wake a read of a terminal, and the program is about to end.
func openTap(ctx context.Context, in io.Reader, dir string) (*tap, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	t := &tap{dir: dir, blocks: make(chan []byte)}
	if in == nil {
		close(t.blocks)
		return t, nil
	}
	go func() {
		defer close(t.blocks)
		for {
			b := make([]byte, 64<<10)
			n, err := in.Read(b)
			if n > 0 {
				select {
				case t.blocks <- b[:n]:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.failed = err
				}
				return
			}
		}
	}()
	return t, nil
}

// next waits for something to analyze, and puts it into a file of its own, named by where it begins in the input. Over says
// that the input has ended; there may be no file then.
func (t *tap) next(ctx context.Context) (over bool, err error) {
	f, err := os.CreateTemp(t.dir, ".spool-*") // hidden from the connector until it is whole
	if err != nil {
		return false, err
	}
	size := int64(0)
	defer func() {
		f.Close()
		if err != nil || size == 0 {
			os.Remove(f.Name())
		}
	}()
	quiet := time.NewTimer(quietTime)
	defer quiet.Stop()
	for !over && (size < maxPart || t.form == whole) {
		var ready []byte
		select {
		case block, ok := <-t.blocks:
			if over = !ok; over {
				ready, t.line = t.line, nil
				break
			}
			ready = t.cut(block)
			quiet.Reset(quietTime)
		case <-quiet.C:
			if size > 0 && t.form == lines {
				return false, t.finish(f, size)
			}
			quiet.Reset(quietTime)
		case <-ctx.Done():
			return false, ctx.Err()
		}
		n, err := f.Write(ready)
		if size += int64(n); err != nil {
			return false, err
		}
	}
	if t.failed != nil && over {
		return over, t.failed
	}
	return over, t.finish(f, size)
}

// cut returns what may go into the part now: whole lines.
func (t *tap) cut(block []byte) []byte {
	all := append(t.line, block...)
	if t.form == unknown {
		t.form = formOf(all)
	}
	end := len(all)
	if t.form != whole {
		end = bytes.LastIndexByte(all, '\n') + 1
	}
	if len(all)-end > maxLine { // no record is so long: it is a dead letter, or two if the input is quiet in the middle of it
		end = len(all)
	}
	t.line = bytes.Clone(all[end:])
	return all[:end]
}

// formOf judges by the first line that is not empty, if it is all there.
func formOf(b []byte) form {
	for {
		line, rest, ended := bytes.Cut(b, []byte("\n"))
		line = bytes.TrimSpace(line)
		switch {
		case !ended && len(b) <= maxLine:
			return unknown
		case len(line) > 0 && json.Valid(line):
			return lines
		case len(line) > 0 || !ended:
			return whole
		}
		b = rest
	}
}

func (t *tap) finish(f *os.File, size int64) error {
	if size == 0 {
		return nil
	}
	if err := f.Close(); err != nil {
		return err
	}
	path := filepath.Join(t.dir, fmt.Sprintf("at-%012d", t.offset))
	t.offset += size
	return os.Rename(f.Name(), path)
}

// clear removes the parts that have been read.
func (t *tap) clear() error {
	parts, err := filepath.Glob(filepath.Join(t.dir, "at-*"))
	for _, p := range parts {
		err = errors.Join(err, os.Remove(p))
	}
	return err
}
