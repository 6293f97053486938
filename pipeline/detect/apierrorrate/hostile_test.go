package apierrorrate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/trailvane/trailvane/pipeline/detect/detecttest"
	"github.com/trailvane/trailvane/schemas"
)

// letters makes codes that normalisation cannot make equal.
func letters(n int) string {
	b := []byte("Code")
	for range 5 {
		b = append(b, byte('a'+n%26))
		n /= 26
	}
	return string(b)
}

func snapshot(t *testing.T, d *Detector) map[string]string {
	t.Helper()
	state := make(map[string]string)
	if err := d.Snapshot(func(key string, b []byte) { state[key] = string(b) }); err != nil {
		t.Fatal(err)
	}
	return state
}

// A million codes of one call are 65 keys, and do not fill the memory with their names.
func TestMillionCodes(t *testing.T) {
	d := New()
	f := detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "1"}, Region: "r", Lateness: 15}
	watched := 0
	panes := schemas.Minute(1000)
	if testing.Short() {
		panes = 100
	}
	for i := range panes {
		calls := make([]detecttest.Call, 0, 1000)
		for k := range 1000 {
			calls = append(calls, detecttest.Call{Minute: detecttest.Epoch + i*3, Service: "s", Event: "e", Error: letters(int(i)*1000 + k), Count: 1})
		}
		watched += len(watch(d, []schemas.Pane{f.Pane(calls)}))
	}
	watched += len(watch(d, []schemas.Pane{f.Tick(detecttest.Epoch + 5*schemas.Day), f.End()}))
	if watched > 4 {
		t.Errorf("%d findings of a flood, want few", watched)
	}
	size := 0
	for _, b := range snapshot(t, d) {
		size += len(b)
	}
	if size > 100<<10 {
		t.Errorf("%d bytes of state", size)
	}
}

// Which codes have a key of their own depends neither on how panes are cut nor on the order of their rows.
func TestCodesAreAdmittedInOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	f := detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "1"}, Region: "r", Lateness: 15}
	var panes []schemas.Pane
	for i := range schemas.Minute(40) {
		var calls []detecttest.Call
		for range 30 {
			calls = append(calls, detecttest.Call{Minute: detecttest.Epoch + i*5 + schemas.Minute(r.IntN(5)), Service: "s",
				Event: fmt.Sprint("e", r.IntN(3)), Error: letters(r.IntN(1000)), Count: 1},
				detecttest.Call{Minute: detecttest.Epoch + i*5 + schemas.Minute(r.IntN(5)), Service: "s", Event: fmt.Sprint("e", r.IntN(3)), Count: 2})
		}
		panes = append(panes, f.Pane(calls))
	}
	panes = append(panes, f.End())
	whole := New()
	watch(whole, panes)
	want := snapshot(t, whole)

	var parts []schemas.Pane
	mixed := slices.Clone(panes)
	watermark := schemas.Minute(-1 << 31)
	for i, p := range panes {
		for n := 0; n+7 < len(p.Rows); n += 7 {
			part := p
			part.Rows, part.Watermark, part.Close = p.Rows[n:n+7], watermark, false
			parts = append(parts, part)
		}
		last := p
		last.Rows = p.Rows[max(0, (len(p.Rows)-1)/7*7):]
		parts = append(parts, last)
		watermark = p.Watermark
		mixed[i].Rows = slices.Clone(p.Rows)
		r.Shuffle(len(p.Rows), func(a, b int) { mixed[i].Rows[a], mixed[i].Rows[b] = mixed[i].Rows[b], mixed[i].Rows[a] })
	}
	for name, some := range map[string][]schemas.Pane{"cut": parts, "mixed": mixed} {
		d := New()
		watch(d, some)
		got := snapshot(t, d)
		for key := range want {
			if want[key] != got[key] {
				t.Errorf("%s: state key %s differs", name, key)
			}
		}
	}
}

// A call that never fails has no state.
func TestSuccessCostsNothing(t *testing.T) {
	d := New()
	f := detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "1"}, Region: "r", Lateness: 15}
	size := func(calls int) int {
		for i := range calls {
			watch(d, []schemas.Pane{f.Pane([]detecttest.Call{{Minute: detecttest.Epoch, Service: "s", Event: fmt.Sprint("e", i), Count: 9}})})
		}
		n := 0
		for _, b := range snapshot(t, d) {
			n += len(b)
		}
		return n
	}
	if few, many := size(1), size(1000); many > few+16 {
		t.Errorf("%d bytes after one call, %d after a thousand others", few, many)
	}
}

// A thousand million failures in a minute are one insight with finite figures.
func TestThousandMillionFailures(t *testing.T) {
	d, f := habit(t)
	found := watch(d, attack(f, 3, 1e9, nil))
	if len(found) != 2 || found[1].Statistics.InsightCount != 3e9 || !(found[1].Why.Log10P < -10) {
		t.Errorf("%+v", found)
	}
}
