package aggregate_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/trailvane/trailvane/pipeline/aggregate"
	"github.com/trailvane/trailvane/pipeline/pages"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/pipeline/window"
	"github.com/trailvane/trailvane/schemas"
	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"
)

// part is a part of an hour, in words.
type part struct {
	Region              string
	Hour                schemas.Minute
	Events, Late, Stale uint64
	Series              []string
	Other               string
}

func readPart(t interface {
	Helper()
	Fatalf(string, ...any)
}, o runner.Output,
) part {
	t.Helper()
	var m schemas.Metrics
	if err := m.Decode(o.Body); err != nil {
		t.Fatalf("%s: %v", o.Subject, err)
	}
	if want := schemas.MetricsSubject(m.Region, m.Account); o.Subject != want {
		t.Fatalf("hour of %s %s on subject %s, want %s", m.Account, m.Region, o.Subject, want)
	}
	if len(o.Body) > 512<<10 {
		t.Fatalf("a part of %d bytes", len(o.Body))
	}
	p := part{Region: m.Region, Hour: m.Hour, Events: m.Events, Late: m.Late, Stale: m.Stale, Other: minutesInWords(m.Other)}
	sum := total(m.Other)
	last := uint64(1) << 63
	for _, s := range m.Series {
		name := m.Strings[s.Name]
		if s.ErrorCode != 0 {
			name += " " + m.Strings[s.ErrorCode]
		}
		if s.Write {
			name += " w"
		}
		p.Series = append(p.Series, name+minutesInWords(s.Minutes))
		if n := total(s.Minutes); n > last || n == 0 {
			t.Fatalf("a series of %d calls behind one of %d", n, last)
		} else {
			sum, last = sum+n, n
		}
	}
	if sum != m.Events || sum == 0 || m.Late+m.Stale > sum {
		t.Fatalf("a part of %d events, %d of them late, %d stale: its series and other have %d", m.Events, m.Late, m.Stale, sum)
	}
	return p
}

func minutesInWords(list []schemas.MinuteCount) string {
	var b strings.Builder
	for _, c := range list {
		fmt.Fprintf(&b, " %d:%d", c.Minute, c.Count)
	}
	return b.String()
}

func total(list []schemas.MinuteCount) (n uint64) {
	for _, c := range list {
		n += uint64(c.Count)
	}
	return n
}

// parts returns what came out since it was called last.
func (h *harness) parts() []part {
	p := h.metrics
	h.metrics = nil
	return p
}

func (h *harness) wantParts(want ...part) {
	h.t.Helper()
	if d := gocmp.Diff(want, h.parts()); d != "" {
		h.t.Errorf("parts of hours (-want +got):\n%s", d)
	}
}

const ten = schemas.Minute(600) // o'clock

func TestAnHourIsClosedByTheWatermark(t *testing.T) {
	h := newHarness(t)
	h.events(section(account, "r", 0,
		event{ten, "A", "1"}, event{ten, "B", "2"}, event{ten + 59, "B", "3"}, event{ten + 59, "B", "4"}, event{ten + 60, "A", "5"}))
	h.events(section(account, "r", 0, event{ten + 74, "A", "6"}))
	h.wantParts()
	h.events(section(account, "r", 0, event{ten + 75, "A", "7"}, event{ten + 75, "A", "7"}))
	h.wantParts(part{Region: "r", Hour: ten, Events: 4, Series: []string{"B w 0:1 59:2", "A w 0:1"}})
	// By a tick, which trails by twice the lateness.
	h.tick(schemas.Tick{Time: ten + 149})
	h.wantParts()
	h.tick(schemas.Tick{Time: ten + 150})
	h.wantParts(part{Region: "r", Hour: ten + 60, Events: 3, Series: []string{"A w 0:1 14:1 15:1"}})
	// Quiet hours have no parts.
	for at := range schemas.Minute(600) {
		h.tick(schemas.Tick{Time: ten + 150 + at})
	}
	h.wantParts()
}

func TestHoursBeforeTheEpochBeginWhereTheyBegin(t *testing.T) {
	h := newHarness(t)
	h.events(section(account, "r", 0, event{-1, "A", "1"}, event{-60, "A", "2"}, event{75, "A", "3"}))
	h.wantParts(part{Region: "r", Hour: -60, Events: 2, Late: 1, Series: []string{"A w 0:1 59:1"}})
}

