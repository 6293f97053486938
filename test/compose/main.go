// Compose runs Trailvane as it is shipped: deploy/Dockerfile, docker-compose.yml and the NATS configuration, in containers of a project of
// its own, on ports of its own.
//
//	make compose-test
//	go run ./test/compose -seed 7
//	go run ./test/compose -broken     # analyze gets fewer logs than were sent: the run succeeds if that is found
//	make observe-test                 # what is beside the services
//
// The invented company sends ten days of history and then two hours live, twenty times as fast as real time, by HTTP. Meanwhile the
// aggregator is scaled to three instances and back, and containers are killed and started again, NATS too, by a seeded schedule. At
// the end the deployment must be healthy, with no dead letter, no error in any log, and exactly the insights that analyze finds in the
// same logs (test/live), at least [leastInsights] of [leastTypes] types.
//
// With -observe there are no faults, and it is short. The services run with the OpenTelemetry collector, Jaeger and Prometheus, as
// deploy/observability.env has them, and it is demanded that tail prints insights of [leastTypes] types, that the trace of every
// insight event is in Jaeger, whole from the request to the event, that Prometheus scrapes every process and evaluates every rule, none of
// which fires, and that the panels of the dashboard have something to show.
//
// Without a Docker engine it says so, and nothing is tested.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	leastInsights = 5
	leastTypes    = 3

	wholeTime   = 15 * time.Minute
	observeTime = 45 * time.Minute // most of it for stand-ins, once
	cleanTime   = 2 * time.Minute
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "compose:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

// A config is what a run is asked for.
type config struct {
	seed    uint64
	speed   float64
	every   time.Duration // between two faults
	broken  bool
	observe bool
	need    bool
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	var c config
	flags := flag.NewFlagSet("compose", flag.ContinueOnError)
	flags.Uint64Var(&c.seed, "seed", 1, "of the faults and of the company")
	flags.Float64Var(&c.speed, "speed", 20, "how much faster than real time the two live hours are")
	flags.DurationVar(&c.every, "every", 20*time.Second, "time between two faults")
	flags.BoolVar(&c.broken, "broken", false, "let analyze have fewer logs than were sent: the run succeeds if that is found")
	flags.BoolVar(&c.observe, "observe", false, "test what is beside the services instead: traces, metrics, rules, panels")
	flags.BoolVar(&c.need, "need", false, "fail if there is no Docker engine")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || c.speed < 1 || c.every < time.Second {
		return fmt.Errorf("%q: -speed is at least 1, -every at least 1s, and there are no arguments", args)
	}
	if said, err := exec.CommandContext(ctx, "docker", "info", "--format", "{{.ServerVersion}}").CombinedOutput(); err != nil {
		said := strings.TrimSpace(string(said))
		if c.need {
			return fmt.Errorf("no Docker engine answers: %w: %s", err, said)
		}
		fmt.Fprintf(out, "NOT TESTED: no Docker engine answers here (%v: %.200s)\n", err, said)
		return nil
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	root, err := filepath.Abs(".")
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(root, "docker-compose.yml")); err != nil {
		return fmt.Errorf("run it from the root of the repository: %w", err)
	}
	test, limit, standIns := (*project).test, wholeTime, []string(nil)
	if c.observe {
		test, limit, standIns = (*project).observe, observeTime, []string{"observability"}
	}
	dir, err := os.MkdirTemp("", "trailvane-compose-")
	if err != nil {
		return err
	}
	live, cancel := context.WithTimeoutCause(ctx, limit, errors.New("the run takes too long"))
	defer cancel()
	p, err := newProject(live, root, dir, standIns...)
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	begun := time.Now()
	err = test(p, live, c, out)
	if cause := context.Cause(live); err != nil && cause != nil {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	fmt.Fprintf(out, "time          %s in all\n", time.Since(begun).Round(time.Second))
	// Whatever has happened, also after Ctrl-C, nothing stays behind.
	clean, done := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
	defer done()
	if err != nil {
		fmt.Fprintf(out, "kept          %s: what was sent, and the containers' logs\n", dir)
		return errors.Join(err, p.keepLogs(clean), p.remove(clean))
	}
	return errors.Join(p.remove(clean), os.RemoveAll(dir))
}
