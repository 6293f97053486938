package model

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/trailvane/trailvane/schemas"
)

const day1 = schemas.Minute(29459520) // Monday, 2026-01-05

var testPrior = func() prior {
	a := newAccount(schemas.Account{}, new(Config))
	return a.prior()
}()

// drive folds calls(i) into minute i, zero being no row, and closes blocks as a machine does.
func drive(r *rate, from, to schemas.Minute, calls func(m schemas.Minute) uint64) (last score) {
	for m := from; m < to; m++ {
		if y := calls(m); y > 0 {
			if h := hourOf(m); h != r.block {
				r.closeBlock(h)
			}
			last = r.fold(m, y, &testPrior)
		}
	}
	return last
}

func busy(m schemas.Minute) uint64 {
	if m%7 == 0 {
		return uint64(1 + m/7%3 + (m/60%24)/6)
	}
	return 0
}

// DETECTION 10.5, law 1: the closed form of a gap is the minute loop.
func TestGapIsTheMinuteLoop(t *testing.T) {
	for _, seasoned := range []bool{false, true} {
		for gap := schemas.Minute(1); gap <= longestExact; gap = gap*5/4 + 1 {
			r := newRate(day1)
			drive(&r, day1, day1+3*schemas.Day+123, busy)
			if !seasoned {
				r.season = nil
			}
			closed, loop := r.flow, r.flow
			closed.idle(r.last+1+gap, r.season, nil, false)

			var lambda, s float64
			for m := r.last + 1; m < r.last+1+gap; m++ {
				if m == r.last+1 || m%60 == 0 { // mu is frozen at the start of a segment
					s = r.season.factor(slotOf(m))
					lambda = loop.a / loop.b
				}
				for w := range windows {
					loop.s[w] *= math.Exp(-1 / tau[w])
					loop.m[w] = loop.m[w]*math.Exp(-1/tau[w]) + lambda*s
				}
				loop.a *= math.Exp2(-1. / halfLife)
				loop.b = loop.b*math.Exp2(-1./halfLife) + s
			}
			loop.last = closed.last
			near(t, fmt.Sprintf("gap %d, season %v", gap, seasoned), closed, loop)
		}
	}
}

// Beyond a week the first part decays the level only.
func TestGapOfWeeks(t *testing.T) {
	r := newRate(day1)
	drive(&r, day1, day1+3*schemas.Day, busy)
	closed, loop := r.flow, r.flow
	const gap = longestExact + 50000
	closed.idle(r.last+1+gap, nil, nil, false)
	for range 50000 {
		loop.a *= math.Exp2(-1. / halfLife)
		loop.b = loop.b*math.Exp2(-1./halfLife) + 1
	}
	loop.last += 50000
	loop.idle(r.last+1+gap, nil, nil, false)
	near(t, "weeks", closed, loop)
}

func near(t *testing.T, name string, got, want flow) {
	t.Helper()
	check := func(what string, a, b float64) {
		if math.Abs(a-b) > 1e-11*math.Abs(b)+1e-300 {
			t.Errorf("%s: %s: got %v, want %v (%g)", name, what, a, b, a/b-1)
		}
	}
	check("a", got.a, want.a)
	check("b", got.b, want.b)
	for w := range windows {
		check("s", got.s[w], want.s[w])
		check("m", got.m[w], want.m[w])
	}
}

// The season is 24 slots from the 200th call on, and finds the shape of a day.
func TestSeason(t *testing.T) {
	r := newRate(day1)
	office := func(m schemas.Minute) uint64 {
		if h := m / 60 % 24; h >= 9 && h < 17 {
			return 1
		}
		return 0
	}
	drive(&r, day1, day1+schemas.Day/2, func(m schemas.Minute) uint64 { return office(m) * uint64(m%2) })
	if r.season != nil {
		t.Fatalf("a season after %d calls", r.calls)
	}
	drive(&r, day1+schemas.Day, day1+21*schemas.Day, office)
	lambda := r.a / r.b
	if noon, night := lambda*r.season.factor(12), lambda*r.season.factor(3); noon < 0.9 || noon > 1.1 || night > 0.04 {
		t.Errorf("a call a minute in office hours: %v expected at noon, %v at night", noon, night)
	}
}

// A past attack hardly moves the level, and the key cools at once (DETECTION 3.6).
func TestContamination(t *testing.T) {
	r := newRate(day1)
	drive(&r, day1, day1+10*schemas.Day, busy)
	level := r.a / r.b
	start := day1 + 10*schemas.Day
	drive(&r, start, start+30, func(schemas.Minute) uint64 { return 500 })
	if !r.hot {
		t.Fatal("not hot in the attack")
	}
	after := drive(&r, start+30, start+60, busy)
	if r.hot || after.elevated {
		t.Errorf("half an hour later hot is %v, elevated %v", r.hot, after.elevated)
	}
	if r.s[slow] > 3*r.m[slow]+30 {
		t.Errorf("the slow window still holds the attack: %v, expected %v", r.s[slow], r.m[slow])
	}
	if grown := r.a / r.b / level; grown > 4 {
		t.Errorf("the level grew %v times; 15,000 calls would have made it 5 times", grown)
	}
}

// Recurrence becomes a habit: nothing is excluded for ever.
func TestHabituation(t *testing.T) {
	r := newRate(day1)
	var first, last float64
	for d := range schemas.Minute(28) {
		at := day1 + d*schemas.Day + 300
		drive(&r, at-290, at, func(m schemas.Minute) uint64 { return uint64(1 - min(m%60, 1)) })
		sc := drive(&r, at, at+5, func(schemas.Minute) uint64 { return 80 })
		if d == 3 {
			first = sc.rarest
		}
		last = sc.rarest
	}
	if last < lnSuspect/2 || last < first {
		t.Errorf("ln p of a daily job: %v on day 4, %v on day 28", first, last)
	}
}

// 10⁹ calls in every minute stay finite.
func TestFlood(t *testing.T) {
	r := newRate(day1)
	drive(&r, day1, day1+3*schemas.Day, func(m schemas.Minute) uint64 {
		if m < day1+2*schemas.Day {
			return busy(m)
		}
		return 1e9
	})
	for name, x := range map[string]float64{"a": r.a, "b": r.b, "s": r.s[slow], "m": r.m[slow], "sv": r.sv[fast], "sn": r.sn[slow]} {
		if math.IsNaN(x) || math.IsInf(x, 0) || x < 0 {
			t.Errorf("%s is %v", name, x)
		}
	}
}

// DETECTION 10.5, law 4: more calls in open minutes never raise ln p on a frozen model.
func TestLookoutIsMonotone(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 3000 {
		r := newRate(day1)
		end := day1 + 2*schemas.Day + schemas.Minute(rng.IntN(3000))
		drive(&r, day1, end, busy)
		if i%2 == 0 { // hot
			end = r.last + 1
			drive(&r, end, end+schemas.Minute(1+rng.IntN(4)), func(schemas.Minute) uint64 { return uint64(20 + rng.IntN(500)) })
		}
		few, many := r.lookout(&testPrior), r.lookout(&testPrior)
		for m := r.last + 1; m < r.last+40; m += schemas.Minute(1 + rng.IntN(8)) {
			y := uint64(math.Exp(rng.Float64() * 6))
			a := few.see(m, y, &testPrior)
			b := many.see(m, y+uint64(rng.IntN(2)*rng.IntN(200)), &testPrior)
			if b.lnP > a.lnP || b.rarest > a.rarest || a.elevated && !b.elevated {
				t.Fatalf("run %d: %+v, with more calls %+v", i, a, b)
			}
		}
	}
}