func TestEndGivesOutTheHourThatIsNotOver(t *testing.T) {
	h := newHarness(t)
	h.events(section(account, "b", 0, event{ten + 5, "A", "1"}))
	h.events(section(account, "a", 0, event{ten + 7, "A", "1"}))
	h.events(section(account, "a", 1, event{ten + 7, "A", "2"}))
	h.end(schemas.End{Lane: 0})
	h.wantParts(part{Region: "b", Hour: ten, Events: 1, Series: []string{"A w 5:1"}})
	h.end(schemas.End{Lane: 1})
	h.wantParts(part{Region: "a", Hour: ten, Events: 2, Series: []string{"A w 7:2"}})
	// What follows adds.
	h.events(section(account, "b", 0, event{ten + 6, "A", "2"}))
	h.end(schemas.End{Lane: 0})
	h.wantParts(part{Region: "b", Hour: ten, Events: 1, Series: []string{"A w 6:1"}})
	h.end(schemas.End{Lane: 0})
	h.wantParts()
}

func TestLateAndStaleEventsAddToTheirHour(t *testing.T) {
	h := newHarness(t)
	now := ten + 2*schemas.Day
	h.events(section(account, "r", 0, event{now + 30, "A", "1"}))
	h.events(section(account, "r", 0,
		event{now + 14, "A", "2"},            // late, but its hour is open
		event{now - 1, "A", "3"},             // late
		event{now - 61, "A", "4"},            // late
		event{ten, "A", "5"},                 // stale
		event{now - 1, "B", "6"},             // late
		event{now - 1 - schemas.Day, "", ""}, // stale
	))
	h.wantParts()
	h.events(section(account, "r", 0, event{now + 75, "A", "7"}))
	h.wantParts(
		part{Region: "r", Hour: ten, Events: 1, Stale: 1, Series: []string{"A w 0:1"}},
		part{Region: "r", Hour: now - 60 - schemas.Day, Events: 1, Stale: 1, Series: []string{" w 59:1"}},
		part{Region: "r", Hour: now - 120, Events: 1, Late: 1, Series: []string{"A w 59:1"}},
		part{Region: "r", Hour: now - 60, Events: 2, Late: 2, Series: []string{"A w 59:1", "B w 59:1"}},
		part{Region: "r", Hour: now, Events: 2, Late: 1, Series: []string{"A w 14:1 30:1"}},
	)
	if s := h.p.Stats(); s.Events != 6 || s.Stale != 2 {
		t.Errorf("stats %+v, want 6 events in panes and 2 stale", s)
	}
}

// No tick moves a region that has been quiet for a day, so none would ever close its hours.
func TestAnIdleRegionGivesOutWhatItHas(t *testing.T) {
	h := newHarness(t)
	h.events(section(account, "r", 0, event{ten, "A", "1"}, event{ten - 100, "A", "2"}))
	h.tick(schemas.Tick{Time: ten + schemas.Day + 1})
	want := []part{
		{Region: "r", Hour: ten - 120, Events: 1, Late: 1, Series: []string{"A w 20:1"}},
		{Region: "r", Hour: ten, Events: 1, Series: []string{"A w 0:1"}},
	}
	h.wantParts(want...)
	h.tick(schemas.Tick{Time: ten + schemas.Day + 2})
	h.wantParts()
}

// Reads, writes and errors are series of their own.
func TestSeriesAreKinds(t *testing.T) {
	h := newHarness(t)
	s := section(account, "r", 0, event{ten, "A", "1"}, event{ten, "A", "2"}, event{ten, "A", "3"}, event{ten, "Denied", "4"})
	s.Rows[1].Write = false
	s.Rows[2].ErrorCode = s.Rows[3].Name
	// And what makes a row its own otherwise does not count.
	s.Rows = append(s.Rows, s.Rows[0])
	s.Rows[4].ID, s.Rows[4].Principal = "5", s.Rows[3].Name
	h.events(s)
	h.end(schemas.End{})
	h.wantParts(part{Region: "r", Hour: ten, Events: 5, Series: []string{"A w 0:2", "A 0:1", "A Denied w 0:1", "Denied w 0:1"}})
}

// longest returns as many events as there can be series, and some more, in all minutes of an hour, with the longest names.
func longest(at schemas.Minute, region string, h *harness) {
	for i := range 600 {
		name := fmt.Sprintf("%0*d", 256-len("ec2.amazonaws.com"), i)
		if i%7 == 0 {
			name += "x" // is too long
		}
		var events []event
		for m := range schemas.Minute(60) {
			events = append(events, event{at + m, name, ""})
		}
		h.events(section(account, region, 0, events...))
	}
}

