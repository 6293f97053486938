package model

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/trailvane/trailvane/schemas"
)

// Linear counting is right to a tenth or so, and exact for few things, as far as they do not collide.
func TestSetCounts(t *testing.T) {
	n := newNames(maxTuples)
	for _, c := range []struct {
		things int
		within float64
	}{{0, 0}, {1, 0.05}, {5, 0.1}, {20, 0.15}, {60, 0.15}, {200, 0.2}, {400, 0.3}} {
		bad := 0
		for trial := range 100 {
			var s set
			for i := range c.things {
				s.add(n.hash[n.intern(fmt.Sprintf("service%d.example.com/DescribeThing%d", i%7, 1000*trial+i))])
			}
			if math.Abs(s.size()-float64(c.things)) > c.within*float64(c.things)+1.1 {
				bad++
			}
		}
		if bad > 10 {
			t.Errorf("%d of 100 sets of %d things are miscounted", bad, c.things)
		}
	}
	full := set{math.MaxUint64, math.MaxUint64}
	if s := full.size(); s < 600 || s > 800 {
		t.Errorf("a full set has %v things", s)
	}
}

// A look ahead never says less of a minute when more had come before it.
func TestBreadthIsMonotone(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	p := testPrior
	p.breadth = newBreadthPool().prior()
	for range 200 {
		b := newBreadth(day1)
		for h := range schemas.Minute(30) {
			var some set
			for range 1 + r.IntN(9) {
				some.add(uint64(r.IntN(40)))
			}
			b.fold(day1+h*60, some, &p, h > 0, &score{})
			b.closeBlock(day1+h*60+60, false)
		}
		few, many := b.lookout(&p, true, true), b.lookout(&p, true, true)
		for m := range schemas.Minute(90) {
			var less, more set
			for range r.IntN(4) {
				less.add(r.Uint64())
			}
			for more = less; r.IntN(2) == 0; {
				more.add(r.Uint64())
			}
			one, two := score{minute: m}, score{minute: m}
			few.see(day1+1800+m, less, &one)
			many.see(day1+1800+m, more, &two)
			if one.elevated && (!two.elevated || two.lnP > one.lnP) || one.rarest < two.rarest {
				t.Fatalf("minute %d: %+v with fewer things, %+v with more", m, one, two)
			}
		}
	}
}

// denied is the machine of a fan-out: which principal is denied many different calls. Its rate is nobody's business.
func denied() Config {
	return Config{
		Counts:    func(r *schemas.Row) bool { return r.ErrorCode != 0 },
		ID:        func(r *schemas.Row) uint64 { return uint64(r.Principal) },
		AppendKey: func(b []byte, p *schemas.Pane, r *schemas.Row) []byte { return append(b, p.Strings[r.Principal]...) },
		Budget:    1, Breadth: BreadthOnly, API: true,
	}
}

// deniedPane has one call of a principal on each of the APIs from, ..., to-1, denied n times.
func deniedPane(m schemas.Minute, who string, from, to int, n uint32) *schemas.Pane {
	p := pane(m)
	p.Strings = append(p.Strings, who, "AccessDenied", "service")
	for i := from; i < to; i++ {
		p.Strings = append(p.Strings, fmt.Sprint("DescribeThing", i))
		p.Rows = append(p.Rows, schemas.Row{Minute: m, Service: 3, Name: uint32(len(p.Strings) - 1), Principal: 1, ErrorCode: 2, Count: n})
	}
	return p
}

// One denied call on each of two hundred APIs is told; a loop that is denied one call, however often, is not.
func TestFanOut(t *testing.T) {
	m := NewMachine(denied())
	for i := range schemas.Minute(5 * 24) {
		observe(m, deniedPane(day1+i*60, "alice", int(i%2), int(i%2)+1, 1))
	}
	at := day1 + 5*schemas.Day
	if found := observe(m, deniedPane(at, "alice", 0, 1, 100000)); len(found) != 0 {
		t.Errorf("one call in a loop: %+v", found)
	}
	var found []schemas.Finding
	for i := range schemas.Minute(10) {
		found = append(found, observe(m, deniedPane(at+2*schemas.Hour+i, "alice", int(i)*20, int(i)*20+20, 1))...)
	}
	m = restoreAs(t, denied(), snapshot(t, m))
	tick := pane(at + 4*schemas.Hour)
	found = append(found, observe(m, tick)...)
	if len(found) != 2 || found[0].Start != at+2*schemas.Hour || found[1].End != at+2*schemas.Hour+10 || found[1].Why.Route != "breadth" ||
		found[1].Why.Rate.Breadth < 160 || found[1].Why.Rate.Breadth > 240 || !found[1].Why.Confirmed {
		t.Errorf("%+v", found)
	}
}

// A scanner that is denied two hundred APIs every day is a habit.
func TestDailyScannerIsSilent(t *testing.T) {
	m := NewMachine(denied())
	told := map[schemas.Minute]bool{}
	for d := range schemas.Minute(20) {
		for i := range schemas.Minute(10) {
			for _, f := range observe(m, deniedPane(day1+d*schemas.Day+i, "scanner", int(i)*20, int(i)*20+20, 1)) {
				told[d] = told[d] || f.Kind == schemas.OpenFinding
			}
		}
	}
	for d := range told {
		if d > 3 {
			t.Errorf("told on day %d", d)
		}
	}
}

// Episodes of one hour, too far apart to be one, are told each, and what is over is not told again by calls that are not new.
func TestEpisodesOfAnHour(t *testing.T) {
	m := NewMachine(denied())
	for i := range schemas.Minute(5 * 24) {
		observe(m, deniedPane(day1+i*60, "alice", int(i%2), int(i%2)+1, 1))
	}
	at := day1 + 5*schemas.Day
	var starts []schemas.Minute
	for i := range schemas.Minute(60) {
		from, to := 1, 2 // not new
		switch i {
		case 2:
			from, to = 0, 60
		case 40:
			from, to = 60, 130
		}
		for _, f := range observe(m, deniedPane(at+i, "alice", from, to, 1)) {
			if f.Kind == schemas.OpenFinding {
				starts = append(starts, f.Start-at)
			}
		}
	}
	observe(m, pane(at+200))
	if !slices.Equal(starts, []schemas.Minute{2, 40}) {
		t.Errorf("Starts at minutes %v, want 2 and 40", starts)
	}
}

// State of a machine that counts different calls is of no use to one that does not, and the other way round.
func TestBreadthStateIsItsOwn(t *testing.T) {
	one, other := NewMachine(denied()), NewMachine(byName())
	p := deniedPane(day1, "alice", 0, 3, 1)
	observe(one, p)
	observe(one, pane(day1+100))
	observe(other, p)
	observe(other, pane(day1+100))
	for _, c := range []struct {
		state map[string][]byte
		into  Config
	}{{snapshot(t, one), byName()}, {snapshot(t, other), denied()}} {
		m, refused := NewMachine(c.into), false
		for key, b := range c.state {
			refused = m.Restore(key, b) != nil || refused
		}
		if !refused {
			t.Error("state of another kind of machine is taken")
		}
	}
}
