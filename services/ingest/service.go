package ingest

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trailvane/trailvane/pipeline/decode/formats"
	"github.com/trailvane/trailvane/pipeline/ingest"
	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/ingest/objects"
	"github.com/trailvane/trailvane/services/internal/service"
)

// Bucket names the state of the stage.
const Bucket = "ingest"

// spoolFolder is below Config.Dir.
const spoolFolder = "stdin"

// FromStdin reports whether an object holds what came by standard input, and from which byte of it on.
func FromStdin(object string) (from int64, ok bool) {
	dir, name := filepath.Split(object)
	if filepath.Base(dir) != spoolFolder {
		return 0, false
	}
	if digits, cut := strings.CutPrefix(name, "at-"); cut {
		from, err := strconv.ParseInt(digits, 10, 64)
		return from, err == nil
	}
	return 0, strings.HasPrefix(name, "stdin-")
}

// Config says what a lane reads.
type Config struct {
	Paths  []string  // files, folders, globs, named pipes; s3://bucket/key, oss://bucket/key; "-" is Stdin
	Stdin  io.Reader // may be nil
	Dir    string    // of the program's own files: pipes are spooled there, and nothing there counts as logs unless it is named
	Format string    // of all objects; empty: each object's is found out

	Objects objects.Config // of the paths in object stores; Followed does not count

	Poll time.Duration // between two polls of what is followed; DefaultPoll or DefaultObjectsPoll if zero

	Remember bool // the store outlives the program: objects are known by their content
	Settings schemas.Settings
	End      *schemas.End // behind a bounded input

	Progress *ingest.Progress

	// For tests, instead of the broker's clock and the log.
	now    func(context.Context) (time.Time, error)
	failed func(error)
}

// Live reports whether standard input is all there is to read, and nothing remembers it. Then it is read as it comes. Anywhere
// else what can be read only once is spooled to a file first, so that a later run finds the same file again.
func (c *Config) Live() bool { return len(c.Paths) == 1 && c.Paths[0] == "-" && !c.Remember }

// A Lane is a lane that is planned and ready to run.
type Lane struct {
	*service.Partition[*ingest.Processor]
	Plan *ingest.Plan

	deployment *service.Deployment
	config     Config
	places     *Places
	tap        *tap // of a live input
}

// lane is the only one: one connector, one lane; more come with connectors that are followed.
const lane = 0

// Open plans a lane: it lists the objects, and commits their order.
func Open(ctx context.Context, d *service.Deployment, c Config) (*Lane, error) {
	l := &Lane{deployment: d, config: c}
	if c.Live() {
		dir := filepath.Join(c.Dir, spoolFolder)
		var err error
		if l.tap, err = openTap(ctx, c.Stdin, dir); err != nil {
			return nil, err
		}
		if err := l.plan(ctx, []string{dir}, nil); err != nil {
			l.abandon()
			return nil, err
		}
		return l, nil
	}
	paths, err := c.spool(ctx)
	if err != nil {
		return nil, err
	}
	if err := l.plan(ctx, paths, c.End); err != nil {
		l.abandon()
		return nil, err
	}
	return l, nil
}

// abandon gives back what a plan took that failed.
func (l *Lane) abandon() {
	if l.places != nil {
		l.places.Close()
	}
}

// plan makes the plan of what there is now, and a partition that reads it.
func (l *Lane) plan(ctx context.Context, paths []string, end *schemas.End) error {
	d, c := l.deployment, &l.config
	places, err := NewPlaces(ctx, c.Objects, paths...)
	if err != nil {
		return err
	}
	if l.places != nil { // of the part before
		l.places.Close()
	}
	l.places = places
	if l.tap == nil {
		places.Except = c.Dir
	}
	store, err := jetstream.OpenStore(ctx, d.JS, Bucket)
	if err != nil {
		return err
	}
	l.Plan, err = ingest.MakePlan(ctx, ingest.PlanConfig{
		Connector: places, Store: store, Lane: lane, Lanes: d.Identity.Lanes,
		Settings: &c.Settings, End: end, EventTime: formats.EventTime, Identity: rand.Text,
		Remember: c.Remember, Progress: c.Progress,
	})
	if err != nil {
		return err
	}
	source := ingest.NewSource(ingest.SourceConfig{
		Plan: l.Plan, Connector: places, Format: c.Format, Detect: formats.Detect, Progress: c.Progress,
	})
	partition, err := service.Open(ctx, d, service.Stage[*ingest.Processor]{
		Name: Bucket, Partition: lane, Source: source, Constants: ingest.Constants,
		New:   func(uint64) *ingest.Processor { return ingest.NewProcessor() },
		Tally: tally,
	})
	if err != nil {
		return err
	}
	if l.Partition != nil { // that of the part before
		l.Partition.Close()
	}
	l.Partition = partition
	return nil
}

// Close gives back what Open took.
func (l *Lane) Close() {
	l.places.Close()
	l.Partition.Close()
}

// Run reads what was planned. Of a live input it plans and reads part after part, each with the state of the one before.
func (l *Lane) Run(ctx context.Context) error {
	err := l.Partition.Run(ctx)
	for over := l.tap == nil; err == nil && !over; {
		over, err = l.part(ctx)
	}
	return err
}

func (l *Lane) part(ctx context.Context) (over bool, err error) {
	over, err = l.tap.next(ctx)
	if err != nil {
		return over, fmt.Errorf("read standard input: %w", err)
	}
	var end *schemas.End
	if over {
		end = l.config.End
	}
	if err := l.plan(ctx, []string{l.tap.dir}, end); err != nil {
		return over, err
	}
	if err := l.Partition.Run(ctx); err != nil {
		return over, err
	}
	return over, l.tap.clear()
}

// spool copies to files what can be read only once, and returns the paths of what is to be read.
func (c *Config) spool(ctx context.Context) ([]string, error) {
	paths := slices.Clone(c.Paths)
	for i, path := range paths {
		in, name := c.Stdin, "standard input"
		if path != "-" {
			if info, err := os.Stat(path); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
				continue
			}
			p := &pipe{path: path}
			defer p.Close()
			in, name = p, path
		}
		var err error
		if paths[i], err = Spool(ctx, in, filepath.Join(c.Dir, spoolFolder)); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
	}
	return paths, nil
}
