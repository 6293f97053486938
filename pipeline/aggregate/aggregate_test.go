package aggregate_test

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/trailvane/trailvane/pipeline/aggregate"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
	"pgregory.net/rapid"
)

var account = schemas.Account{Provider: schemas.AWS, ID: "123456789012"}

// event is one event of a test: what happened in which minute.
type event struct {
	minute schemas.Minute
	name   string
	id     string
}

// section codes events as the normalizer does, with a sorted dictionary.
func section(account schemas.Account, region string, lane int, events ...event) schemas.Section {
	s := schemas.Section{Account: account, Region: region, Lane: lane, Strings: []string{"", "ec2.amazonaws.com"}}
	for _, e := range events {
		s.Strings = append(s.Strings, e.name)
	}
	slices.Sort(s.Strings)
	s.Strings = slices.Compact(s.Strings)
	index := func(v string) uint32 {
		i, _ := slices.BinarySearch(s.Strings, v)
		return uint32(i)
	}
	for _, e := range events {
		s.Rows = append(s.Rows, schemas.EventRow{
			ID: e.id, Time: int64(e.minute)*60 + 7, Service: index("ec2.amazonaws.com"), Name: index(e.name), Write: true,
		})
	}
	return s
}

// harness feeds a processor and keeps the panes it puts out.
type harness struct {
	t   testing.TB
	p   *aggregate.Processor
	seq uint64
	out []pane

	metrics []part
}

// pane is a pane with its kind and its rows in words.
type pane struct {
	Kind      string
	Account   string
	Region    string
	Watermark schemas.Minute
	Close     bool
	Rows      []string
}

func newHarness(t testing.TB) *harness { return &harness{t: t, p: aggregate.New(3)} }

