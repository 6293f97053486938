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
	Paths  []string  // files, folders, globs, named pipes; "-" is Stdin
	Stdin  io.Reader // spooled to a file before it is read, as pipes are
	Dir    string    // of the program's own files: pipes are spooled there, and nothing there counts as logs unless it is named
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
}

// Open plans a lane: it lists the objects, and commits their order.
func Open(ctx context.Context, d *service.Deployment, c Config) (*Lane, error) {
	paths, err := c.spool(ctx)
	if err != nil {
		return nil, err
	}
	files, err := NewFiles(paths...)
	if err != nil {
		return nil, err
	}
	files.Except = c.Dir
	store, err := jetstream.OpenStore(ctx, d.JS, Bucket)
	if err != nil {
		return nil, err
	}
	const lane = 0 // one connector, one lane; more come with connectors that are followed
	l := new(Lane)
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
		if paths[i], err = Spool(ctx, in, filepath.Join(c.Dir, "stdin")); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
	}
	return paths, nil
}
