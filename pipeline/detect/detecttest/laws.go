// Package detecttest holds every detector to the same promises. A detector's test is three lines:
//
//	func TestLaws(t *testing.T)      { detecttest.Laws(t, newDetector, detecttest.Rate) }
//	func TestScenarios(t *testing.T) { detecttest.Scenarios(t, newDetector, "testdata") }
//	func FuzzRestore(f *testing.F)   { detecttest.FuzzRestore(f, newDetector) }
//
// and a benchmark a fourth. The laws are those of the detection specification: a detector is a function of its panes, its
// state is all there is of it, an account is alone in the world, and an insight is one Start and one End.
package detecttest

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/schemas"
)

// New makes an empty detector.
type New func() detect.Detector

// A Kind says which of the laws hold, beyond those that hold for all.
type Kind int

const (
	// Ordered detectors use the order of rows inside a pane.
	Ordered Kind = iota

	// Rate detectors count: the order of rows changes nothing, and more calls never take an alarm away.
	Rate
)

// Days of made-up traffic: two of learning, some of bursts, midnights between them, and an outage on the eighth, which is soon
// enough for one to be known.
const days = 9

// An Option says how the laws apply to a detector.
type Option func(*options)

type options struct {
	more func(r *schemas.Row) bool // rows of which more never take an alarm away
}

// MoreOf limits the law of Rate detectors, that more calls never take an alarm away, to more calls of some rows: those that the
// detector counts. Without it the law adds to all rows. A detector that judges what it counts as a share of other rows needs it,
// because more of the others are more to compare with.
func MoreOf(rows func(r *schemas.Row) bool) Option { return func(o *options) { o.more = rows } }

// Laws runs every law as a subtest.
func Laws(t *testing.T, newDetector New, kind Kind, opts ...Option) {
	o := options{more: func(*schemas.Row) bool { return true }}
	for _, set := range opts {
		set(&o)
	}
	panes := Traffic(1, "111111111111", days)
	want := run(newDetector(), panes)
	opened := 0
	for _, f := range want.findings {
		if f.Kind == schemas.OpenFinding {
			opened++
		}
	}
	t.Logf("%d panes, %d insights, %d state keys", len(panes), opened, len(want.state))

	t.Run("same panes, same findings", func(t *testing.T) { compare(t, want, run(newDetector(), panes)) })
	t.Run("snapshot and restore change nothing", func(t *testing.T) {
		for _, every := range []int{7, 101} {
			compare(t, want, runRestoring(t, newDetector, panes, func(i int) bool { return i%every == every-1 }))
		}
		busy := aroundFindings(newDetector(), panes)
		compare(t, want, runRestoring(t, newDetector, panes, func(i int) bool { return busy[i] }))
	})
	t.Run("one End per Start", func(t *testing.T) { pairs(t, want.findings) })
	t.Run("figures make sense", func(t *testing.T) { figures(t, want.findings) })
	t.Run("nothing in the first 24 hours", func(t *testing.T) { learning(t, newDetector) })
	t.Run("accounts are independent", func(t *testing.T) { independent(t, newDetector, panes, want) })
	t.Run("an end pane ends everything", func(t *testing.T) { ends(t, newDetector, panes) })
	t.Run("no id comes twice", func(t *testing.T) { repeats(t, newDetector, panes) })
	t.Run("floods", func(t *testing.T) { flood(t, newDetector) })
	t.Run("a commit can hold what changes", func(t *testing.T) { keys(t, newDetector) })
	t.Run("a message can hold any value", func(t *testing.T) { values(t, newDetector) })
	t.Run("splitting a pane changes nothing", func(t *testing.T) { split(t, newDetector, panes, want) })
	if kind == Rate {
		t.Run("order of rows changes nothing", func(t *testing.T) { shuffle(t, newDetector, panes, want) })
		t.Run("more calls never take an alarm away", func(t *testing.T) { monotone(t, newDetector, panes, o.more) })
	}
}

// A result is everything that a detector says and keeps.
type result struct {
	findings []schemas.Finding
	state    map[string][]byte
}

func (r *result) observe(d detect.Detector, p *schemas.Pane) {
	d.Observe(p, schemas.DefaultSettings(), func(f *schemas.Finding) {
		g := *f
		g.Account, g.Region, g.Type = p.Account, p.Region, d.Type()
		r.findings = append(r.findings, g)
	})
}

