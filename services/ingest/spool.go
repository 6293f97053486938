package ingest

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"crypto/sha256"
)

// Spool copies a stream that can be read only once, such as standard input, to a file in a folder, and returns its path. A
// crash can then read it again. The file is named by its content: the same input again is the same file.
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
	if _, err := io.Copy(io.MultiWriter(f, h), contextReader{ctx, in}); err != nil {
		return "", fmt.Errorf("copy the input: %w", err)
	}
	if err := f.Sync(); err != nil {
		return "", err
	}
	path = filepath.Join(folder, "stdin-"+hex.EncodeToString(h.Sum(nil)[:16]))
	return path, os.Rename(f.Name(), path)
}

// A contextReader ends with its context, between reads.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
