package ingest_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trailvane/trailvane/pipeline/catalog"
	"github.com/trailvane/trailvane/pipeline/detect/all"
	pipeline "github.com/trailvane/trailvane/pipeline/ingest"
	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/jetstream/jetstreamtest"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/aggregator"
	"github.com/trailvane/trailvane/services/analyze"
	"github.com/trailvane/trailvane/services/detector"
	"github.com/trailvane/trailvane/services/ingest"
	"github.com/trailvane/trailvane/services/internal/broker"
	"github.com/trailvane/trailvane/services/internal/service"
	"github.com/trailvane/trailvane/services/internal/simulate"
	"github.com/trailvane/trailvane/services/normalizer"
	"github.com/trailvane/trailvane/services/pairer"
)

// A live deployment runs every stage on an embedded server and follows a folder.
type live struct {
	t      *testing.T
	d      *service.Deployment
	dir    string
	clock  atomic.Int64 // Unix seconds, at the broker as far as ingest knows
	feeds  [lanes]bool
	failed atomic.Int64 // polls
	parts  map[string][]service.Part
	end    func()
}

const lanes, partitions = 3, 2

func newLive(t *testing.T) *live {
	t.Helper()
	b, err := broker.Start(t.Context(), broker.Config{Dir: jetstreamtest.Dir(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Shutdown)
	js, err := b.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(js.Conn().Close)
	id := jetstream.Identity{Lanes: lanes, Partitions: partitions, Lateness: 15, Learn: 24 * 60, Budget: 1}
	stages := []string{ingest.Bucket, normalizer.Bucket, aggregator.Bucket, pairer.Bucket}
	for insight := range all.Detectors() {
		stages = append(stages, detector.Bucket(insight))
	}
	if err := jetstream.Deploy(t.Context(), js, jetstream.DefaultTopology(id, stages...)); err != nil {
		t.Fatal(err)
	}
	return &live{
		t: t, dir: t.TempDir(),
		d: &service.Deployment{JS: js, Identity: id, Instance: "live", Log: slog.New(slog.DiscardHandler)},
	}
}

// start runs all stages until stop.
func (l *live) start() {
	l.t.Helper()
	l.parts = make(map[string][]service.Part)
	now := func() time.Time { return time.Unix(l.clock.Load(), 0) }
	c := ingest.Config{Paths: []string{l.dir}, Poll: 200 * time.Millisecond}.WithClock(now).WithFailed(func(error) { l.failed.Add(1) })
	works := []service.Work{
		ingest.Work(l.d, c), normalizer.Work(l.d, catalog.Default(), nil), aggregator.Work(l.d), pairer.Work(l.d),
	}
	works = append(works, detector.Works(l.d, slices.Collect(maps.Keys(all.Detectors()))...)...)
	ctx, cancel := context.WithCancel(l.t.Context())
	var running sync.WaitGroup
	for _, w := range works {
		for i := range w.Partitions {
			part, err := w.Open(ctx, i)
			if err != nil {
				l.t.Fatal(err)
			}
			l.parts[w.Stage] = append(l.parts[w.Stage], part)
			running.Go(func() {
				defer part.Close()
				if err := part.Run(ctx); ctx.Err() == nil {
					l.t.Errorf("%s %d: %v", w.Stage, i, err)
				}
			})
		}
	}
	l.end = func() { cancel(); running.Wait() }
	l.t.Cleanup(l.end)
}

// until waits for a condition.
func (l *live) until(what string, ok func() bool) {
	l.t.Helper()
	deadline, again := time.After(2*time.Minute), time.NewTicker(2*time.Millisecond)
	defer again.Stop()
	for !ok() {
		select {
		case <-again.C:
		case <-deadline:
			l.t.Fatalf("waited two minutes for %s", what)
		}
	}
}

func (l *live) last(stream string) uint64 {
	l.t.Helper()
	s, err := l.d.JS.Stream(l.t.Context(), stream)
	if err != nil {
		l.t.Fatal(err)
	}
	return s.CachedInfo().State.LastSeq
}

// ticked reports whether every lane that feeds anybody has a tick of the time.
func (l *live) ticked(at int64) bool {
	l.t.Helper()
	for lane := range lanes {
		if !l.feeds[lane] {
			continue
		}
		s, err := l.d.JS.Stream(l.t.Context(), jetstream.RawStream(lane))
		if err != nil {
			l.t.Fatal(err)
		}
		m, err := s.GetLastMsgForSubject(l.t.Context(), schemas.RawSubject(lane, string(schemas.TickControl)))
		if err != nil {
			return false
		}
		var tick schemas.Tick
		if err := tick.Decode(m.Data); err != nil {
			l.t.Fatal(err)
		}
		if tick.Time < schemas.MinuteOf(at) {
			return false
		}
	}
	return true
}

// settle returns when every stage has read all that the one before it has put. The ingest has nothing to do then.
func (l *live) settle() {
	l.t.Helper()
	level := func(stage string, input func(int) string) {
		for i, p := range l.parts[stage] {
			l.until(stage, func() bool { return p.Progress().Position.Load() >= l.last(input(i)) })
		}
	}
	level(normalizer.Bucket, jetstream.RawStream)
	level(aggregator.Bucket, jetstream.EventsStream)
	for insight := range all.Detectors() {
		level(detector.Bucket(insight), jetstream.WindowsStream)
	}
	level(pairer.Bucket, jetstream.FindingsStream)
}

// reach moves the time at the broker, and waits until all that is there has been worked on.
func (l *live) reach(at time.Time) {
	l.t.Helper()
	l.clock.Store(at.Unix())
	l.until("ticks of "+at.String(), func() bool { return l.ticked(at.Unix()) })
	l.settle()
}

// deliver puts files into the folder that is followed.
func (l *live) deliver(from string, names []string) {
	l.t.Helper()
	for _, name := range names {
		to := filepath.Join(l.dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			l.t.Fatal(err)
		}
		folder := pipeline.Locate(filepath.ToSlash(to)).Folder
		l.feeds[pipeline.Lane("files", folder, lanes)] = true
		if err := os.Link(filepath.Join(from, name), to); err != nil {
			l.t.Fatal(err)
		}
	}
}

// insights returns the insight events that are stored, in words.
func (l *live) insights() (starts, ends []string) {
	l.t.Helper()
	err := jetstream.ReadAll(l.t.Context(), l.d.JS, jetstream.InsightsStream, func(r runner.Record) error {
		var i schemas.Insight
		if err := i.Decode(r.Body); err != nil {
			return err
		}
		if i.Details.State == schemas.StartState {
			starts = append(starts, words(&i))
		} else {
			ends = append(ends, words(&i))
		}
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	slices.Sort(starts)
	slices.Sort(ends)
	return starts, ends
}

func words(i *schemas.Insight) string {
	return fmt.Sprintf("%s %s %s %s from %d", i.Account(), i.Region, i.Details.Type, i.Details.Object, i.EventTime)
}

// A company's history is there before, its live logs come by and by: what is found is what analyze finds in all of it. Then
// the company falls silent, and ticks end what is open; while the folder is out of reach, time stands still.
func TestLive(t *testing.T) {
	from := t.TempDir()
	if _, err := simulate.Write(from, simulate.Options{}); err != nil {
		t.Fatal(err)
	}
	history := simulate.DefaultStart.Add(8*24*time.Hour + 12*time.Hour)
	silence := history.Add(9 * time.Hour) // soon after a key was stolen
	batches := make(map[time.Time][]string)
	err := filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(from, path)
		at := time.Unix(pipeline.Locate(filepath.ToSlash(name)).Time, 0).UTC()
		if at.After(silence) {
			return os.Remove(path)
		}
		if at = at.Truncate(90 * time.Minute); at.Before(history) {
			at = history.Add(-time.Hour)
		}
		batches[at] = append(batches[at], name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	settings := schemas.DefaultSettings()
	whole, err := analyze.Run(t.Context(), analyze.Options{Paths: []string{from}, Partitions: partitions, Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range whole.Insights {
		if whole.Insights[i].Details.State == schemas.StartState {
			want = append(want, words(&whole.Insights[i]))
		}
	}
	slices.Sort(want)
	if len(want) < 6 {
		t.Fatalf("only %q", want)
	}

	l := newLive(t)
	for n, at := range slices.SortedFunc(maps.Keys(batches), time.Time.Compare) {
		l.deliver(from, batches[at])
		if n%4 == 0 { // as well, begin anew
			if l.end != nil {
				l.end()
			}
			l.start()
		}
		if at = at.Add(90 * time.Minute); at.After(silence) {
			at = silence
		}
		l.reach(at)
	}
	starts, ends := l.insights()
	if diff := cmp.Diff(want, starts); diff != "" {
		t.Errorf("starts (-analyze +live):\n%s", diff)
	}
	if len(ends) >= len(starts) {
		t.Fatalf("nothing is open: %q", ends)
	}

	moved := l.dir + "-away"
	if err := os.Rename(l.dir, moved); err != nil {
		t.Fatal(err)
	}
	raw := func() (last []uint64) {
		for lane := range lanes {
			last = append(last, l.last(jetstream.RawStream(lane)))
		}
		return last
	}
	before := raw()
	l.clock.Store(silence.Add(12 * time.Hour).Unix())
	polls := l.failed.Load()
	l.until("polls that fail", func() bool { return l.failed.Load() > polls+5 })
	if diff := cmp.Diff(before, raw()); diff != "" {
		t.Errorf("raw while the folder is out of reach: %s", diff)
	}
	if err := os.Rename(moved, l.dir); err != nil {
		t.Fatal(err)
	}
	l.reach(silence.Add(12 * time.Hour))
	if starts, ends = l.insights(); len(ends) != len(starts) {
		t.Errorf("ended are %q of %q", ends, starts)
	}

	// Who is silent for more than a day stays as it is.
	windows := func() (last []uint64) {
		for p := range partitions {
			last = append(last, l.last(jetstream.WindowsStream(p)))
		}
		return last
	}
	quiet := windows()
	l.reach(silence.Add(72 * time.Hour))
	if diff := cmp.Diff(quiet, windows()); diff != "" {
		t.Errorf("windows after three days: %s", diff)
	}
}