func (r *result) snapshot(d detect.Detector) {
	if err := d.Snapshot(func(key string, state []byte) { r.state[key] = state }); err != nil {
		panic(err) // a snapshot goes to memory
	}
}

func run(d detect.Detector, panes []schemas.Pane) result {
	r := result{state: make(map[string][]byte)}
	for i := range panes {
		r.observe(d, &panes[i])
	}
	r.snapshot(d)
	return r
}

// aroundFindings says which panes are at most twenty before or after one with a finding.
func aroundFindings(d detect.Detector, panes []schemas.Pane) []bool {
	busy := make([]bool, len(panes))
	var r result
	for i := range panes {
		before := len(r.findings)
		if r.observe(d, &panes[i]); len(r.findings) == before {
			continue
		}
		for k := max(0, i-20); k < min(len(panes), i+20); k++ {
			busy[k] = true
		}
	}
	return busy
}

// runRestoring gives the state to a new detector after some of the panes.
func runRestoring(t *testing.T, newDetector New, panes []schemas.Pane, after func(int) bool) result {
	t.Helper()
	r := result{state: make(map[string][]byte)}
	d := newDetector()
	for i := range panes {
		r.observe(d, &panes[i])
		if after(i) {
			r.snapshot(d)
			d = restored(t, newDetector, r.state)
		}
	}
	r.snapshot(d)
	return r
}

func restored(t testing.TB, newDetector New, state map[string][]byte) detect.Detector {
	t.Helper()
	d := newDetector()
	for key, value := range state { // in any order
		if err := d.Restore(key, value); err != nil {
			t.Fatalf("restore %s: %v", key, err)
		}
	}
	return d
}

func compare(t *testing.T, want, got result) {
	t.Helper()
	if d := cmp.Diff(want.findings, got.findings); d != "" {
		t.Fatalf("findings differ (-want +got):\n%.4000s", d)
	}
	compareState(t, want, got)
}

func compareState(t *testing.T, want, got result) {
	t.Helper()
	all := maps.Clone(want.state)
	maps.Copy(all, got.state)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if string(want.state[key]) != string(got.state[key]) { // an empty value is as none: keys are never deleted
			t.Fatalf("state key %s differs:\n%x\n%x", key, want.state[key], got.state[key])
		}
	}
}

// insightKey is what an insight id is made of.
func insightKey(f *schemas.Finding) string {
	return fmt.Sprintf("%s/%s/%s/%d", f.Account, f.Region, f.Key, f.Ordinal)
}

func pairs(t *testing.T, findings []schemas.Finding) {
	open := make(map[string]schemas.Finding)
	next := make(map[string]uint32)
	for _, f := range findings {
		key := f.Account.String() + "/" + f.Region + "/" + f.Key
		o, isOpen := open[key]
		switch f.Kind {
		case schemas.OpenFinding:
			if isOpen {
				t.Errorf("%s: opened twice", key)
			}
			if f.Ordinal != next[key] {
				t.Errorf("%s: ordinal %d, want %d", key, f.Ordinal, next[key])
			}
			next[key]++
			open[key] = f
		case schemas.CloseFinding:
			switch {
			case !isOpen || o.Ordinal != f.Ordinal:
				t.Errorf("%s: End of %d without Start", key, f.Ordinal)
			case f.Start != o.Start:
				t.Errorf("%s: began at %s, but its End says %s", key, o.Start, f.Start)
			case f.End < f.Start+1:
				t.Errorf("%s: ends at %s, began at %s", key, f.End, f.Start)
			case f.End > f.Start+schemas.Day:
				t.Errorf("%s: lasts longer than a day: %s to %s", key, f.Start, f.End)
			case f.Why.EndReason == "":
				t.Errorf("%s: no reason for the End", key)
			}
			delete(open, key)
		}
	}
	for key := range open {
		t.Errorf("%s: no End", key)
	}
}

