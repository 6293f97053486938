package model

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/pages"
	"github.com/trailvane/trailvane/schemas"
)

// byName counts every row by the name of its call.
func byName() Config {
	return Config{
		Counts:    func(*schemas.Row) bool { return true },
		ID:        func(r *schemas.Row) uint64 { return uint64(r.Name) },
		AppendKey: func(b []byte, p *schemas.Pane, r *schemas.Row) []byte { return append(b, p.Strings[r.Name]...) },
		Budget:    1,
	}
}

// pane has one call of each name in a minute, and a watermark a quarter of an hour before it.
func pane(m schemas.Minute, names ...string) *schemas.Pane {
	p := &schemas.Pane{Account: schemas.Account{Provider: schemas.AWS, ID: "1"}, Region: "r", Watermark: m - 15, Strings: []string{""}}
	for _, n := range names {
		p.Strings = append(p.Strings, n)
		p.Rows = append(p.Rows, schemas.Row{Minute: m, Name: uint32(len(p.Strings) - 1), Count: 1})
	}
	return p
}

func observe(m *Machine, p *schemas.Pane) (found []schemas.Finding) {
	m.Observe(p, schemas.DefaultSettings(), func(f *schemas.Finding) { found = append(found, *f) })
	return found
}

func snapshot(t testing.TB, m *Machine) map[string][]byte {
	t.Helper()
	state := make(map[string][]byte)
	if err := m.Snapshot(func(key string, b []byte) { state[key] = b }); err != nil {
		t.Fatal(err)
	}
	return state
}

func restore(t testing.TB, state map[string][]byte) *Machine {
	t.Helper()
	m := NewMachine(byName())
	for key, b := range state {
		if err := m.Restore(key, b); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
	}
	return m
}

// Names beyond the bound are one key; which ones have a key of their own does not depend on their order.
func TestKeysAreBounded(t *testing.T) {
	c := byName()
	c.MaxKeys = 3
	for _, names := range [][]string{{"a", "b", "c", "d", "e"}, {"e", "d", "c", "b", "a"}, {"d", "a", "e", "c", "b"}} {
		m := NewMachine(c)
		observe(m, pane(day1, names...))
		observe(m, pane(day1+1, "f", "a"))
		got := sortedKeys(m.accounts[schemas.Account{Provider: schemas.AWS, ID: "1"}].regions["r"].series)
		if want := fmt.Sprint([]string{OverflowKey, "a", "b", "c"}); fmt.Sprint(got) != want {
			t.Errorf("%v: keys %v, want %s", names, got, want)
		}
		s := m.accounts[schemas.Account{Provider: schemas.AWS, ID: "1"}].regions["r"].series[OverflowKey]
		if _, calls := pendingMinute(s.pending); calls != 2 {
			t.Errorf("%v: %d calls of the others in the first minute, want 2", names, calls)
		}
	}
}

// A key is evicted when it has been idle for longer than insights are kept, and not before.
func TestEviction(t *testing.T) {
	m := NewMachine(byName())
	observe(m, pane(day1, "once", "often"))
	keys := func() int { return m.accounts[schemas.Account{Provider: schemas.AWS, ID: "1"}].keys }
	for d := schemas.Minute(1); d < 100; d++ {
		observe(m, pane(day1+d*schemas.Day, "often"))
	}
	if keys() != 2 {
		t.Fatalf("%d keys after 99 days, want 2", keys())
	}
	for d := schemas.Minute(100); d < 103; d++ {
		observe(m, pane(day1+d*schemas.Day, "often"))
	}
	if keys() != 1 {
		t.Errorf("%d keys after 102 days, want 1", keys())
	}
	if again := restore(t, snapshot(t, m)); again.accounts[schemas.Account{Provider: schemas.AWS, ID: "1"}].keys != 1 {
		t.Error("an evicted key comes back with the state")
	}
}

// New values with every call do not fill the memory for ever.
func TestNamesAreWeeded(t *testing.T) {
	m := NewMachine(byName())
	for d := range schemas.Minute(20) {
		for i := range schemas.Minute(200) {
			p := pane(day1+d*schemas.Day+i*7, "call")
			for k := range uint32(30) {
				p.Strings = append(p.Strings, fmt.Sprintf("agent %d %d %d", d, i, k))
				r := p.Rows[0]
				r.UserAgent = uint32(len(p.Strings) - 1)
				p.Rows = append(p.Rows, r)
			}
			observe(m, p)
		}
	}
	if n := len(m.accounts[schemas.Account{Provider: schemas.AWS, ID: "1"}].names.of); n > 15000 {
		t.Errorf("%d strings are kept of 120,000", n)
	}
}

