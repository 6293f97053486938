// Package ingest reads logs from outside: it has the connectors of pipeline/ingest that do I/O.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/trailvane/trailvane/pipeline/ingest"
)

// Files is a connector of files. Their names are absolute paths with slashes.
type Files struct {
	// Except is a folder of the program's own, such as a store beside the logs: it is left out, with all below it, wherever
	// the list comes across it. It may be empty.
	Except string

	paths []string // files, folders

	// Of files that are followed: patterns are matched anew at each list, and what is written to is not settled.
	followed bool
}

// settledAfter is how long a file that is followed was not written to, when it is taken as it is. Programs that keep part of
// a line in a buffer write the rest within minutes. The clock is this host's; it decides only when half a record is given up.
const settledAfter = 10 * time.Minute

var _ ingest.Connector = (*Files)(nil)

// NewFiles returns a connector of the files that the arguments name: files, folders with all that is below them, and glob
// patterns. An argument that names nothing is an error.
func NewFiles(args ...string) (*Files, error) {
	f := &Files{}
	for _, arg := range args {
		paths := []string{arg}
		if _, err := os.Stat(arg); errors.Is(err, fs.ErrNotExist) && strings.ContainsAny(arg, "*?[") {
			var err error
			if paths, err = filepath.Glob(arg); err != nil {
				return nil, fmt.Errorf("pattern %s: %w", arg, err)
			}
			if len(paths) == 0 {
				return nil, fmt.Errorf("pattern %s matches no file; a folder is read with all that is below it", arg)
			}
		} else if err != nil {
			return nil, strip(err)
		}
		for _, p := range paths {
			p, err := filepath.Abs(p)
			if err != nil {
				return nil, err
			}
			f.paths = append(f.paths, p)
		}
	}
	return f, nil
}

// FollowFiles returns a connector of the files that the arguments name now and later: a pattern may match nothing yet. A path
// without a pattern that is not there ends the list with an error, so that a folder that is out of reach is not taken for one
// without news.
func FollowFiles(args ...string) (*Files, error) {
	f := &Files{followed: true}
	for _, arg := range args {
		if _, err := filepath.Match(arg, ""); err != nil {
			return nil, fmt.Errorf("pattern %s: %w", arg, err)
		}
		p, err := filepath.Abs(arg)
		if err != nil {
			return nil, err
		}
		f.paths = append(f.paths, p)
	}
	return f, nil
}

// roots returns the files and folders to list.
func (f *Files) roots() []string {
	if !f.followed {
		return f.paths
	}
	var roots []string
	for _, path := range f.paths {
		if _, err := os.Lstat(path); err != nil && strings.ContainsAny(path, "*?[") {
			matches, _ := filepath.Glob(path) // the pattern was checked
			roots = append(roots, matches...)
			continue
		}
		roots = append(roots, path)
	}
	return roots
}

// strip leaves out the name of the system call, which says nothing to whoever mistyped a path.
func strip(err error) error {
	if e := new(fs.PathError); errors.As(err, &e) {
		return fmt.Errorf("%s: %w", e.Path, e.Err)
	}
	return err
}

// Name returns "files".
func (f *Files) Name() string { return "files" }

// List returns the files, each once, also when the arguments overlap. Hidden files and folders below a folder are left out,
// and so is what is no regular file, such as a pipe. Links to files are followed, links to folders only if they are arguments.
func (f *Files) List(ctx context.Context) iter.Seq2[ingest.Object, error] {
	return func(yield func(ingest.Object, error) bool) {
		seen := make(map[string]bool)
		for _, root := range f.roots() {
			err := f.walk(ctx, root, func(o ingest.Object, err error) bool {
				if seen[o.Name] {
					return true
				}
				seen[o.Name] = true
				return yield(o, err)
			})
			switch {
			case errors.Is(err, fs.SkipAll):
				return
			case err != nil:
				yield(ingest.Object{}, err)
				return
			}
		}
	}
}

func (f *Files) walk(ctx context.Context, root string, yield func(ingest.Object, error) bool) error {
	var except fs.FileInfo
	if f.Except != "" {
		if info, err := os.Stat(f.Except); err == nil { // otherwise there is nothing to come across
			except = info
		}
	}
	if target, err := filepath.EvalSymlinks(root); err == nil {
		if info, err := os.Stat(target); err == nil && info.IsDir() {
			root = target
		}
	}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		o := ingest.Object{Name: filepath.ToSlash(path)}
		if err != nil {
			if path == root {
				return err
			}
			if !yield(o, err) {
				return fs.SkipAll
			}
			return fs.SkipDir
		}
		if path != root && strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			if info, err := d.Info(); err == nil && except != nil && os.SameFile(info, except) {
				return fs.SkipDir
			}
			return nil
		}
		info, err := os.Stat(path)
		if err == nil {
			if !info.Mode().IsRegular() {
				return nil
			}
			o.Size, o.Modified = info.Size(), info.ModTime().UnixNano()
			o.Settled = f.followed && time.Since(info.ModTime()) > settledAfter
		}
		if !yield(o, err) {
			return fs.SkipAll
		}
		return nil
	})
}

// Open opens a file. Only a lack of descriptors or memory is passing.
func (f *Files) Open(_ context.Context, o ingest.Object) (io.ReadCloser, error) {
	file, err := os.Open(filepath.FromSlash(o.Name))
	switch {
	case err == nil:
		return file, nil
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOMEM):
		return nil, err
	}
	return nil, fmt.Errorf("%w: %w", ingest.ErrUnreadable, err)
}