func (h *harness) apply(subject string, body []byte) []pane {
	h.t.Helper()
	h.seq++
	var got []pane
	err := h.p.Apply(runner.Record{Seq: h.seq, Subject: subject, Body: body}, func(o runner.Output) {
		if strings.HasPrefix(o.Subject, "metrics.") {
			h.metrics = append(h.metrics, readPart(h.t, o))
			return
		}
		kind := schemas.LastToken(o.Subject)
		if kind == string(schemas.SettingsControl) {
			return
		}
		var b schemas.PaneBatch
		if err := b.Decode(o.Body); err != nil {
			h.t.Fatal(err)
		}
		for _, p := range b.Panes {
			if want := schemas.WindowsSubject(3, p.Region, schemas.PaneKind(kind)); o.Subject != want {
				h.t.Fatalf("pane of %s on subject %s, want %s", p.Region, o.Subject, want)
			}
			got = append(got, inWords(kind, p))
		}
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.out = append(h.out, got...)
	return got
}

func inWords(kind string, p schemas.Pane) pane {
	w := pane{Kind: kind, Account: p.Account.ID, Region: p.Region, Watermark: p.Watermark, Close: p.Close}
	for _, r := range p.Rows {
		row := fmt.Sprintf("%d %s x%d", int(r.Minute), p.Strings[r.Name], r.Count)
		if r.Late {
			row += " late"
		}
		w.Rows = append(w.Rows, row)
	}
	return w
}

func (h *harness) events(sections ...schemas.Section) []pane {
	h.t.Helper()
	b := schemas.EventBatch{Sections: sections}
	return h.apply(schemas.EventsSubject(3, sections[0].Region), b.Append(nil))
}

func (h *harness) settings(s schemas.Settings) {
	h.t.Helper()
	h.apply(schemas.EventsControl(3, schemas.SettingsControl), s.Append(nil))
}

func (h *harness) tick(t schemas.Tick) []pane {
	h.t.Helper()
	return h.apply(schemas.EventsControl(3, schemas.TickControl), t.Append(nil))
}

func (h *harness) end(e schemas.End) []pane {
	h.t.Helper()
	return h.apply(schemas.EventsControl(3, schemas.EndControl), e.Append(nil))
}

func diff(t *testing.T, want, got []pane) {
	t.Helper()
	if d := gocmp.Diff(want, got); d != "" {
		t.Errorf("panes (-want +got):\n%s", d)
	}
}

func TestEqualEventsAreJoinedAndRepeatsDropped(t *testing.T) {
	h := newHarness(t)
	got := h.events(section(account, "eu-west-1", 0,
		event{1000, "RunInstances", "a"}, event{1000, "DeleteVolume", "b"}, event{1000, "RunInstances", "c"},
		event{1000, "RunInstances", "a"}, event{1001, "RunInstances", "d"}))
	diff(t, []pane{{
		Kind: "counts", Account: account.ID, Region: "eu-west-1", Watermark: 986,
		Rows: []string{"1000 DeleteVolume x1", "1000 RunInstances x2", "1001 RunInstances x1"},
	}}, got)
	// A repeat in a later batch is one too, as long as its minute is open.
	if got := h.events(section(account, "eu-west-1", 0, event{1000, "RunInstances", "c"})); len(got) != 0 {
		t.Errorf("a repeat made panes: %v", got)
	}
	if s := h.p.Stats(); s.Events != 4 || s.Duplicates != 2 {
		t.Errorf("stats %+v, want 4 events, 2 duplicates", s)
	}
}

func TestEventsWithoutIDAreNeverRepeats(t *testing.T) {
	h := newHarness(t)
	h.events(section(account, "r", 0, event{1000, "A", ""}, event{1000, "A", ""}))
	if s := h.p.Stats(); s.Events != 2 || s.Duplicates != 0 {
		t.Errorf("stats %+v, want 2 events", s)
	}
}

func TestLateIsMarkedAndStaleLeftOut(t *testing.T) {
	h := newHarness(t)
	got := h.events(section(account, "r", 0,
		event{10000, "A", "1"},
		event{9985, "A", "2"},                    // on time: the first minute that is not final
		event{9984, "A", "3"},                    // late
		event{9985 - schemas.Day, "A", "4"},      // late by a day
		event{9985 - schemas.Day - 1, "A", "5"})) // stale
	diff(t, []pane{{
		Kind: "counts", Account: account.ID, Region: "r", Watermark: 9985,
		Rows: []string{"8545 A x1 late", "9984 A x1 late", "9985 A x1", "10000 A x1"},
	}}, got)
	if s := h.p.Stats(); s.Late != 2 || s.Stale != 1 || s.Events != 4 {
		t.Errorf("stats %+v, want 4 events, 2 of them late, and 1 stale", s)
	}
}

func TestOneRegionNeverMovesAnother(t *testing.T) {
	h := newHarness(t)
	h.events(section(account, "a", 0, event{5000, "A", "1"}))
	got := h.events(section(account, "b", 0, event{1000, "A", "2"}))
	diff(t, []pane{{Kind: "counts", Account: account.ID, Region: "b", Watermark: 985, Rows: []string{"1000 A x1"}}}, got)
}

// P4 of the detection rules: what one pane closes spans at most an hour of minutes with rows, a jump over nothing any time.
func TestHistoryIsCut(t *testing.T) {
	h := newHarness(t)
	var events []event
	for i := range schemas.Minute(40) {
		events = append(events, event{1000 + 7*i, "A", strconv.Itoa(int(i))})
	}
	events = append(events, event{1_000_000, "B", "far"})
	got := h.events(section(account, "r", 0, events...))
	if len(got) < 4 {
		t.Fatalf("%d panes, want the history cut into more", len(got))
	}
	before := schemas.Minute(1000 - 15)
	rows := 0
	for i, p := range got {
		if i < len(got)-1 && p.Watermark > before+schemas.Hour {
			t.Errorf("pane %d closes from %d to %d", i, before, p.Watermark)
		}
		before = p.Watermark
		rows += len(p.Rows)
	}
	if rows != 41 {
		t.Errorf("%d rows, want 41", rows)
	}
	if last := got[len(got)-1]; last.Watermark != 1_000_000-15 || len(last.Rows) != 1 {
		t.Errorf("last pane %+v, want the far event alone", last)
	}
}

func TestTickMovesTheRegionsOfItsLane(t *testing.T) {
	h := newHarness(t)
	other := schemas.Account{Provider: schemas.Alibaba, ID: "1"}
	h.events(section(account, "b", 0, event{1000, "A", "1"}))
	h.events(section(account, "a", 0, event{1000, "A", "1"}))
	h.events(section(other, "a", 1, event{1000, "A", "1"}))
	got := h.tick(schemas.Tick{Lane: 0, Time: 1100})
	diff(t, []pane{
		{Kind: "tick", Account: account.ID, Region: "a", Watermark: 1070},
		{Kind: "tick", Account: account.ID, Region: "b", Watermark: 1070},
	}, got)
	if got := h.tick(schemas.Tick{Lane: 0, Time: 1000 + schemas.Day + 1}); len(got) != 0 {
		t.Errorf("regions that were quiet for a day moved: %v", got)
	}
}

func TestTickOfAnAccountMovesNoOther(t *testing.T) {
	h := newHarness(t)
	other := schemas.Account{Provider: schemas.AWS, ID: account.ID + "1"}
	h.events(section(account, "a", 0, event{1000, "A", "1"}))
	h.events(section(other, "a", 0, event{1000, "A", "1"}))
	diff(t, []pane{{Kind: "tick", Account: other.ID, Region: "a", Watermark: 1070}}, h.tick(schemas.Tick{Time: 1100, Account: other}))
	if got := h.tick(schemas.Tick{Lane: 1, Time: 1100, Account: account}); len(got) != 0 {
		t.Errorf("an account that another lane feeds moved: %v", got)
	}
}

func TestEndClosesTheMinutesSeen(t *testing.T) {
	h := newHarness(t)
	h.events(section(account, "b", 0, event{1000, "A", "1"}))
	h.events(section(account, "a", 0, event{2000, "A", "1"}))
	got := h.end(schemas.End{Lane: 0, Close: true})
	diff(t, []pane{
		{Kind: "end", Account: account.ID, Region: "a", Watermark: 2001, Close: true},
		{Kind: "end", Account: account.ID, Region: "b", Watermark: 1001, Close: true},
	}, got)
}

func TestSettingsHoldForTheAccountsOfTheirLane(t *testing.T) {
	h := newHarness(t)
	h.settings(schemas.Settings{Lane: 1, Lateness: 5, Learn: schemas.Day, Budget: 1})
	h.events(section(account, "r", 0, event{1000, "A", "1"}))
	h.events(section(account, "r", 1, event{1000, "A", "2"}))
	h.events(section(schemas.Account{ID: "x"}, "r", 1, event{1000, "A", "2"}))
	if got := h.out; got[0].Watermark != 985 || got[1].Watermark != 995 || got[2].Watermark != 995 {
		t.Errorf("watermarks %d %d %d, want 985 995 995", got[0].Watermark, got[1].Watermark, got[2].Watermark)
	}
}

// Any split of the same events into batches gives the same closed windows when nothing is late.
func TestBatchesDoNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var events []event
		at := schemas.Minute(1000)
		for i := range rapid.IntRange(1, 60).Draw(t, "events") {
			at += schemas.Minute(rapid.SampledFrom([]int{0, 0, 0, 1, 3, 20, 90, 3000}).Draw(t, "step"))
			back := schemas.Minute(rapid.IntRange(0, 7).Draw(t, "back")) // within the lateness: not late
			id := strconv.Itoa(i)
			if i > 0 && rapid.IntRange(0, 9).Draw(t, "repeat") == 0 {
				repeated := events[rapid.IntRange(max(0, i-3), i-1).Draw(t, "of")]
				if repeated.minute >= at-15 {
					events = append(events, repeated)
					continue
				}
			}
			events = append(events, event{at - back, rapid.SampledFrom([]string{"A", "B"}).Draw(t, "name"), id})
		}
		whole := windows(t, [][]event{events}, nil)
		var split [][]event
		for rest := events; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "cut")
			split, rest = append(split, rest[:n]), rest[n:]
		}
		restart := rapid.SliceOfN(rapid.Bool(), len(split), len(split)).Draw(t, "restart")
		if d := gocmp.Diff(whole, windows(t, split, restart)); d != "" {
			t.Fatalf("closed windows differ (-whole +split):\n%s", d)
		}
	})
}

