//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/test/crash/replay"
)

// Bounds of a run.
const (
	fewest      = 2                // instances of each stage at the beginning, and at the end
	most        = 4                // of each stage at once
	startTime   = 20 * time.Second // until deployed
	stepTime    = 12 * time.Second // that an armed instance has to come to its step: commits are 5 s apart
	wakeTime    = 3 * time.Second  // that an instance has, when it wakes up, to say what it had on its lips
	stopTime    = 15 * time.Second // that an instance has to leave: a commit takes 2 s at most
	settleTime  = 3 * time.Minute  // until everything is read when all faults are healed
	mostDeaths  = 20               // by themselves, after which the run is given up
	restartTime = time.Second      // after which one that died by itself is started again
)

// A world is everything that a run has started.
type world struct {
	config
	report report

	program string
	nodes   []*node
	js      jetstream.JetStream
	input   *input
	copies  [lanes]*copied
	watch   watch
	stages  []string // with a bucket of checkpoints

	mu        sync.Mutex
	instances map[string][]*process // by stage: which are alive, as far as we know
	busy      map[*process]bool     // a fault is at work on it
	started   int                   // instances, so far
	arming    sync.WaitGroup        // faults, and watchers of processes
	ending    bool                  // nothing is started any more
	cancel    context.CancelCauseFunc
}

func newWorld(c config) *world {
	w := &world{config: c, instances: make(map[string][]*process), busy: make(map[*process]bool)}
	w.stages = []string{"ingest"}
	for _, s := range replay.Stages(lanes, partitions) {
		w.stages = append(w.stages, s.Name)
	}
	w.watch = watch{stages: w.stages, last: make(map[owned]tvjetstream.Saved)}
	w.report.repeats = make(map[string]int)
	w.report.faults = make(map[string]map[string]int)
	return w
}

// live does everything.
func (w *world) live(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w.cancel = cancel
	if err := w.prepare(ctx); err != nil {
		return err
	}
	// What looks on lives until the comparison.
	looking, stop := context.WithCancel(ctx)
	var lookers sync.WaitGroup
	defer lookers.Wait()
	defer stop()
	lookers.Go(func() { w.watch.run(looking, w.js) })
	lookers.Go(func() { w.lookForHalted(looking) })
	for lane := range lanes {
		w.copies[lane] = &copied{lane: lane}
		lookers.Go(func() {
			if err := w.copies[lane].follow(looking, w.js); err != nil {
				cancel(err)
			}
		})
	}
	for _, stage := range commands {
		for range fewest {
			if err := w.join(stage, "", ""); err != nil {
				return err
			}
		}
	}
	w.report.begun = true
	if err := w.disturb(ctx); err != nil {
		return err
	}
	if err := w.settle(ctx); err != nil {
		return err
	}
	return w.compare(ctx)
}

// prepare builds, writes the input, starts the servers and deploys.
func (w *world) prepare(ctx context.Context) error {
	w.program = filepath.Join(w.dir, "trailvane")
	nats := filepath.Join(w.dir, "nats-server")
	for _, d := range []string{"logs", "faults"} {
		if err := os.Mkdir(filepath.Join(w.dir, d), 0o755); err != nil {
			return err
		}
	}
	const home = "github.com/trailvane/trailvane/"
	for _, build := range [][]string{
		{"build", "-tags", "faults", "-o", w.program, home + "services/trailvane"},
		{"build", "-o", nats, "github.com/nats-io/nats-server/v2"},
	} {
		if out, err := exec.CommandContext(ctx, "go", build...).CombinedOutput(); err != nil {
			return fmt.Errorf("go %s: %w: %s", strings.Join(build, " "), err, out)
		}
	}
	var err error
	if w.input, err = simulate(ctx, w.program, w.dir, &w.config); err != nil {
		return err
	}
	w.report.events = w.input.events
	if w.nodes, err = newNodes(w.dir, nats, w.cluster); err != nil {
		return err
	}
	for _, n := range w.nodes {
		if err := n.start(); err != nil {
			return err
		}
	}
	starting, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	if w.js, err = connect(starting, w.nodes); err != nil {
		return fmt.Errorf("connect to the servers, whose logs are in %s: %w", w.dir, err)
	}
	return w.deploy(starting)
}

func (w *world) deploy(ctx context.Context) error {
	name, args := w.command("deploy", "--partitions", strconv.Itoa(partitions), "--lanes", strconv.Itoa(lanes),
		"--replicas", strconv.Itoa(len(w.nodes)), "--storage-limit", "15GB", fmt.Sprintf("--trim=%t", w.trim))
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("deploy: %w: %s", err, out)
	}
	return nil
}

// command returns how to run a command of the program.
func (w *world) command(command string, args ...string) (string, []string) {
	inside := ""
	if w.cluster {
		inside = services
	}
	return enter(inside, w.program, append([]string{command, "--nats", urls(w.nodes)}, args...)...)
}

