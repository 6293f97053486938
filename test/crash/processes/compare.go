//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/nats-io/nats.go/jetstream"

	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/memory"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/pipeline/runner/runnertest"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/test/crash/replay"
)

// shown bounds the differences that are told one by one.
const shown = 10

// compare replays the copy of RAW in memory, and compares what is stored with that.
func (w *world) compare(ctx context.Context) error {
	var raw []runnertest.Raw
	for lane, c := range w.copies {
		stream, err := w.js.Stream(ctx, tvjetstream.RawStream(lane))
		if err != nil {
			return err
		}
		state := stream.CachedInfo().State
		if last, _ := c.progress(); last != state.LastSeq {
			return fmt.Errorf("the copy of lane %d ends at %d, but the stream at %d", lane, last, state.LastSeq)
		}
		if trimmed := state.FirstSeq > 1; trimmed != w.trim {
			w.fail("the stream of lane %d begins at %d, with trimming %t", lane, state.FirstSeq, w.trim)
		}
		raw = append(raw, c.records...)
	}
	want, err := replay.Run(ctx, raw, replay.Way{Lanes: lanes, Partitions: partitions, CommitBytes: 1 << 30})
	if err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	for _, stream := range []string{"INSIGHTS", "METRICS", "DEAD"} {
		stored, err := w.stored(ctx, stream)
		if err != nil {
			return err
		}
		wanted := want.Records(stream)
		if stream == "INSIGHTS" {
			w.judge(stored)
		} else {
			// Insight events are stored once; of the others repeats are dropped, as every reader does.
			stored = w.withoutRepeats(stream, stored)
		}
		w.differ(stream, texts(stream, wanted), texts(stream, stored))
	}
	// Between the stages there must have been repeats, or the faults were none. (What is trimmed is not counted.)
	for _, s := range replay.Stages(lanes, partitions) {
		if flow, _, _ := strings.Cut(s.Input(0), "_"); !strings.HasPrefix(s.Name, "detector-") || s.Name == w.stages[3] {
			for p := range s.Partitions {
				stored, err := w.stored(ctx, s.Input(p))
				if err != nil {
					return err
				}
				w.withoutRepeats(flow, stored)
			}
		}
		if err := w.states(ctx, want, s.Name, s.Partitions); err != nil {
			return err
		}
	}
	return w.states(ctx, nil, w.stages[0], lanes)
}

// states demands that each stored state of a stage is the one that its checkpoint describes, and that of the replay.
func (w *world) states(ctx context.Context, want *memory.Broker, stage string, partitions int) error {
	store, err := tvjetstream.OpenStore(ctx, w.js, stage)
	if err != nil {
		return err
	}
	for p := range partitions {
		cp, state, err := store.Load(ctx, strconv.Itoa(p))
		if err != nil {
			return err
		}
		keys, sum, others := uint64(0), uint64(0), 0
		replayed := make(map[string]string)
		if want != nil {
			_, state, err := want.Store(stage).Load(ctx, strconv.Itoa(p))
			if err != nil {
				return err
			}
			for key, value := range state {
				replayed[key] = string(value)
			}
		}
		for key, value := range state {
			if want != nil && replayed[key] != string(value) {
				others++
			}
			delete(replayed, key)
			keys++
			sum += xxhash.Sum64(slices.Concat([]byte(key), []byte{0}, value))
		}
		if others+len(replayed) > 0 {
			w.fail("the state of %s %d lacks %d keys of the replay, and %d keys have other values", stage, p, len(replayed), others)
		}
		if keys != cp.Keys || sum != cp.Sum {
			w.fail("the state of %s %d has %d keys with sum %x, but its checkpoint says %d with %x", stage, p, keys, sum, cp.Keys, cp.Sum)
		}
	}
	return nil
}

// stored returns what a stream holds.
func (w *world) stored(ctx context.Context, stream string) ([]runner.Record, error) {
	var all []runner.Record
	err := tvjetstream.ReadAll(ctx, w.js, stream, func(r runner.Record) error {
		all = append(all, r)
		return nil
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	return all, err
}

// withoutRepeats returns what a reader works on, and counts the rest.
func (w *world) withoutRepeats(flow string, records []runner.Record) (rest []runner.Record) {
	seen := make(map[string]schemas.Number)
	for _, r := range records {
		if before, ok := seen[r.Producer]; ok && !before.Less(r.Number) {
			w.report.repeats[flow]++
			continue
		}
		seen[r.Producer] = r.Number
		rest = append(rest, r)
	}
	return rest
}

// texts returns records as texts that can be compared. Insight events stand by themselves, and so do the records of another
// producer; what one producer says on one subject has an order.
func texts(stream string, records []runner.Record) []string {
	place := make(map[string]int)
	var all []string
	for _, r := range records {
		text := r.Subject + " " + string(r.Body)
		if stream != "INSIGHTS" {
			// A producer's name ends with the identity of its input stream, which is another one in memory.
			producer := r.Producer[:max(0, strings.LastIndexByte(r.Producer, '.'))]
			of := producer + " " + r.Subject
			place[of]++
			text = fmt.Sprintf("%s %d %s", producer, place[of], text)
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return all
}

// differ tells what is missing and what is too much.
func (w *world) differ(stream string, want, got []string) {
	missing, extra := 0, 0
	tell := func(what, text string, n *int) {
		if *n++; *n <= shown {
			w.fail("%s %s: %.300q", stream, what, text)
		}
	}
	for len(want) > 0 || len(got) > 0 {
		var order int
		switch {
		case len(want) == 0:
			order = 1
		case len(got) == 0:
			order = -1
		default:
			order = cmp.Compare(want[0], got[0])
		}
		switch order {
		case -1:
			tell("lacks", want[0], &missing)
			want = want[1:]
		case 1:
			tell("has besides", got[0], &extra)
			got = got[1:]
		default:
			want, got = want[1:], got[1:]
		}
	}
	if missing+extra > 0 {
		w.fail("%s lacks %d records of the replay and has %d others", stream, missing, extra)
	}
}

// judge counts the insight events by type; too few of them prove nothing.
func (w *world) judge(insights []runner.Record) {
	w.report.insights = make(map[schemas.InsightType]int)
	for _, r := range insights {
		s, err := schemas.ParseSubject(r.Subject)
		if err != nil {
			w.fail("INSIGHTS: %v", err)
			continue
		}
		w.report.insights[s.Type]++
	}
	if len(insights) < w.least || len(w.report.insights) < 3 {
		w.fail("only %d insight events of %d types: the run proves nothing", len(insights), len(w.report.insights))
	}
}