// windows returns the closed windows: the total count of each name and minute. Restart says before which batches the state
// goes through Snapshot and Restore.
func windows(t *rapid.T, batches [][]event, restart []bool) map[string]int {
	p := aggregate.New(3)
	saved := map[string][]byte{}
	got := map[string]int{}
	for i, events := range batches {
		if restart != nil && restart[i] {
			if err := p.Snapshot(func(key string, state []byte) { saved[key] = state }); err != nil {
				t.Fatal(err)
			}
			p = aggregate.New(3)
			for key, state := range saved {
				if err := p.Restore(key, state); err != nil {
					t.Fatal(err)
				}
			}
		}
		b := schemas.EventBatch{Sections: []schemas.Section{section(account, "r", 0, events...)}}
		err := p.Apply(runner.Record{Subject: schemas.EventsSubject(3, "r"), Body: b.Append(nil)}, func(o runner.Output) {
			if strings.HasPrefix(o.Subject, "metrics.") {
				return
			}
			var b schemas.PaneBatch
			if err := b.Decode(o.Body); err != nil {
				t.Fatal(err)
			}
			for _, pane := range b.Panes {
				if !slices.IsSortedFunc(pane.Rows, func(a, b schemas.Row) int {
					return cmp.Or(cmp.Compare(a.Minute, b.Minute), cmp.Compare(pane.Strings[a.Name], pane.Strings[b.Name]))
				}) {
					t.Fatalf("rows are not sorted: %+v", pane.Rows)
				}
				for _, r := range pane.Rows {
					if r.Late {
						t.Fatal("nothing is late here")
					}
					got[fmt.Sprintf("%d %s", int(r.Minute), pane.Strings[r.Name])] += int(r.Count)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return got
}

func TestUnknownMessagesStopTheStage(t *testing.T) {
	p := aggregate.New(0)
	for _, subject := range []string{"events.0.r", "events.0.tick", "events.0.end", "events.0.settings"} {
		err := p.Apply(runner.Record{Subject: subject, Body: []byte{0x91, 0x7f}}, func(runner.Output) { t.Error("output") })
		if err == nil {
			t.Errorf("%s: a message of a newer version was accepted", subject)
		}
	}
}