func figures(t *testing.T, findings []schemas.Finding) {
	for _, f := range findings {
		s := f.Statistics
		name := insightKey(&f)
		for what, x := range map[string]float64{
			"insight": s.Insight, "baseline": s.Baseline, "log10p": -f.Why.Log10P, "oneIn": f.Why.OneIn, "alpha": f.Why.Alpha,
			"tested30d": f.Why.Tested30d, "modelAgeDays": f.Why.ModelAgeDays,
		} {
			if math.IsNaN(x) || math.IsInf(x, 0) || x < 0 {
				t.Errorf("%s: %s is %v", name, what, x)
			}
		}
		if s.InsightDuration < 1 || s.BaselineDuration < 1 || s.InsightCount < 1 {
			t.Errorf("%s: statistics %+v", name, s)
		}
		if want := float64(s.InsightCount) / float64(s.InsightDuration); math.Abs(want-s.Insight) > 1e-5*want {
			t.Errorf("%s: insight average %v, but %d calls in %d minutes", name, s.Insight, s.InsightCount, s.InsightDuration)
		}
		if f.Kind == schemas.CloseFinding && s.InsightDuration != uint32(f.End-f.Start) {
			t.Errorf("%s: duration %d, but %s to %s", name, s.InsightDuration, f.Start, f.End)
		}
		if f.Why.Text == "" || f.Why.Detector == "" || f.Why.ModelVersion == "" || f.Object == "" {
			t.Errorf("%s: not explained: %+v", name, f.Why)
		}
		for _, a := range f.Attributions {
			for _, side := range [][]schemas.Attributed{a.Insight, a.Baseline} {
				if len(side) > schemas.MaxAttributed {
					t.Errorf("%s: %d values of %s", name, len(side), a.Attribute)
				}
				if !slices.IsSortedFunc(side, func(x, y schemas.Attributed) int { return -int(sign(x.Average - y.Average)) }) {
					t.Errorf("%s: %s is not descending: %v", name, a.Attribute, side)
				}
			}
		}
	}
}

func sign(x float64) float64 {
	switch {
	case x < 0:
		return -1
	case x > 0:
		return 1
	}
	return 0
}

// learning gives a new account a terrible first day.
func learning(t *testing.T, newDetector New) {
	f := Feed{Account: schemas.Account{Provider: schemas.Alibaba, ID: "2"}, Region: "cn-hangzhou", Lateness: 15}
	var calls []Call
	for m := range schemas.Day {
		c := Call{Minute: Epoch + 700 + m, Service: "Ecs", Event: "DeleteInstance", Principal: "p", Count: 1, Error: "Forbidden"}
		if m%200 > 180 {
			c.Count = 5000
		}
		calls = append(calls, c)
	}
	got := run(newDetector(), append(f.Panes(calls, 3), f.End()))
	if len(got.findings) != 0 {
		t.Errorf("found in the learning time: %+v", got.findings[0])
	}
}

func independent(t *testing.T, newDetector New, panes []schemas.Pane, want result) {
	neighbour := Traffic(2, "999999999999", days)
	d := newDetector()
	got := result{}
	for i := range panes {
		for k := i * len(neighbour) / len(panes); k < (i+1)*len(neighbour)/len(panes); k++ {
			(&result{}).observe(d, &neighbour[k])
		}
		got.observe(d, &panes[i])
	}
	if d := cmp.Diff(want.findings, got.findings); d != "" {
		t.Fatalf("a neighbour changes findings (-alone +with):\n%.4000s", d)
	}
}

// ends cuts the traffic while as many insights are open as there ever are, and sends an end to each region.
func ends(t *testing.T, newDetector New, panes []schemas.Pane) {
	var all result
	open, most, cut := 0, 0, 0
	d := newDetector()
	for i := range panes {
		before := len(all.findings)
		all.observe(d, &panes[i])
		for _, f := range all.findings[before:] {
			switch f.Kind {
			case schemas.OpenFinding:
				open++
			case schemas.CloseFinding:
				open--
			}
		}
		if open > most {
			most, cut = open, i
		}
	}
	if most == 0 {
		t.Fatal("nothing was found in the traffic: the laws of insights were not tested")
	}
	t.Logf("%d insights are open", most)
	var r result
	d = newDetector()
	for i := range panes[:cut+1] {
		r.observe(d, &panes[i])
	}
	before := len(r.findings)
	for _, region := range []string{"eu-west-1", "us-east-1"} {
		last := panes[cut]
		end := schemas.Pane{Account: last.Account, Region: region, Watermark: last.Watermark + 16, Close: true}
		r.observe(d, &end)
	}
	pairs(t, r.findings)
	if n := len(r.findings) - before; n != most {
		t.Errorf("%d findings at the end, want %d Ends", n, most)
	}
}