// What is too long is cut, and the key stays one.
func TestLongKey(t *testing.T) {
	m := NewMachine(byName())
	long := strings.Repeat("x", 3*MaxKey)
	observe(m, pane(day1, long))
	observe(m, pane(day1+1, long))
	r := m.accounts[schemas.Account{Provider: schemas.AWS, ID: "1"}].regions["r"]
	if s := r.series[long[:MaxKey]]; s == nil || len(s.pending) != 2 || len(r.series) != 1 {
		t.Errorf("series %v", sortedKeys(r.series))
	}
}

// A commit never has more than 500 changed keys, and series spread evenly over them.
func TestSlices(t *testing.T) {
	m := NewMachine(byName())
	names := make([]string, 40000)
	for i := range names {
		names[i] = fmt.Sprintf("service%d.example.com/DeleteThing%d", i%90, i)
	}
	for k := range 3 {
		for i := 0; i < len(names); i += 500 {
			observe(m, pane(day1+schemas.Minute(k)*50, names[i:i+500]...))
		}
	}
	state := snapshot(t, m)
	if len(state) > 500 {
		t.Errorf("%d keys in a commit", len(state))
	}
	largest, sum := 0, 0
	for _, b := range state {
		largest, sum = max(largest, len(b)), sum+len(b)
	}
	t.Logf("%d bytes a series", sum/len(names))
	if largest > 2*sum/len(state) {
		t.Errorf("the largest value has %d bytes, the mean is %d", largest, sum/len(state))
	}
	if len(snapshot(t, m)) != 0 {
		t.Error("a second snapshot has changes")
	}
	observe(m, pane(day1+200, names[0]))
	// The fold of what was pending touches everything; one more call then touches its slice and the account's.
	snapshot(t, m)
	p := pane(day1+201, names[0])
	p.Watermark = day1
	observe(m, p)
	if n := len(snapshot(t, m)); n != 2 {
		t.Errorf("one call changes %d keys, want 2", n)
	}
}

// A slice that outgrows a value goes on in others, which say that they are not needed when it shrinks.
func TestSliceInParts(t *testing.T) {
	whole := make([]byte, 2*maxValueBytes+100)
	for i := range whole {
		whole[i] = byte(i * 7)
	}
	state := make(map[string][]byte)
	changed := func(key string, b []byte) {
		if len(b) > maxValueBytes+4 {
			t.Errorf("%s: %d bytes", key, len(b))
		}
		state[key] = b
	}
	for _, want := range [][]byte{whole, whole[:maxValueBytes/2], whole[:maxValueBytes+1]} {
		var out slice[*series]
		out.parts = 3
		out.put("s", 7, want, changed)
		var in slice[*series]
		var got []byte
		for _, part := range []int{2, 0, 1} {
			err := in.take(part, state[sliceKey("s", 7, part)], func(b []byte) error { got = b; return nil })
			if err != nil {
				t.Fatal(err)
			}
		}
		if string(got) != string(want) {
			t.Errorf("got %d bytes back, want %d", len(got), len(want))
		}
	}
}