func TestHostileNamesAreBounded(t *testing.T) {
	h := newHarness(t)
	h.settings(schemas.Settings{Lateness: 60})
	longest(ten, "r", h)
	h.end(schemas.End{})
	got := h.parts()
	if len(got) != 1 || len(got[0].Series) != 512 || got[0].Events != 600*60 {
		t.Fatalf("%d parts, the first with %d series and %d events", len(got), len(got[0].Series), got[0].Events)
	}
	if strings.Count(got[0].Other, ":88") != 60 {
		t.Errorf("other is %s, want 88 in each minute", got[0].Other)
	}
}

// Logs that are not sorted at all make no more parts than events, and little state.
func TestHostileHoursAreBounded(t *testing.T) {
	h := newHarness(t)
	h.events(section(account, "r", 0, event{10_000_000, "A", "1"}))
	n := 0
	for i := range 3000 {
		h.events(section(account, "r", 0,
			event{schemas.Minute(i) * 7919 % 9_000_000, strconv.Itoa(i), ""}, event{schemas.Minute(i%40) * 60, strconv.Itoa(i), ""}))
		n += len(h.parts())
		if i%100 == 99 && stateSize(t, h.p) > 64<<10 {
			t.Fatal("much state")
		}
	}
	if n < 1000 || n > 6001 {
		t.Errorf("%d parts of 6001 events", n)
	}
	// Few hours, but ever new series.
	h = newHarness(t)
	h.events(section(account, "r", 0, event{10_000_000, "A", "1"}))
	for i := range 10 * 2048 {
		h.events(section(account, "r", 0, event{schemas.Minute(i%8) * 60, strconv.Itoa(i), ""}))
	}
	if size := stateSize(t, h.p); size > 2048*64 {
		t.Fatalf("%d bytes of state", size)
	}
	if n := len(h.parts()); n < 9*8 || n > 10*8 {
		t.Errorf("%d parts, want those of eight hours for every 2048 series", n)
	}
}

func stateSize(t *testing.T, p *aggregate.Processor) (n int) {
	t.Helper()
	if err := p.Snapshot(func(key string, state []byte) { n += len(state) }); err != nil {
		t.Fatal(err)
	}
	return n
}

// A value of the state fits into a message, also when the groups of a slice have all that they can have open.
func TestStateOfFullGroupsFits(t *testing.T) {
	h := newHarness(t)
	h.settings(schemas.Settings{Lateness: 60})
	keys, largest, size := 0, 0, 0
	table := pages.New("groups", 128)
	slice := func(region string) int { return table.Slice(xxhash.Sum64String(account.String() + "/" + region)) }
	const full = 3
	for i, groups := 0, 0; groups < full; i++ {
		if r := strconv.Itoa(i); slice(r) == slice("0") {
			groups++
			longest(ten, r, h)
			longest(ten+60, r, h)
		}
	}
	if n := len(h.parts()); n != 0 {
		t.Fatalf("%d parts", n)
	}
	saved := map[string][]byte{}
	err := h.p.Snapshot(func(key string, state []byte) {
		keys, largest, size = keys+1, max(largest, len(state)), size+len(state)
		saved[key] = state
	})
	if err != nil {
		t.Fatal(err)
	}
	if largest > runner.MaxBody || keys > 1+2*full { // one is the head
		t.Errorf("%d values, the largest of %d bytes", keys, largest)
	}
	t.Logf("%d full groups: %d values of %d bytes, the largest %d", full, keys, size, largest)
	restored := newHarness(t)
	for key, state := range saved {
		if err := restored.p.Restore(key, state); err != nil {
			t.Fatal(err)
		}
	}
	h.end(schemas.End{})
	restored.end(schemas.End{})
	if d := gocmp.Diff(h.parts(), restored.parts()); d != "" {
		t.Errorf("parts after a restore (-want +got):\n%s", d)
	}
}

// A state of version 0 had the ids of open minutes only.
func TestStateOfVersion0IsRead(t *testing.T) {
	id := binary.BigEndian.AppendUint64(nil, uint64(window.HashID("1")))
	entry, err := msgpack.Marshal([]any{"aws", account.ID, "r", 0, int32(ten), int32(ten - 15), int32(ten), id})
	if err != nil {
		t.Fatal(err)
	}
	h := newHarness(t)
	if err := h.p.Restore("groups.7.0", append(binary.AppendUvarint(nil, uint64(len(entry))), entry...)); err != nil {
		t.Fatal(err)
	}
	h.events(section(account, "r", 0, event{ten, "A", "1"}, event{ten, "A", "2"}))
	h.end(schemas.End{})
	h.wantParts(part{Region: "r", Hour: ten, Events: 1, Series: []string{"A w 0:1"}})
}

