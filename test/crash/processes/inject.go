//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

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