// repeats lets the same traffic come again after months in which every key was idle: what has been forgotten of them must not
// lead to ids that there have been.
func repeats(t *testing.T, newDetector New, panes []schemas.Pane) {
	const pause = 21 * 7 * schemas.Day // longer than anything is remembered
	d := newDetector()
	var r result
	told := make(map[string]bool)
	for again := range schemas.Minute(3) {
		r.findings = nil
		for i := range panes {
			p := panes[i]
			p.Watermark += again * pause
			p.Rows = slices.Clone(p.Rows)
			for k := range p.Rows {
				p.Rows[k].Minute += again * pause
			}
			r.observe(d, &p)
		}
		for _, f := range r.findings {
			if f.Kind != schemas.OpenFinding {
				continue
			}
			if told[insightKey(&f)] {
				t.Errorf("%s was told before", insightKey(&f))
			}
			told[insightKey(&f)] = true
		}
		for _, last := range panes[len(panes)-4:] { // of every region
			p := schemas.Pane{Account: last.Account, Region: last.Region, Watermark: Epoch + again*pause + pause - schemas.Day}
			r.observe(d, &p)
		}
	}
	t.Logf("%d insights", len(told))
}

// flood sends as many calls as a row can hold, in many rows and for a long time.
func flood(t *testing.T, newDetector New) {
	f := Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "3"}, Region: "r", Lateness: 15}
	var calls []Call
	for m := schemas.Minute(0); m < 3*schemas.Day; m += 10 {
		c := Call{Minute: Epoch + m, Service: "s", Event: "e", Principal: "p", Error: "x", Count: 1}
		if m > 2*schemas.Day {
			c.Count = math.MaxUint32
			for i := range 200 {
				c.UserAgent = fmt.Sprint("agent ", i)
				calls = append(calls, c)
			}
		}
		calls = append(calls, c)
	}
	calls = append(calls, Call{Minute: Epoch + 4*schemas.Day, Service: "s", Event: "e", Count: math.MaxUint32})
	panes := append(f.Panes(calls, 30), f.Tick(Epoch+200*schemas.Day), f.Tick(Epoch+90000*schemas.Day), f.End())
	got := run(newDetector(), panes)
	pairs(t, got.findings)
	figures(t, got.findings)
	restored(t, newDetector, got.state)
}

// split cuts panes into parts, in the order of their rows, of which only the last moves the watermark.
func split(t *testing.T, newDetector New, panes []schemas.Pane, want result) {
	r := rand.New(rand.NewPCG(3, 3))
	var parts []schemas.Pane
	for _, p := range panes {
		watermark := schemas.Minute(math.MinInt32)
		for _, before := range slices.Backward(parts) {
			if before.Region == p.Region {
				watermark = before.Watermark
				break
			}
		}
		rows := p.Rows
		for len(rows) > 1 {
			n := 1 + r.IntN(len(rows))
			if n == len(rows) {
				break
			}
			part := p
			part.Rows, part.Watermark, part.Close = rows[:n], watermark, false
			parts = append(parts, part)
			rows = rows[n:]
		}
		p.Rows = rows
		parts = append(parts, p)
	}
	got := run(newDetector(), parts)
	compareState(t, want, got)
	if d := cmp.Diff(lasting(want.findings), lasting(got.findings)); d != "" {
		t.Fatalf("ids or Ends differ in %d instead of %d panes (-whole +split):\n%.4000s", len(parts), len(panes), d)
	}
}

// lasting are the parts of findings that do not depend on how panes were cut: the ids of Starts, and whole Ends.
func lasting(findings []schemas.Finding) []schemas.Finding {
	var out []schemas.Finding
	for _, f := range findings {
		if f.Kind == schemas.OpenFinding {
			f = schemas.Finding{Kind: f.Kind, Key: f.Key, Ordinal: f.Ordinal, Start: f.Start, Region: f.Region}
		}
		out = append(out, f)
	}
	return out
}

func shuffle(t *testing.T, newDetector New, panes []schemas.Pane, want result) {
	r := rand.New(rand.NewPCG(4, 4))
	mixed := slices.Clone(panes)
	for i := range mixed {
		mixed[i].Rows = slices.Clone(mixed[i].Rows)
		r.Shuffle(len(mixed[i].Rows), func(a, b int) {
			rows := mixed[i].Rows
			rows[a], rows[b] = rows[b], rows[a]
		})
	}
	compare(t, want, run(newDetector(), mixed))
}