func TestBrokenStateIsNoPanic(t *testing.T) {
	h := newHarness(t)
	h.events(section(account, "r", 0, event{ten, "A", ""}, event{ten + 1, "B", ""}))
	saved := map[string][]byte{}
	if err := h.p.Snapshot(func(key string, state []byte) { saved[key] = state }); err != nil {
		t.Fatal(err)
	}
	for key, state := range saved {
		if !strings.HasPrefix(key, "groups.") {
			continue
		}
		for i := range state {
			for _, c := range []byte{0, 1, 0x7f, 0x80, 0xff} {
				spoiled := slices.Clone(state)
				spoiled[i] = c
				_ = aggregate.New(3).Restore(key, spoiled)                // may be another state, but is no panic
				_ = aggregate.New(3).Restore(key, slices.Clip(state[:i])) // neither
			}
		}
	}
}

// The sum of all parts is what happened, however the events are cut into batches; and the parts are the same bytes, whatever
// restarts there are, and whoever else is in the partition.
func TestPartsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var events []event
		want := map[string]uint64{}
		at := 3 * schemas.Day
		for i := range rapid.IntRange(1, 80).Draw(t, "events") {
			at += schemas.Minute(rapid.SampledFrom([]int{0, 0, 0, 1, 3, 20, 61, 3000}).Draw(t, "step"))
			back := schemas.Minute(rapid.SampledFrom([]int{0, 0, 0, 7, 16, 70, 1300, 1500, 3000}).Draw(t, "back"))
			e := event{at - back, rapid.SampledFrom([]string{"A", "B"}).Draw(t, "name"), strconv.Itoa(i)}
			events = append(events, e)
			want[fmt.Sprintf("%d %s", int(e.minute), e.name)]++
		}
		cuts := func(label string) (split [][]event) {
			for rest := events; len(rest) > 0; {
				n := rapid.IntRange(1, len(rest)).Draw(t, label)
				split, rest = append(split, rest[:n]), rest[n:]
			}
			return split
		}
		split := cuts("cut")
		got := outputs(t, split, nil, nil)
		if d := gocmp.Diff(want, sums(t, got)); d != "" {
			t.Fatalf("sums (-want +got):\n%s", d)
		}
		if d := gocmp.Diff(want, sums(t, outputs(t, cuts("other cut"), nil, nil))); d != "" {
			t.Fatalf("sums, cut otherwise (-want +got):\n%s", d)
		}
		restart := rapid.SliceOfN(rapid.Bool(), len(split)+1, len(split)+1).Draw(t, "restart")
		if !slices.EqualFunc(got, outputs(t, split, restart, nil), bytes.Equal) {
			t.Fatal("restarts change the parts")
		}
		if !slices.EqualFunc(got, outputs(t, split, restart, events), bytes.Equal) {
			t.Fatal("another account changes the parts")
		}
	})
}

// outputs returns the parts of an account, to the end of its input.
func outputs(t *rapid.T, batches [][]event, restart []bool, other []event) (parts [][]byte) {
	p := aggregate.New(3)
	saved := map[string][]byte{}
	subject := schemas.MetricsSubject("r", account)
	apply := func(subjectOf string, body []byte) {
		err := p.Apply(runner.Record{Subject: subjectOf, Body: body}, func(o runner.Output) {
			if o.Subject == subject {
				parts = append(parts, o.Body)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range len(batches) + 1 {
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
		if i == len(batches) {
			break
		}
		b := schemas.EventBatch{Sections: []schemas.Section{section(account, "r", 0, batches[i]...)}}
		if len(other) > i {
			b.Sections = append(b.Sections, section(schemas.Account{ID: "other"}, "r", 0, other[:i+1]...))
			slices.Reverse(b.Sections)
		}
		apply(schemas.EventsSubject(3, "r"), b.Append(nil))
	}
	apply(schemas.EventsControl(3, schemas.EndControl), (&schemas.End{}).Append(nil))
	return parts
}

// sums adds parts as a reader does.
func sums(t *rapid.T, parts [][]byte) map[string]uint64 {
	got := map[string]uint64{}
	for _, body := range parts {
		readPart(t, runner.Output{Subject: schemas.MetricsSubject("r", account), Body: body})
		var m schemas.Metrics
		if err := m.Decode(body); err != nil {
			t.Fatal(err)
		}
		for _, s := range m.Series {
			for _, c := range s.Minutes {
				got[fmt.Sprintf("%d %s", int(m.Hour)+int(c.Minute), m.Strings[s.Name])] += uint64(c.Count)
			}
		}
	}
	return got
}
