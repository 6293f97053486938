package model

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/trailvane/trailvane/schemas"
)

// Section 3.8: a share is abnormal beyond 3.1 standard deviations of calls that fail together.
func TestMoreFrequent(t *testing.T) {
	for _, c := range []struct {
		name     string
		e, g, pi float64
		want     bool
	}{
		{"as usual", 10, 90, 0.1, false},
		{"twice as usual, few", 20, 80, 0.1, false},
		{"three times, many", 300, 700, 0.1, true},
		{"a thousand times as many, as frequent", 1e5, 9e5, 0.1, false},
		{"less frequent", 5, 95, 0.1, false},
		{"all of many, where half is usual", 100, 0, 0.5, true},
		{"all of few, where most is usual", 6, 0, 0.7, false},
		{"always", 100, 0, 0.9, true},
		{"never before", 10, 1000, 1e-9, true},
		{"never before, and hardly now", 10, 1e9, 1e-9, false},
		{"nothing to compare with", 5, 0, 0.05, true},
	} {
		if got := moreFrequent(c.e, c.g, c.pi); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// The question can be answered with yes wherever it is asked.
func TestRatioAlways(t *testing.T) {
	if !moreFrequent(200, 0, ratioAlways-1e-9) {
		t.Error("200 failures and no success are not more frequent than 80 of 100")
	}
}

// More calls of the key never turn a yes into a no, while the others are as many.
func TestMoreFrequentIsMonotone(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 100000 {
		e, g, pi := math.Exp(r.Float64()*12), math.Exp(r.Float64()*14)-1, math.Exp(-r.Float64()*12)
		if moreFrequent(e, g, pi) && !moreFrequent(e*(1+r.Float64()), g, pi) {
			t.Fatalf("%v of %v are more frequent than %v, more are not", e, e+g, pi)
		}
	}
}

// It does not matter in how many steps, or in which order, trials come, as long as no minute is passed before it is whole.
func TestTrialsInSteps(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for range 200 {
		whole, parts := newTrials(day1), newTrials(day1)
		minutes := r.Perm(3000)[:50]
		for _, m := range minutes {
			whole.add(day1+schemas.Minute(m), uint64(m+1))
		}
		for i := range minutes {
			m := minutes[len(minutes)-1-i]
			parts.add(day1+schemas.Minute(m), 1)
			parts.add(day1+schemas.Minute(m), uint64(m))
		}
		for m := int64(day1); m < int64(day1)+3001; m += 1 + r.Int64N(400) {
			parts.pass(m)
		}
		if a, b := whole.among(day1+3100), parts.among(day1+3100); a != b || whole.other != parts.other || whole.share() != parts.share() {
			t.Fatalf("%v and %v, %v and %v", a, b, whole.other, parts.other)
		}
	}
}

// The share is that of the calls, whatever their number, and outlives a silence.
func TestShare(t *testing.T) {
	k := newTrials(day1 - 1)
	for m := range schemas.Minute(10000) {
		k.add(day1+m, 9)
		k.pass(int64(day1 + m + 1))
		k.learn(day1+m, 1)
	}
	if pi := k.share(); math.Abs(pi-0.1) > 1e-4 {
		t.Errorf("one of ten is a share of %v", pi)
	}
	k.add(day1+20000, 1)
	k.pass(int64(day1) + 20001)
	if pi := k.share(); math.Abs(pi-0.1) > 1e-3 {
		t.Errorf("a week later it is %v", pi)
	}
	var none *trials
	if none.share() != 1 {
		t.Error("without trials a key is not judged by its count alone")
	}
}

// outcomes counts failures by call and code.
func outcomes() Config {
	c := byName()
	c.Counts = func(r *schemas.Row) bool { return r.ErrorCode != 0 }
	c.Trials = func(r *schemas.Row) bool { return r.ErrorCode == 0 }
	c.ID = func(r *schemas.Row) uint64 { return uint64(r.Name)<<32 | uint64(r.ErrorCode) }
	c.AppendKey = func(b []byte, p *schemas.Pane, r *schemas.Row) []byte {
		return append(append(append(b, p.Strings[r.Name]...), '/'), p.Strings[r.ErrorCode]...)
	}
	c.Family = func(key string) string {
		for i := range key {
			if key[i] == '/' {
				return key[:i]
			}
		}
		return key
	}
	c.MaxFamily = 2
	return c
}

// A family has so many keys; what comes later is one, in each family. A key that is evicted makes room.
func TestFamilyIsBounded(t *testing.T) {
	m := NewMachine(outcomes())
	p := pane(day1, "a", "a", "a", "a", "b")
	for i := range p.Rows {
		p.Strings = append(p.Strings, fmt.Sprint("code", i))
		p.Rows[i].Name, p.Rows[i].ErrorCode = p.Rows[min(i, 4)/4*4].Name, uint32(len(p.Strings)-1)
	}
	observe(m, p)
	in := m.accounts[p.Account].regions["r"]
	if got, want := fmt.Sprint(sortedKeys(in.series)), "[a/__other a/code0 a/code1 b/code4]"; got != want {
		t.Errorf("keys %v, want %v", got, want)
	}
	if len(in.families) != 2 || len(in.families["a"]) != 3 {
		t.Errorf("families %v", in.families)
	}
	for d := range schemas.Minute(103) {
		observe(m, pane(day1+d*schemas.Day))
	}
	if len(in.series) != 0 || len(in.families) != 0 {
		t.Errorf("idle series %v and families %v are kept", in.series, in.families)
	}
}
