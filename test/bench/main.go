//go:build unix

// Bench measures trailvane analyze over a million CloudTrail records, and beside it, on the same machine in the same
// minutes, the least that the same work could cost: a plain program that only counts the same records from a stream.
//
//	go run ./test/bench                 # from the root of the repository
//	go run ./test/bench -records 100000 -n 1
//
// A time says little about a program and much about the machine and what else runs on it. The ratio of the two says more,
// and it is what the promises are made of. Everything is written to a temporary folder (about 1.5 GB for a million
// records), which is removed at the end.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// counterArg makes the program run as the plain counter, so that it is a process of its own.
const counterArg = "plain-counter"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 3 && args[0] == counterArg {
		return count(ctx, args[1], args[2], out)
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	records := flags.Int("records", 1_000_000, "CloudTrail records to analyze")
	runs := flags.Int("n", 3, "runs, of which the median counts")
	onlyState := flags.Bool("state", false, "only measure what detectors keep of large accounts: seconds instead of minutes")
	part := flags.Int("part", 1, "divide the large accounts of -state by so much, at most 100, for a quick look; the goals are for whole ones")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *records < 1 || *runs < 1 || *part < 1 || *part > 100 || flags.NArg() > 0 {
		return fmt.Errorf("%q: -records, -n and -part (at most 100) must be positive, and there are no arguments", args)
	}
	if *onlyState {
		return benchStates(out, *part)
	}
	dir, err := os.MkdirTemp("", "trailvane-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{dir: dir, program: filepath.Join(dir, "trailvane"), logs: filepath.Join(dir, "logs"), records: *records}
	r, err := b.measure(ctx, *runs)
	if err != nil {
		return err
	}
	if err := r.print(out); err != nil {
		return err
	}
	return benchStates(out, *part)
}

// A bench is the program under test and what it reads.
type bench struct {
	dir     string
	program string
	logs    string
	records int
}

// measure does everything, and says on standard error what it is doing, because it takes minutes.
func (b *bench) measure(ctx context.Context, runs int) (*report, error) {
	if err := b.command(ctx, "go", "build", "-o", b.program, "github.com/trailvane/trailvane/services/trailvane"); err != nil {
		return nil, err
	}
	if err := b.command(ctx, b.program, "simulate", "--bulk", strconv.Itoa(b.records), b.logs); err != nil {
		return nil, err
	}
	r := &report{records: b.records, machine: machine(ctx)}
	var err error
	for i := range runs {
		// In turns, so that both see the same neighbours.
		fmt.Fprintf(os.Stderr, "run %d of %d\n", i+1, runs)
		one, err := b.analyze(ctx)
		if err != nil {
			return nil, err
		}
		r.analyze = append(r.analyze, one)
		counted, err := b.counter(ctx)
		if err != nil {
			return nil, err
		}
		r.counter = append(r.counter, counted)
	}
	fmt.Fprintln(os.Stderr, "profile")
	if r.profile, err = b.profile(ctx); err != nil {
		return nil, err
	}
	fmt.Fprintln(os.Stderr, "sizes of the streams")
	r.streams, err = b.streams(ctx)
	return r, err
}

// command runs a command whose output nobody needs unless it fails.
func (b *bench) command(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// machine says what the figures were measured on.
func machine(ctx context.Context) string {
	commit := "unknown commit"
	if out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output(); err == nil {
		commit = "commit " + strings.TrimSpace(string(out))
	}
	return fmt.Sprintf("%s, %s %s/%s, %d cores", commit, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
}
