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
	"syscall"
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

// choose takes an instance that no fault is at work on, waiting for one if need be. It gives nil if there is none for long.
func (w *world) choose(ctx context.Context, f *fault) *process {
	for until := time.Now().Add(stepTime); time.Now().Before(until); {
		if p := w.free(f); p != nil {
			return p
		}
		if sleep(ctx, pollEvery) != nil {
			return nil
		}
	}
	return nil
}

func (w *world) free(f *fault) *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	var free []*process
	for _, p := range w.instances[f.stage] {
		if !w.busy[p] && p.running() {
			free = append(free, p)
		}
	}
	if len(free) == 0 {
		return nil
	}
	p := free[f.pick%uint64(len(free))]
	w.busy[p] = true
	return p
}

func (w *world) release(p *process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.busy, p)
}

func (w *world) alive(stage string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.instances[stage])
}

// disturb feeds the input, and does what the schedule says, until both have ended and everything is healed.
func (w *world) disturb(ctx context.Context) error {
	var at sync.WaitGroup
	begun := time.Now()
	whole := max(time.Duration(w.faults)*w.every, 10*time.Second)
	at.Go(func() {
		if err := w.input.feed(ctx, whole*95/100); err != nil {
			w.cancel(err)
		}
	})
	for i, f := range schedule(&w.config) {
		if err := sleep(ctx, time.Until(begun.Add(f.at))); err != nil {
			break
		}
		if i%20 == 0 {
			w.say(i)
		}
		at.Go(func() {
			if err := w.inject(ctx, &f); err != nil {
				w.cancel(fmt.Errorf("%s %s %s: %w", f.kind, f.stage, f.step, err))
			}
		})
	}
	at.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for _, stage := range commands {
		for w.alive(stage) < fewest {
			if err := w.join(stage, "", ""); err != nil {
				return err
			}
		}
	}
	return nil
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

// inject does one fault, and heals it.
func (w *world) inject(ctx context.Context, f *fault) error {
	switch {
	case f.stage == server:
		return w.injectServer(ctx, f)
	case f.kind == join && w.alive(f.stage) >= most:
		f.kind = leave
	case f.kind == join:
		w.count(f, f.step)
		return w.join(f.stage, "", "")
	}
	p := w.choose(ctx, f)
	if p == nil {
		w.count(f, "none alive")
		return nil
	}
	switch f.kind {
	case kill:
		return w.kill(ctx, f, p)
	case pause:
		return w.pause(ctx, f, p)
	case wipe:
		if err := w.pause(ctx, f, p); err != nil {
			return err
		}
		return w.wipe(f, p)
	}
	span := w.watch.begin(f.stage, f.kind, 1)
	defer w.watch.healed(span)
	w.count(f, f.step)
	w.leave(p, span)
	_ = sleep(ctx, f.lasts)
	if w.alive(f.stage) >= fewest && f.pick%2 == 0 {
		return nil // fewer than before, until there are too few
	}
	return w.join(f.stage, w.name(f, p), "")
}

// name is that of the instance that takes the place of another.
func (w *world) name(f *fault, p *process) string {
	if f.renew {
		return ""
	}
	return p.name
}

// leave tells an instance to end, whose partitions others are to take.
func (w *world) leave(p *process, by *span) {
	w.watch.lost(p.name, by, leave, time.Now())
	w.stop(p)
}

// stop tells an instance to end, and demands that it does so without complaint.
func (w *world) stop(p *process) {
	p.told.Store(true)
	p.signal(syscall.SIGTERM)
	if !p.wait(stopTime) {
		w.fail("%s did not end within %s of SIGTERM", p.name, stopTime)
		p.kill()
		return
	}
	// One that has only just been started, or has had no processor yet, knows no signals.
	if !p.cmd.ProcessState.Success() && p.spoke() {
		w.fail("%s ended after SIGTERM: %s", p.name, p.cmd.ProcessState)
	}
}

// kill ends an instance, at any moment or at a step, and lets another take its place.
func (w *world) kill(ctx context.Context, f *fault, p *process) error {
	span := w.watch.begin(f.stage, f.kind, 1)
	defer w.watch.healed(span)
	switch {
	case f.step == anyStep:
		w.watch.lost(p.name, span, kill, p.kill())
		w.count(f, f.step)
	case slices.Contains(startSteps, f.step):
		// Whoever takes the place of one that leaves dies at its start.
		w.leave(p, span)
		if err := w.join(f.stage, w.name(f, p), "kill "+f.step); err != nil {
			return err
		}
		w.mu.Lock()
		p = w.instances[f.stage][len(w.instances[f.stage])-1]
		w.busy[p] = true
		w.mu.Unlock()
		w.count(f, w.dies(f, p, span))
	default:
		p.told.Store(true)
		if err := os.WriteFile(p.fault, []byte("kill "+f.step), 0o644); err != nil {
			return err
		}
		if slices.Contains(endSteps, f.step) {
			p.signal(syscall.SIGTERM)
		}
		w.count(f, w.dies(f, p, span))
	}
	_ = sleep(ctx, f.lasts)
	return w.join(f.stage, w.name(f, p), "")
}

// dies waits until an armed instance has killed itself, and returns at which step; one that does not come there is killed
// from outside.
func (w *world) dies(f *fault, p *process, by *span) (step string) {
	if p.wait(stepTime) {
		w.watch.lost(p.name, by, kill, p.at)
		if s, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signal() == syscall.SIGKILL {
			return f.step
		}
		_ = os.Remove(p.fault)
		if !slices.Contains(endSteps, f.step) {
			w.fail("%s, armed for %s, ended: %s", p.name, f.step, p.cmd.ProcessState)
		}
		return anyStep
	}
	_ = os.Remove(p.fault)
	w.watch.lost(p.name, by, kill, p.kill())
	return anyStep
}

// pause stops an instance for longer than the others wait, at any moment or at a step, and wakes it beside its successor.
func (w *world) pause(ctx context.Context, f *fault, p *process) error {
	defer w.release(p)
	step := f.step
	if step != anyStep {
		if err := os.WriteFile(p.fault, []byte("stop "+step), 0o644); err != nil {
			return err
		}
		for until := time.Now().Add(stepTime); !p.stopped(); {
			if time.Now().After(until) && os.Remove(p.fault) == nil {
				step = anyStep
				break
			}
			if err := sleep(ctx, 20*time.Millisecond); err != nil {
				return nil //nolint:nilerr // the run is over
			}
		}
	}
	span := w.watch.begin(f.stage, f.kind, 1)
	defer w.watch.healed(span)
	if step == anyStep {
		p.signal(syscall.SIGSTOP)
	}
	w.watch.lost(p.name, span, pause, time.Now())
	w.count(f, step)
	_ = sleep(ctx, f.lasts)
	if f.kind == wipe { // the commit that it comes to when it wakes up is its last
		p.told.Store(true)
		if err := os.WriteFile(p.fault, []byte("kill after-commit"), 0o644); err != nil {
			return err
		}
	}
	p.signal(syscall.SIGCONT)
	return nil
}

// wipe kills all instances of a stage on which no other fault is at work, as soon as the one that has woken up has made its
// commit, if it is allowed to, and before the new owner makes the next one. Then it starts as many again.
func (w *world) wipe(f *fault, woken *process) error {
	span := w.watch.begin(f.stage, f.kind, 1)
	defer w.watch.healed(span)
	n := 0
	if woken.wait(wakeTime) {
		n++
	} else {
		_ = os.Remove(woken.fault)
	}
	for ; n < most; n++ {
		p := w.free(f)
		if p == nil {
			break
		}
		w.watch.lost(p.name, span, kill, p.kill())
	}
	for range n {
		if err := w.join(f.stage, "", ""); err != nil {
			return err
		}
	}
	return nil
}

// injectServer kills servers, or cuts them off, one or, of three, two at once.
func (w *world) injectServer(ctx context.Context, f *fault) error {
	n, many := int(f.pick%uint64(len(w.nodes))), 1
	if len(w.nodes) > 1 && f.pick%4 == 0 {
		many = 2
	}
	f.step = []string{"", "one", "two"}[many]
	span := w.watch.begin(server, f.kind, many)
	defer w.watch.healed(span)
	w.count(f, f.step)
	for i := range many {
		node := w.nodes[(n+i)%len(w.nodes)]
		if f.kind == cut {
			if err := node.network(ctx, false); err != nil {
				return err
			}
			defer func() { w.failIf(node.network(context.WithoutCancel(ctx), true)) }()
			continue
		}
		node.down()
		defer func() { w.failIf(node.up()) }()
	}
	_ = sleep(ctx, f.lasts)
	return nil
}

func (w *world) count(f *fault, step string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.report.faults[f.stage] == nil {
		w.report.faults[f.stage] = make(map[string]int)
	}
	w.report.faults[f.stage][string(f.kind)+" "+step]++
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

// settle waits until RAW holds all of the input, tells the connectors to leave, and waits until everything is read.
func (w *world) settle(ctx context.Context) error {
	begun := time.Now()
	missing := func(context.Context) (string, error) {
		events := 0
		for _, c := range w.copies {
			_, n := c.progress()
			events += n
		}
		switch {
		case events < w.input.events:
			return fmt.Sprintf("RAW holds %d of %d records", events, w.input.events), nil
		case events > w.input.events:
			return "", fmt.Errorf("RAW holds %d records, repeats dropped, but the input has only %d", events, w.input.events)
		}
		return "", nil
	}
	if err := w.await(ctx, missing); err != nil {
		return err
	}
	w.retire("ingest")
	if err := w.await(ctx, w.lag); err != nil {
		return err
	}
	w.report.settled = time.Since(begun)
	for _, stage := range commands {
		w.retire(stage)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ending = true
	return nil
}

// retire tells all instances of a stage to leave.
func (w *world) retire(stage string) {
	w.mu.Lock()
	all := slices.Clone(w.instances[stage])
	w.mu.Unlock()
	for _, p := range all {
		w.stop(p)
	}
}

// await waits until nothing is missing.
func (w *world) await(ctx context.Context, missing func(context.Context) (string, error)) error {
	until := time.Now().Add(settleTime)
	for {
		what, err := missing(ctx)
		if err == nil && what == "" {
			return nil
		}
		if err != nil && ctx.Err() == nil && time.Now().Before(until) && isPassing(err) {
			what, err = err.Error(), nil
		}
		if err != nil {
			return err
		}
		if time.Now().After(until) {
			return fmt.Errorf("%s after everything was healed: %s", settleTime, what)
		}
		if err := sleep(ctx, 5*pollEvery); err != nil {
			return errors.Join(err, errors.New(what))
		}
	}
}

// isPassing reports whether an error is of the server or the connection to it, and not about what was read.
func isPassing(err error) bool {
	return errors.Is(err, errLook)
}

// errFound ends a run of a broken program, of which nothing more has to be known.
var errFound = errors.New("it was found that the program is broken")

var errLook = errors.New("look at the lags")

// lag says which partitions have not read everything.
func (w *world) lag(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	last := make(map[string]uint64)
	var behind []string
	for _, s := range replay.Stages(lanes, partitions) {
		checkpoints, err := tvjetstream.Checkpoints(ctx, w.js, s.Name)
		if err != nil {
			return "", errors.Join(errLook, err)
		}
		for p := range s.Partitions {
			name := s.Input(p)
			if _, ok := last[name]; !ok {
				stream, err := w.js.Stream(ctx, name)
				if err != nil {
					return "", errors.Join(errLook, err)
				}
				last[name] = stream.CachedInfo().State.LastSeq
			}
			if cp := checkpoints[strconv.Itoa(p)]; cp.Seq != last[name] {
				behind = append(behind, fmt.Sprintf("%s %d at %d of %d, owner %q", s.Name, p, cp.Seq, last[name], cp.Owner))
			}
		}
	}
	return strings.Join(behind, "; "), nil
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
