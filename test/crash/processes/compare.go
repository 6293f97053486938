//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
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
			var repeats int
			stored, repeats = withoutRepeats(stored)
			w.report.repeats += repeats
		}
		w.differ(stream, texts(stream, wanted), texts(stream, stored))
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

func withoutRepeats(records []runner.Record) (rest []runner.Record, repeats int) {
	seen := make(map[string]schemas.Number)
	for _, r := range records {
		if before, ok := seen[r.Producer]; ok && !before.Less(r.Number) {
			repeats++
			continue
		}
		seen[r.Producer] = r.Number
		rest = append(rest, r)
	}
	return rest, repeats
}

// texts returns records as texts that can be compared. Insight events stand by themselves, and so do the records of another
// producer; what one producer says on one subject has an order.
func texts(stream string, records []runner.Record) []string {
	place := make(map[string]int)
	var all []string
	for _, r := range records {
		text := r.Subject + " " + string(r.Body)
		if stream != "INSIGHTS" {
			of := r.Producer + " " + r.Subject
			place[of]++
			text = fmt.Sprintf("%s %d %s", r.Producer, place[of], text)
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
		order := 0
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
