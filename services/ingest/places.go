package ingest

import (
	"context"
	"io"
	"iter"

	"github.com/trailvane/trailvane/pipeline/ingest"
	"github.com/trailvane/trailvane/services/ingest/objects"
)

// Places is a connector of files and of the objects in stores, which are told apart by their names.
type Places struct {
	*Files
	Objects *objects.Objects
}

var (
	_ ingest.Expecter      = (*Places)(nil)
	_ ingest.PartialLister = (*Places)(nil)
)

// split tells the arguments that name object stores from those that name files.
func split(args []string) (files, stores []string) {
	for _, arg := range args {
		if objects.Is(arg) {
			stores = append(stores, arg)
		} else {
			files = append(files, arg)
		}
	}
	return files, stores
}

// NewPlaces returns a connector of what the arguments name, as NewFiles and objects.New take them. Close it.
func NewPlaces(ctx context.Context, c objects.Config, args ...string) (*Places, error) {
	files, stores := split(args)
	f, err := NewFiles(files...)
	if err != nil {
		return nil, err
	}
	o, err := objects.New(ctx, c, stores...)
	return &Places{f, o}, err
}

// FollowPlaces returns a connector of what the arguments name now and later. Close it.
func FollowPlaces(ctx context.Context, c objects.Config, args ...string) (*Places, error) {
	files, stores := split(args)
	f, err := FollowFiles(files...)
	if err != nil {
		return nil, err
	}
	c.Followed = true
	o, err := objects.New(ctx, c, stores...)
	return &Places{f, o}, err
}

// CheckPlaces returns an error if arguments that are to be followed cannot be meant. It connects to nothing.
func CheckPlaces(c objects.Config, args ...string) error {
	files, stores := split(args)
	if _, err := FollowFiles(files...); err != nil {
		return err
	}
	return objects.Check(c, stores...)
}

// Close ends what reads ahead.
func (p *Places) Close() { p.Objects.Close() }

// Name returns "files", also for objects, so that a lane is the same whatever else is named: the folder says which store it is in.
func (p *Places) Name() string { return p.Files.Name() }

// List returns the files, then the objects.
func (p *Places) List(ctx context.Context) iter.Seq2[ingest.Object, error] {
	return func(yield func(ingest.Object, error) bool) {
		for _, list := range []iter.Seq2[ingest.Object, error]{p.Files.List(ctx), p.Objects.List(ctx)} {
			for o, err := range list {
				if !yield(o, err) {
					return
				}
				if err != nil && o.Name == "" {
					return
				}
			}
		}
	}
}

// Open opens a file or an object.
func (p *Places) Open(ctx context.Context, o ingest.Object) (io.ReadCloser, error) {
	if objects.Is(o.Name) {
		return p.Objects.Open(ctx, o)
	}
	return p.Files.Open(ctx, o)
}

// Planned lets the next list leave out old objects.
func (p *Places) Planned() { p.Objects.Planned() }

// Expect reads objects ahead; the system does that for files.
func (p *Places) Expect(next iter.Seq[ingest.Object]) { p.Objects.Expect(next) }
