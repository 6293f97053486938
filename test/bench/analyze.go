//go:build linux

package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/pprof/profile"
)

// A usage is what one process took.
type usage struct {
	wall   time.Duration
	user   time.Duration
	system time.Duration
	memory int64 // at its peak, bytes; 0 if not known
}

func (u usage) cpu() time.Duration { return u.user + u.system }

// analyze runs the program under test once, server and all.
func (b *bench) analyze(ctx context.Context, flags ...string) (usage, error) {
	c := exec.CommandContext(ctx, b.program, slices.Concat([]string{"analyze", "--quiet"}, flags, []string{b.logs})...)
	c.Env = append(os.Environ(), "TMPDIR="+b.dir) // an interrupted run leaves nothing behind
	c.Stderr = os.Stderr
	begun := time.Now()
	if err := c.Run(); err != nil {
		return usage{}, fmt.Errorf("%s: %w", strings.Join(c.Args, " "), err)
	}
	u := usageOf(c.ProcessState.SysUsage().(*syscall.Rusage))
	u.wall = time.Since(begun)
	return u, nil
}

func usageOf(r *syscall.Rusage) usage {
	return usage{user: time.Duration(r.Utime.Nano()), system: time.Duration(r.Stime.Nano()), memory: r.Maxrss << 10}
}

// A profiled run says where the time went.
type profiled struct {
	cpu         []share // by stage, then what no stage is charged for
	allocations int64   // of the whole process, estimated from a sample
	allocated   int64   // bytes
}

type share struct {
	name string
	cpu  time.Duration
}

// profile runs the program under test once more, watched, which costs a little: its times are compared with each other only.
func (b *bench) profile(ctx context.Context) (p profiled, err error) {
	cpu, allocs := filepath.Join(b.dir, "cpu.prof"), filepath.Join(b.dir, "allocs.prof")
	if _, err := b.analyze(ctx, "--cpuprofile", cpu, "--allocprofile", allocs); err != nil {
		return p, err
	}
	if p.cpu, err = shares(cpu); err != nil {
		return p, err
	}
	prof, err := read(allocs)
	if err != nil {
		return p, err
	}
	for _, s := range prof.Sample {
		p.allocations += s.Value[0] // alloc_objects
		p.allocated += s.Value[1]   // alloc_space
	}
	return p, nil
}

func read(path string) (*profile.Profile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return profile.Parse(f)
}

// shares adds a CPU profile up.
func shares(path string) ([]share, error) {
	prof, err := read(path)
	if err != nil {
		return nil, err
	}
	sums := make(map[string]time.Duration)
	for _, s := range prof.Sample {
		sums[owner(s)] += time.Duration(s.Value[1]) // samples, nanoseconds
	}
	var all []share
	for name, cpu := range sums {
		all = append(all, share{name, cpu})
	}
	slices.SortFunc(all, func(a, b share) int {
		return cmp.Or(cmp.Compare(b.cpu, a.cpu), cmp.Compare(a.name, b.name))
	})
	return all, nil
}

// owner says who is charged for a sample: the stage that its label names, else the innermost of the parts that have
// goroutines of their own. What the server does for a stage is the server's.
func owner(s *profile.Sample) string {
	if stage := s.Label["stage"]; len(stage) == 1 {
		return stage[0]
	}
	for _, l := range s.Location {
		for _, line := range l.Line {
			switch name := line.Function.Name; {
			case strings.HasPrefix(name, "runtime.gcBgMarkWorker"), strings.HasPrefix(name, "runtime.bgs"):
				return "garbage collection"
			case strings.HasPrefix(name, "github.com/nats-io/nats-server/"):
				if stream := s.Label["stream"]; len(stream) == 1 {
					return "server: " + kindOf(stream[0])
				}
				return "server: connections"
			case strings.HasPrefix(name, "github.com/nats-io/"):
				return "client: connections"
			}
		}
	}
	return "scheduler and the rest"
}

// kindOf takes the number off the name of a stream: RAW_0 is RAW.
func kindOf(stream string) string {
	if strings.HasPrefix(stream, "KV_") {
		return "state"
	}
	kind, _, _ := strings.Cut(stream, "_")
	return kind
}
