//go:build linux

// Processes is the crash run: the real program as real processes on a real NATS server with files, under a seeded schedule
// of faults, and at the end a comparison, byte for byte, with a replay in memory of the same stored RAW.
//
//	make crash SEED=1 N=100
//	go run ./test/crash/processes -seed 1 -n 100 -trim       # the same with trimming
//	go run ./test/crash/processes -seed 1 -n 60 -cluster     # three servers in network namespaces; needs root
//
// The input is some days of an invented company with sixteen accounts, handed to the followed folder hour by hour while
// instances of every stage, two or more each, are killed (SIGKILL), paused for longer than the others wait (SIGSTOP), told to
// leave (SIGTERM), and join, and the server is killed too. Half of the faults happen at any moment, the other half at a step
// of the runner's loop: the program is built with the tag faults, by which it kills or stops itself there. Then everything is
// healed, and when all lags are zero, it is demanded that
//
//   - RAW holds every record of the input once, repeats dropped;
//   - INSIGHTS equals the replay, subjects and bodies, nothing lost, doubled or changed;
//   - METRICS and DEAD equal it after dropping repeats by producer and number;
//   - each stored state matches the digest in its checkpoint, and equals that of the replay;
//   - no process ended by itself, no partition was halted, and nobody met an insight event with other bytes.
//
// The same seed gives the same schedule, though not the same interleaving: the machine has its part in it. Everything runs
// on loopback, or in network namespaces of its own that end with the program; no process outlives it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

// Size of the deployment under test.
const (
	lanes      = 2
	partitions = 8
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "crash:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

// A config is what a run is asked for.
type config struct {
	seed     uint64
	faults   int
	every    time.Duration // between two faults, on average
	accounts int           // on each of the two clouds
	days     int
	least    int    // insight events that must come out, or the run proves nothing
	broken   string // what is wrong with the program, empty in a run that is to succeed
	trim     bool
	cluster  bool
	keep     bool
	dir      string
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	var c config
	flags := flag.NewFlagSet("processes", flag.ContinueOnError)
	flags.Uint64Var(&c.seed, "seed", 1, "of the schedule and the input")
	flags.IntVar(&c.faults, "n", 100, "faults")
	flags.DurationVar(&c.every, "every", 2*time.Second, "time between two faults, on average")
	flags.IntVar(&c.accounts, "accounts", 8, "accounts on each of the two clouds")
	flags.IntVar(&c.days, "days", 4, "days of input, at least 3")
	flags.IntVar(&c.least, "least", 100, "insight events that must come out, or the run proves nothing")
	flags.StringVar(&c.broken, "broken", "", "break the program (fence: commits replace whatever there is; repeats: they are read as new): the run succeeds if that is found")
	flags.BoolVar(&c.trim, "trim", false, "trim streams behind their readers")
	flags.BoolVar(&c.cluster, "cluster", false, "three servers in network namespaces; needs root")
	flags.BoolVar(&c.keep, "keep", false, "keep the folder with logs and streams, also of a run that succeeds")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if c.faults < 0 || c.faults > 5000 || c.every <= 0 || flags.NArg() > 0 {
		return fmt.Errorf("%q: -n is 0 to 5000, -every is positive, and there are no arguments", args)
	}
	if !slices.Contains([]string{"", "fence", "repeats"}, c.broken) {
		return fmt.Errorf("-broken %s: there are fence and repeats", c.broken)
	}
	if c.broken == "fence" {
		c.every = max(c.every, longestPause) // one fault at a time of each of two stages
	}
	if c.cluster {
		if inside, err := enterNamespace(ctx, args, out); inside || err != nil {
			return err
		}
	}
	if c.dir, err = os.MkdirTemp("", "trailvane-crash-"); err != nil {
		return err
	}
	// No run takes longer than its faults, and the minutes that input, healing and comparison may take.
	ctx, cancel := context.WithTimeoutCause(ctx, time.Duration(c.faults)*c.every+15*time.Minute, errors.New("the run takes too long"))
	defer cancel()
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	w := newWorld(c)
	begun := time.Now()
	err = w.live(ctx)
	if errors.Is(err, errFound) {
		err = nil // the report has it
	}
	w.end()
	w.report.wall = time.Since(begun)
	err = errors.Join(err, w.report.write(out, &c))
	if c.broken != "" && ctx.Err() == nil && w.report.begun {
		if err == nil {
			err = fmt.Errorf("the program is broken (%s), and nothing was found", c.broken)
		} else {
			what := err.Error()
			if len(w.report.failures) > 0 {
				what = w.report.failures[0]
			}
			fmt.Fprintf(out, "found       what is wrong with a program whose %s is broken: %.300s\n", c.broken, what)
			err = nil
		}
	}
	if !c.keep {
		return errors.Join(err, keepFailed(out, c.dir, err))
	}
	fmt.Fprintf(out, "kept        %s\n", c.dir)
	return err
}

// keepFailed removes the folder of a run, unless it has failed: then somebody wants to look into it.
func keepFailed(out io.Writer, dir string, failed error) error {
	if failed == nil {
		return os.RemoveAll(dir)
	}
	fmt.Fprintf(out, "kept        %s\n", dir)
	return nil
}