// join starts an instance, under a name or under a new one, and armed, or not.
func (w *world) join(stage, name, armed string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ending {
		return nil
	}
	w.started++
	if name == "" {
		name = fmt.Sprintf("%s-%d", stage, w.started)
	}
	args := []string{"--instance", name}
	if stage == "ingest" {
		args = append(args, "--poll", "1s", w.input.to)
	}
	file := filepath.Join(w.dir, "faults", fmt.Sprint(w.started))
	if armed != "" {
		if err := os.WriteFile(file, []byte(armed), 0o644); err != nil {
			return err
		}
	}
	program, args := w.command(stage, args...)
	p, err := start(filepath.Join(w.dir, "logs", name+".log"),
		[]string{"TRAILVANE_FAULT=" + file, "TRAILVANE_BROKEN=" + w.broken}, program, args...)
	if err != nil {
		return err
	}
	p.name, p.stage, p.fault = name, stage, file
	p.told.Store(armed != "")
	w.instances[stage] = append(w.instances[stage], p)
	w.arming.Go(func() { w.attend(p) })
	return nil
}

// attend waits for the end of an instance. If nobody told it to end, that is a failure of the run, and as an orchestrator
// would, it starts another one.
func (w *world) attend(p *process) {
	<-p.ended
	w.mu.Lock()
	w.instances[p.stage] = slices.DeleteFunc(w.instances[p.stage], func(q *process) bool { return p == q })
	delete(w.busy, p)
	byItself := !p.told.Load() && !w.ending
	if byItself {
		if w.broken != "" {
			w.cancel(errFound)
		}
		w.report.deaths = append(w.report.deaths, fmt.Sprintf("%s after %s: %s", p.name, p.at.Sub(p.begun).Round(time.Millisecond), p.cmd.ProcessState))
		if len(w.report.deaths) > mostDeaths {
			w.cancel(errors.New("too many processes ended by themselves"))
		}
	}
	w.mu.Unlock()
	if byItself {
		slog.Error("a process ended by itself", "name", p.name, "state", p.cmd.ProcessState.String())
		w.watch.lost(p.name, nil, "death", p.at)
		_ = sleep(context.Background(), restartTime)
		if err := w.join(p.stage, "", ""); err != nil {
			w.cancel(err)
		}
	}
}

func (w *world) alive(stage string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.instances[stage])
}

// lookForHalted looks whether an instance says that one of its partitions cannot go on by itself, which nothing in a run may
// cause.
func (w *world) lookForHalted(ctx context.Context) {
	told := make(map[string]bool)
	for sleep(ctx, time.Second) == nil {
		members, err := tvjetstream.Members(ctx, w.js)
		if err != nil {
			continue // the server is away
		}
		for _, m := range members {
			for stage, h := range m.Stages {
				for p, why := range h.Halted {
					if strings.HasPrefix(why, "open ") {
						continue // the server is away; it is tried again every second
					}
					if text := fmt.Sprintf("%s %d is halted: %s", stage, p, why); !told[text] {
						told[text] = true
						w.fail("%s", text)
					}
				}
			}
		}
	}
}

// say tells on standard error how far a long run is.
func (w *world) say(faults int) {
	var events []int
	for _, c := range w.copies {
		_, n := c.progress()
		events = append(events, n)
	}
	slog.Info("at work", "faults", faults, "of", w.faults, "records in RAW", events, "of", w.input.events)
}

func (w *world) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	slog.Error(text)
	w.report.failures = append(w.report.failures, text)
	if w.broken != "" {
		w.cancel(errFound)
	}
}

func (w *world) failIf(err error) {
	if err != nil {
		w.fail("%v", err)
	}
}

// end ends whatever is still there, processes by their handles.
func (w *world) end() {
	w.mu.Lock()
	w.ending = true
	var all []*process
	for _, instances := range w.instances {
		all = append(all, instances...)
	}
	w.mu.Unlock()
	for _, p := range all {
		p.kill()
	}
	w.arming.Wait()
	w.conflicts()
	if w.js != nil {
		w.js.Conn().Close()
	}
	for _, n := range w.nodes {
		if n.diedByItself() {
			w.fail("server %s ended by itself: %s", n.name, n.process.cmd.ProcessState)
		}
		if n.process != nil {
			n.process.kill()
		}
	}
	w.report.takeovers(&w.watch)
	w.report.outages(&w.watch)
}

// conflicts looks whether a process has said that an insight event met other bytes.
func (w *world) conflicts() {
	logs, err := filepath.Glob(filepath.Join(w.dir, "logs", "*.log"))
	w.failIf(err)
	for _, name := range logs {
		text, err := os.ReadFile(name)
		w.failIf(err)
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "insight_conflict") {
				w.fail("%s: %.300s", filepath.Base(name), line)
			}
		}
	}
}

// commandOf returns the command that runs a stage.
func commandOf(stage string) string {
	name, _, _ := strings.Cut(stage, "-")
	return name
}
