package ingest

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/trailvane/trailvane/pipeline/decode/formats"
	"github.com/trailvane/trailvane/pipeline/ingest"
	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/internal/service"
)

// Bucket names the state of the stage.
const Bucket = "ingest"

// Config says what a lane reads.
type Config struct {
	Paths  []string  // files, folders, globs; "-" is Stdin
	Stdin  io.Reader // spooled to a file before it is read
	Dir    string    // where Stdin is spooled; the system's temporary folder if empty
	Format string    // of all objects; empty: each object's is found out

	Remember bool // the store outlives the program: objects are known by their content
	Settings schemas.Settings
	End      *schemas.End // behind a bounded input

	Progress *ingest.Progress
}

// A Lane is a lane that is planned and ready to run.
type Lane struct {
	*service.Partition[*ingest.Processor]
	Plan *ingest.Plan

	spooled string // file to remove
}

// Open plans a lane: it lists the objects, and commits their order.
func Open(ctx context.Context, d *service.Deployment, c Config) (_ *Lane, err error) {
	l := new(Lane)
	defer func() {
		if err != nil {
			l.removeSpool()
		}
	}()
	paths := slices.Clone(c.Paths)
	if i := slices.Index(paths, "-"); i >= 0 {
		dir := os.TempDir()
		if c.Dir != "" {
			dir = filepath.Join(c.Dir, "stdin")
		}
		spooled, err := Spool(ctx, c.Stdin, dir)
		if err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
		if !c.Remember {
			l.spooled = spooled
		}
		paths[i] = spooled
	}
	files, err := NewFiles(paths...)
	if err != nil {
		return nil, err
	}
	store, err := jetstream.OpenStore(ctx, d.JS, Bucket)
	if err != nil {
		return nil, err
	}
	const lane = 0 // one connector, one lane; more come with connectors that are followed
	l.Plan, err = ingest.MakePlan(ctx, ingest.PlanConfig{
		Connector: files, Store: store, Lane: lane, Lanes: d.Identity.Lanes,
		Settings: &c.Settings, End: c.End, EventTime: formats.EventTime, Remember: c.Remember, Progress: c.Progress,
	})
	if err != nil {
		return nil, err
	}
	source := ingest.NewSource(ingest.SourceConfig{
		Plan: l.Plan, Connector: files, Format: c.Format, Detect: formats.Detect, Progress: c.Progress,
	})
	l.Partition, err = service.Open(ctx, d, service.Stage[*ingest.Processor]{
		Name: Bucket, Partition: lane, Source: source, Constants: ingest.Constants,
		New: func(uint64) *ingest.Processor { return ingest.NewProcessor() },
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Close gives back what Open took.
func (l *Lane) Close() {
	l.Partition.Close()
	l.removeSpool()
}

func (l *Lane) removeSpool() {
	if l.spooled != "" {
		_ = os.Remove(l.spooled) // in the temporary folder, where it disturbs nobody
	}
}
