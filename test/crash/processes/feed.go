//go:build linux

package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/runner/runnertest"
	"github.com/trailvane/trailvane/schemas"

	"github.com/nats-io/nats.go/jetstream"
)

// An input is the files of the company, hour by hour.
type input struct {
	from, to string // folders
	hours    [][]string
	events   int
}

// written is what the simulator says: "wrote 254162 events in 23381 files, …".
var written = regexp.MustCompile(`wrote (\d+) events in (\d+) files`)

// hourOf finds the hour in the name of an object, which both vendors write there: 20260302T1015Z, 20260302101500.
var hourOf = regexp.MustCompile(`_(\d{8})T?(\d{2})\d{2}`)

// simulate writes the logs of the company to a folder and puts them in order.
func simulate(ctx context.Context, program, dir string, c *config) (*input, error) {
	in := &input{from: filepath.Join(dir, "written"), to: filepath.Join(dir, "followed")}
	out, err := exec.CommandContext(ctx, program, "simulate", "--seed", strconv.FormatUint(c.seed, 10),
		"--accounts", strconv.Itoa(c.accounts), "--days", strconv.Itoa(c.days), in.from).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("simulate: %w: %s", err, out)
	}
	said := written.FindSubmatch(out)
	if said == nil {
		return nil, fmt.Errorf("simulate does not say what it wrote: %s", out)
	}
	in.events, _ = strconv.Atoi(string(said[1])) // digits
	hours := make(map[string][]string)
	err = filepath.WalkDir(in.from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		hour := hourOf.FindStringSubmatch(d.Name())
		if hour == nil {
			return fmt.Errorf("the name %s has no time", d.Name())
		}
		rel, err := filepath.Rel(in.from, path)
		hours[hour[1]+hour[2]] = append(hours[hour[1]+hour[2]], rel)
		return err
	})
	if err != nil {
		return nil, err
	}
	var names []string
	for hour := range hours {
		names = append(names, hour)
	}
	slices.Sort(names)
	for _, hour := range names {
		in.hours = append(in.hours, hours[hour])
	}
	return in, os.Mkdir(in.to, 0o755)
}

// feed gives the files names in the followed folder, hour by hour, evenly over a time.
func (in *input) feed(ctx context.Context, over time.Duration) error {
	for _, files := range in.hours {
		for _, name := range files {
			to := filepath.Join(in.to, name)
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				return err
			}
			if err := os.Link(filepath.Join(in.from, name), to); err != nil {
				return err
			}
		}
		if err := sleep(ctx, over/time.Duration(len(in.hours))); err != nil {
			return err
		}
	}
	return nil
}

// A copied lane is what RAW holds of a lane, read as it is written, so that it is there when the stream has been trimmed.
type copied struct {
	lane int

	mu      sync.Mutex
	records []runnertest.Raw
	last    uint64 // sequence
	events  int    // raw records in it, repeats dropped
	seen    map[string]schemas.Number
}

// follow reads until the context ends.
func (c *copied) follow(ctx context.Context, js jetstream.JetStream) error {
	s := tvjetstream.NewSource(js, tvjetstream.RawStream(c.lane), tvjetstream.SourceConfig{})
	defer s.Close()
	c.seen = make(map[string]schemas.Number)
	for {
		records, err := s.Read(ctx, c.last)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if err := sleep(ctx, pollEvery); err != nil {
				return nil //nolint:nilerr // the end of the context is the end of the work
			}
			continue
		}
		c.mu.Lock()
		for _, r := range records {
			if r.Prev != c.last {
				c.mu.Unlock()
				return fmt.Errorf("the copy of lane %d has no record between %d and %d", c.lane, c.last, r.Seq)
			}
			c.last = r.Seq
			c.records = append(c.records, runnertest.Raw{
				Subject: r.Subject, Body: slices.Clone(r.Body), Time: r.Time, Trace: r.Trace, Producer: r.Producer, Number: r.Number,
			})
			if before, ok := c.seen[r.Producer]; ok && r.Producer != "" && !before.Less(r.Number) {
				continue
			}
			c.seen[r.Producer] = r.Number
			if s, err := schemas.ParseSubject(r.Subject); err == nil && s.Control == "" {
				var chunk schemas.Chunk
				if err := chunk.Decode(r.Body); err != nil {
					c.mu.Unlock()
					return fmt.Errorf("record %d of lane %d: %w", r.Seq, c.lane, err)
				}
				c.events += len(chunk.Records)
			}
		}
		c.mu.Unlock()
	}
}

// progress returns the last sequence and the raw records so far.
func (c *copied) progress() (last uint64, events int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last, c.events
}
