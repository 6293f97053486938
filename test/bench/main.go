//go:build linux

// Bench measures what was promised, row by row: the cost of trailvane analyze over a million CloudTrail records, and beside it, on
// the same machine in the same minutes, the least that the same work could cost, a plain program that only counts the same
// records from a stream; what detectors keep; how late insight events are; how long states take to load; how long work stands
// still when a process is killed; what moves when instances come and go; the image, and services in containers.
//
//	go run ./test/bench                 # from the root of the repository: all of it
//	go run ./test/bench -cost -records 100000 -n 1
//	go run ./test/bench -burst 10m      # not part of all: whether memory stays bounded when far too much is offered
//
// A time says little about a program and much about the machine and what else runs on it. Ratios say more, and where a promise
// is a time, the load is a part of what the machine can do in the same minutes. Everything is written to a temporary folder
// (about 1.5 GB for a million records), which is removed at the end; services listen on loopback only.
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
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// They make the program run as the plain counter, or as the connector of a burst, so that it is a process of its own.
const (
	counterArg = "plain-counter"
	feederArg  = "feeder"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// A row of the promises, measured by itself with its flag.
type row struct {
	name, what string
	measure    func(b *bench, ctx context.Context, out io.Writer) error
}

var rows = []row{
	{"cost", "cost and rate of analyze, beside a plain counter: minutes", func(b *bench, ctx context.Context, out io.Writer) error {
		r, err := b.measure(ctx)
		if err != nil {
			return err
		}
		return r.print(out)
	}},
	{"state", "what detectors keep of large accounts: seconds", func(b *bench, _ context.Context, out io.Writer) error {
		return benchStates(out, b.part)
	}},
	{"delay", "the delay of insight events at half load: two minutes", (*bench).benchDelay},
	{"load", "how long states of 10,000, 100,000 and 1,000,000 series take to load: minutes", (*bench).benchLoad},
	{"recovery", "how long work stands still when a process is killed: about five minutes", (*bench).benchRecovery},
	{"scale", "what moves when instances join and leave: two minutes", (*bench).benchScale},
	{"containers", "the image, and how soon each service is ready in a container, and what it takes idle: minutes", (*bench).benchContainers},
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 3 && args[0] == counterArg {
		return count(ctx, args[1], args[2], out)
	}
	if len(args) == 4 && args[0] == feederArg {
		return feeder(ctx, args[1], args[2], args[3], out)
	}
	b := new(bench)
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&b.records, "records", 1_000_000, "CloudTrail records of -cost")
	flags.IntVar(&b.runs, "n", 3, "runs of -cost, of which the median counts")
	flags.IntVar(&b.kills, "kills", 5, "kills of each service in each way of -recovery")
	flags.IntVar(&b.part, "part", 1, "divide the sizes of -state, -delay and -load by so much, at most 100, for a quick look; the goals are for whole ones")
	flags.DurationVar(&b.burst, "burst", 0, "only offer 20 times the sustained rate for so long, at least 10s, and watch memory and streams")
	flags.StringVar(&b.program, "program", "", "measure this trailvane, not one that is built from here")
	only := make([]bool, len(rows))
	for i, r := range rows {
		flags.BoolVar(&only[i], r.name, false, "only measure "+r.what)
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	if min(b.records, b.runs, b.kills, b.part) < 1 || b.part > 100 || b.burst != 0 && b.burst < shortestBurst || flags.NArg() > 0 {
		return fmt.Errorf("%q: -records, -n, -kills and -part (at most 100) must be positive, -burst at least %s, and there are no arguments",
			args, shortestBurst)
	}
	var err error
	if b.dir, err = os.MkdirTemp("", "trailvane-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	b.logs = filepath.Join(b.dir, "logs")
	if b.burst != 0 {
		return b.benchBurst(ctx, out)
	}
	for i, r := range rows {
		if only[i] || !slices.Contains(only, true) {
			if err := r.measure(b, ctx, out); err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
		}
	}
	return nil
}

// A bench is the program under test, what it reads, and how large everything is.
type bench struct {
	dir     string
	program string // built when it is needed first
	nats    string // the server, as well
	logs    string

	records, runs, kills, part int
	burst                      time.Duration
}

// measure does everything, and says on standard error what it is doing, because it takes minutes.
func (b *bench) measure(ctx context.Context) (*report, error) {
	if err := b.build(ctx); err != nil {
		return nil, err
	}
	if err := b.command(ctx, b.program, "simulate", "--bulk", strconv.Itoa(b.records), b.logs); err != nil {
		return nil, err
	}
	r := &report{records: b.records, machine: machine(ctx)}
	var err error
	for i := range b.runs {
		// In turns, so that both see the same neighbours.
		fmt.Fprintf(os.Stderr, "run %d of %d\n", i+1, b.runs)
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