// monotone compares a pane with the same one with more calls in some of its rows, both without a new watermark: what the first
// opens, the second must open too.
func monotone(t *testing.T, newDetector New, panes []schemas.Pane, more func(*schemas.Row) bool) {
	r := rand.New(rand.NewPCG(5, 5))
	live := newDetector()
	state := result{state: make(map[string][]byte)}
	compared := 0
	for i, p := range panes {
		if i%11 == 10 && len(p.Rows) > 0 {
			state.snapshot(live)
			less, larger := p, p
			less.Watermark, less.Close = math.MinInt32, false
			larger.Watermark, larger.Close = math.MinInt32, false
			less.Rows, larger.Rows = slices.Clone(p.Rows), slices.Clone(p.Rows)
			for k := range less.Rows {
				if add := uint32(r.IntN(100)); more(&p.Rows[k]) {
					less.Rows[k].Count *= uint32(1 + r.IntN(60))
					larger.Rows[k].Count = less.Rows[k].Count + add
				}
			}
			var few, many result
			few.observe(restored(t, newDetector, state.state), &less)
			many.observe(restored(t, newDetector, state.state), &larger)
			for _, f := range few.findings {
				compared++
				if !slices.ContainsFunc(many.findings, func(g schemas.Finding) bool { return insightKey(&f) == insightKey(&g) }) {
					t.Fatalf("%s opens, but not with more calls", insightKey(&f))
				}
			}
		}
		(&result{}).observe(live, &panes[i])
	}
	t.Logf("%d early Starts compared", compared)
}

// FuzzRestore gives a detector state that it did not write: it may refuse it, but never panic, neither then nor on the next
// panes.
func FuzzRestore(f *testing.F, newDetector New) {
	d := newDetector()
	panes := Traffic(6, "111111111111", 3)
	r := result{state: make(map[string][]byte)}
	for i := range panes[:len(panes)/2] {
		r.observe(d, &panes[i])
	}
	r.snapshot(d)
	keys := slices.Sorted(maps.Keys(r.state))
	for i, key := range keys {
		if i%8 == 0 || i == len(keys)-1 {
			f.Add(key, r.state[key])
		}
	}
	f.Add("", []byte{})
	f.Fuzz(func(t *testing.T, key string, state []byte) {
		d := newDetector()
		if d.Restore(key, state) != nil {
			return
		}
		for i := range 3 {
			d.Observe(&panes[len(panes)/2+i], schemas.DefaultSettings(), func(*schemas.Finding) {})
		}
		last := panes[len(panes)-1]
		d.Observe(&last, schemas.DefaultSettings(), func(*schemas.Finding) {})
		if err := d.Snapshot(func(string, []byte) {}); err != nil {
			t.Fatal(err)
		}
	})
}

// Benchmark measures Observe on panes of many series: each pane has one call of every hundredth series, a minute later than
// the one before. It reports the time per row, which is one active minute of one series. The calls are changed as is said, for
// detectors that look at others than successful deletions.
func Benchmark(b *testing.B, name string, newDetector New, change ...func(*Call)) {
	for _, series := range []int{1000, 100000} {
		b.Run(fmt.Sprintf("detector=%s/series=%d", name, series), func(b *testing.B) {
			d := newDetector()
			f := Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "1"}, Region: "r", Lateness: 15}
			part := series / 100
			panes := make([]schemas.Pane, 100)
			for i := range panes {
				calls := make([]Call, 0, part)
				for k := range part {
					c := Call{Minute: Epoch, Service: "service", Event: fmt.Sprintf("Delete%d", k*100+i), Count: 1,
						Principal: fmt.Sprint("user", k%7), UserAgent: "aws-cli/2", SourceIP: "192.0.2.7", AccessKey: "AKIA1"}
					for _, f := range change {
						f(&c)
					}
					calls = append(calls, c)
				}
				panes[i] = f.Pane(calls)
			}
			minute := Epoch
			step := func() {
				p := &panes[int(minute)%len(panes)]
				for k := range p.Rows {
					p.Rows[k].Minute = minute
				}
				p.Watermark = minute - 15
				d.Observe(p, schemas.DefaultSettings(), func(*schemas.Finding) {})
				minute++
			}
			for range 300 {
				step()
			}
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(part), "ns/row")
		})
	}
}
