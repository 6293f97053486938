package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trailvane/trailvane/pipeline/runner"
)

// A tenure is the time in which the instance has a partition: from the decision to claim it until it is given up or lost.
// Its fields are guarded by the instance's mutex.
type tenure struct {
	stop    context.CancelFunc
	stats   *runner.Stats // of the part that runs, nil if none does
	halted  string        // why it stands still
	leaving bool
	lost    bool   // another instance has claimed it
	why     string // it ends

	from     string // who owned it when we decided to claim it; empty if nobody did
	reported uint64 // epoch of the last claim that was logged
}

// epoch is that of our claim, 0 if nothing is claimed and restored.
func (t *tenure) epoch() uint64 {
	if t.stats == nil {
		return 0
	}
	return t.stats.Epoch.Load()
}

// leave begins to give the partition up.
func (t *tenure) leave(why string) {
	if !t.leaving {
		t.leaving, t.why = true, why
		t.stop()
	}
}

// haltTime is how long a halted partition stands still before it is tried again: a person may have repaired what was wrong.
// Openings fail mostly because the server is away, and are tried again after openTime.
// A server that is away for longer than openPatience is something that people should see.
const (
	haltTime     = 30 * time.Second
	openTime     = time.Second
	openPatience = 10 // tries
)

// begin takes a partition, beside the caller, who holds the mutex.
func (i *Instance) begin(ctx context.Context, s *stage, partition int, from string) {
	ctx, stop := context.WithCancel(ctx)
	t := &tenure{stop: stop, why: "the instance stops", from: from}
	s.tenures[partition] = t
	i.running.Go(func() {
		defer stop()
		i.hold(ctx, s, partition, t)
		i.mu.Lock()
		defer i.mu.Unlock()
		delete(s.tenures, partition)
	})
}

// hold works on a partition until the context ends or it is lost.
func (i *Instance) hold(ctx context.Context, s *stage, partition int, t *tenure) {
	log := i.deployment.Log.With("stage", s.Stage, "partition", partition)
	for unopened := 1; ; unopened++ {
		wait := i.haltTime
		part, err := s.Open(ctx, partition)
		if err == nil {
			unopened = 0
			i.set(t, part.Progress(), "")
			err = part.Run(ctx)
			part.Close()
		} else {
			wait = openTime
			err = fmt.Errorf("open %s %d: %w", s.Stage, partition, err)
		}
		epoch, lost, why := i.ending(t)
		switch {
		case errors.Is(err, runner.ErrConflict):
			log.Warn("lost", "epoch", epoch, "why", err)
			return
		case lost:
			log.Warn("lost", "epoch", epoch, "why", why)
			return
		case ctx.Err() != nil:
			log.Info("released", "epoch", epoch, "why", why)
			return
		case errors.Is(err, runner.ErrNewer):
			i.fail(err)
			<-ctx.Done()
			return
		case err == nil:
			log.Info("the input has ended", "epoch", epoch)
			<-ctx.Done()
			return
		}
		if 0 < unopened && unopened < openPatience {
			i.set(t, nil, "")
			log.Warn("cannot begin yet, trying again", "err", err)
			if !pause(ctx, wait) {
				log.Info("released", "why", "it could not begin")
				return
			}
			continue
		}
		i.set(t, nil, err.Error())
		log.Error("halted", "epoch", epoch, "err", err, "do", advice(err), "again in", wait)
		if !pause(ctx, wait) {
			log.Info("released", "epoch", epoch, "why", "it was halted")
			return
		}
	}
}

// pause waits, and reports whether it was for the whole time.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// advice says what a person can do about a halted partition.
func advice(err error) string {
	switch {
	case errors.Is(err, runner.ErrGap):
		return "find out who has purged, deleted or replaced the input stream, and restore the deployment from a backup"
	case errors.Is(err, runner.ErrCorrupt):
		return "restore the deployment from a backup; the stored state is not what was committed"
	}
	return "read the error; the partition goes on by itself when its cause is gone, and stands still until then"
}

// set says what a tenure is doing.
func (i *Instance) set(t *tenure, stats *runner.Stats, halted string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	t.stats, t.halted = stats, halted
}

func (i *Instance) ending(t *tenure) (epoch uint64, lost bool, why string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return t.epoch(), t.lost, t.why
}