func TestRestoreRefuses(t *testing.T) {
	m := NewMachine(byName())
	observe(m, pane(day1, "a"))
	observe(m, pane(day1+100, "a"))
	var key string
	var good []byte
	for k, b := range snapshot(t, m) {
		if k[0] == 's' {
			key, good = k, b
		}
	}
	for name, c := range map[string]struct {
		key   string
		state []byte
	}{
		"empty":           {key, nil},
		"truncated":       {key, good[:len(good)-1]},
		"longer":          {key, append(good[:len(good):len(good)], 0)},
		"unknown key":     {"x001", good},
		"number too high": {"s448", good},
		"strange part":    {key + "-01", good},
	} {
		if err := NewMachine(byName()).Restore(c.key, c.state); !errors.Is(err, pages.ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
	newer := append([]byte{good[0], stateVersion + 1}, good[2:]...)
	if err := NewMachine(byName()).Restore(key, newer); !errors.Is(err, schemas.ErrVersion) {
		t.Errorf("newer state: %v", err)
	}
	twice := NewMachine(byName())
	if err := errors.Join(twice.Restore(key, good), twice.Restore(key, good)); !errors.Is(err, pages.ErrState) {
		t.Errorf("the same key twice: %v", err)
	}
}

// The nearest misses say which hour came near, and how far the line was; an hour with an insight is none.
func TestNearMisses(t *testing.T) {
	m := NewMachine(byName())
	at := func(m schemas.Minute, n uint32) *schemas.Pane {
		p := pane(m, "call")
		p.Rows[0].Count = n
		return p
	}
	for i := range schemas.Minute(8 * 24) {
		observe(m, at(day1+i*60, 1+uint32(i%3)))
		if l := m.Learning(); i == 20 && (len(l) != 1 || l[0].Seen != 20*60+1 || l[0].Needed != schemas.Day) {
			t.Errorf("learning: %+v", l)
		}
	}
	if l := m.Learning(); len(l) != 0 {
		t.Errorf("learning: %+v", l)
	}
	near := day1 + 8*schemas.Day + 30
	observe(m, at(near, 10))
	observe(m, at(near+20, 1))
	far := near + 5*60
	if found := observe(m, at(far, 2000)); len(found) != 1 || found[0].Kind != schemas.OpenFinding {
		t.Fatalf("found %+v", found)
	}
	got := restore(t, snapshot(t, m)).NearMisses()
	if len(got) == 0 || got[0].At != near || got[0].Object != "call" || got[0].Text == "" || !(got[0].Log10P > got[0].Line) {
		t.Fatalf("near misses %+v", got)
	}
	for _, n := range got {
		if n.At == far || math.IsNaN(n.Log10P) {
			t.Errorf("%+v is no near miss", n)
		}
	}
}

func BenchmarkSnapshot(b *testing.B) {
	m := NewMachine(byName())
	names := make([]string, 40000)
	for i := range names {
		names[i] = fmt.Sprintf("service%d.example.com/DeleteThing%d", i%90, i)
	}
	for k := range 20 {
		for i := 0; i < len(names); i += 500 {
			observe(m, pane(day1+schemas.Minute(k)*50, names[i:i+500]...))
		}
	}
	bytes := 0
	b.ReportAllocs()
	for b.Loop() {
		bytes = 0
		for i := range m.slices.series {
			m.slices.series[i].dirty = true
		}
		for _, v := range snapshot(b, m) {
			bytes += len(v)
		}
	}
	b.ReportMetric(float64(bytes)/float64(len(names)), "bytes/series")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(names)), "ns/series")
}

// An account has a bounded number of open insights, whatever alarms; the rest are near misses that say why. Which ones are open does
// not depend on a restart.
func TestOpenInsightsAreBounded(t *testing.T) {
	burst := func(restart bool) (opened []string, m *Machine) {
		m = NewMachine(byName())
		observe(m, pane(day1, "Quiet"))
		observe(m, pane(day1+2*1440, "Quiet"))
		p := pane(day1 + 2*1440 + 60)
		for i := range maxOpen + 50 {
			p.Strings = append(p.Strings, fmt.Sprint("Delete", i))
			p.Rows = append(p.Rows, schemas.Row{Minute: day1 + 2*1440 + 60, Name: uint32(len(p.Strings) - 1), Count: 5000})
		}
		found := observe(m, p)
		if restart {
			m = restore(t, snapshot(t, m))
		}
		found = append(found, observe(m, pane(day1+2*1440+90, "Quiet"))...) // folds
		for _, f := range found {
			if f.Kind == schemas.OpenFinding {
				opened = append(opened, f.Key)
			}
		}
		return opened, m
	}
	opened, m := burst(false)
	if len(opened) != maxOpen {
		t.Errorf("%d insights are open, want %d", len(opened), maxOpen)
	}
	if again, _ := burst(true); !slices.Equal(opened, again) {
		t.Errorf("after a restart others are open: %q, before %q", again, opened)
	}
	observe(m, pane(day1+2*1440+200, "Quiet"))
	if misses := m.NearMisses(); len(misses) == 0 || !strings.Contains(misses[0].Text, fmt.Sprintf("had %d insights", maxOpen)) {
		t.Errorf("the nearest misses do not say why: %+v", misses)
	}
}
