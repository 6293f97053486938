//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/test/crash/replay"
)

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
