package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
)

// Spool copies a stream that can be read only once, such as standard input, to a file in a folder, and returns its path. A
// crash can then read it again. The file is named by its content: the same input again is the same file. It returns when
// the context ends, even if the input does not.
func Spool(ctx context.Context, in io.Reader, folder string) (path string, err error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(folder, ".spool-*")
	if err != nil {
		return "", err
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	h := sha256.New()
	in, done := interruptible(ctx, in)
	defer done()
	if _, err := io.Copy(io.MultiWriter(f, h), in); err != nil {
		return "", err // names the file, or is the input's
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := f.Sync(); err != nil {
		return "", err
	}
	path = filepath.Join(folder, "stdin-"+hex.EncodeToString(h.Sum(nil)[:16]))
	return path, os.Rename(f.Name(), path)
}

// interruptible returns a reader that ends with its context even while it waits for input, as it does on a terminal or a
// pipe for as long as nobody writes. A read that is interrupted stays behind in its goroutine: nothing can wake it, and the
// program is about to end.
func interruptible(ctx context.Context, in io.Reader) (_ io.Reader, done func()) {
	r, w := io.Pipe()
	go func() {
		_, err := io.Copy(w, in)
		w.CloseWithError(err) // nil is io.EOF
	}()
	stop := context.AfterFunc(ctx, func() { w.CloseWithError(ctx.Err()) })
	return r, func() {
		stop()
		r.Close()
	}
}

// A pipe is a named pipe. It is opened by the first read, because that waits for somebody who writes.
type pipe struct {
	path string
	file atomic.Pointer[os.File]
}

func (p *pipe) Read(b []byte) (int, error) {
	file := p.file.Load()
	if file == nil {
		var err error
		if file, err = os.Open(p.path); err != nil {
			return 0, err
		}
		p.file.Store(file)
	}
	return file.Read(b)
}

// Close may be called while a read waits.
func (p *pipe) Close() {
	if file := p.file.Load(); file != nil {
		file.Close()
	}
}
