package model

import (
	"math"
	"testing"

	"github.com/trailvane/trailvane/schemas"
)

func TestFit(t *testing.T) {
	one := func(bins ...int) []uint16 {
		h := make([]uint16, 48)
		for _, b := range bins {
			h[b] += unit
		}
		return h
	}
	many := one()
	many[2], many[8], many[10] = 96*unit, 3*unit, unit // 100 blocks: the five highest would be the tail, so the top two bins are
	for _, c := range []struct {
		name           string
		h              []uint16
		u, beta, lnTop float64
	}{
		// (excess + 6·0.5) / (blocks in the tail + 6), ln((blocks in the tail + 1) / (blocks + 2))
		{"nothing yet", one(), 0, 0.5, math.Log(1. / 2)},
		{"one block", one(4), 1, (0.125 + 3) / 7, math.Log(2. / 3)},
		{"all are taken while they are few", one(0, 4, 4), 0, (0.125 + 2*1.125 + 3) / 9, math.Log(4. / 5)},
		{"the top twentieth", many, 2, (3*0.125 + 0.625 + 3) / 10, math.Log(5. / 102)},
	} {
		got := fit(c.h, 0.5)
		if got.u != c.u || math.Abs(got.beta-c.beta) > 1e-15 || math.Abs(got.lnTop-c.lnTop) > 1e-15 {
			t.Errorf("%s: got u=%v beta=%v lnTop=%v, want %v, %v, %v", c.name, got.u, got.beta, got.lnTop, c.u, c.beta, c.lnTop)
		}
		if z := got.zOf(got.lnP(7)); math.Abs(z-7) > 1e-12 {
			t.Errorf("%s: zOf(lnP(7)) is %v", c.name, z)
		}
	}
}

// The mass of a histogram never leaves its range, whatever comes, and what was seen is never forgotten by halving.
func TestHistogramRange(t *testing.T) {
	var h histogram
	h.add(11, tainted)
	for range 100000 {
		h.add(1, unit)
		mass := 0
		for _, v := range h {
			mass += int(v)
		}
		if mass > maxMass+unit {
			t.Fatalf("mass %d", mass)
		}
	}
	if h[bin(11)] == 0 {
		t.Error("the highest maximum is forgotten")
	}
}

func TestBin(t *testing.T) {
	for z, want := range map[float64]int{-1: 0, 0: 0, 0.2499: 0, 0.25: 1, 11.9: 47, 12: 47, math.Inf(1): 47, math.NaN(): 0} {
		if got := bin(z); got != want {
			t.Errorf("bin(%v): got %d, want %d", z, got, want)
		}
	}
}

func TestPool(t *testing.T) {
	var p pool
	p.roll()
	if p.beta0 != poolBeta {
		t.Errorf("an empty pool: %v, want the shipped %v", p.beta0, poolBeta)
	}
	// Maxima that are exponential with mean 0.7: so is their excess over any point.
	for i := range bins {
		p.live[i] = uint32(1e6 * (math.Exp(-float64(i)*binWidth/0.7) - math.Exp(-float64(i+1)*binWidth/0.7)))
	}
	before := p.beta0
	p.add(1, unit)
	if p.beta0 != before {
		t.Error("a pool changes between the rolls")
	}
	if p.roll(); math.Abs(p.beta0-0.7) > 0.03 {
		t.Errorf("mean excess %v, want 0.7", p.beta0)
	}
}

func TestLine(t *testing.T) {
	for _, c := range []struct{ budget, tested, alpha, p float64 }{
		{1, 1000, 9e-4, 9e-4},         // honest: nothing is taken off
		{1, 1.125e5, 8e-6, 1.4853e-6}, // 600 keys, and the line that was measured for them
		{1, 0, maxAlpha, maxAlpha},
		{1e9, 1e5, maxAlpha, maxAlpha},
		{0, 1e5, minAlpha, 2.1544e-11},
		{math.NaN(), 1e5, minAlpha, 2.1544e-11},
	} {
		got := newLine(c.budget, shareRise, c.tested)
		if math.Abs(got.alpha/c.alpha-1) > 1e-12 || math.Abs(got.ln-math.Log(c.p)) > 1e-4 {
			t.Errorf("budget %v, %v tested: got alpha %v, p %v, want %v, %v", c.budget, c.tested, got.alpha, math.Exp(got.ln), c.alpha, c.p)
		}
	}
}

// A month is what thirty days like the past ones bring; the first days are strict, and a past year is forgotten.
func TestTested(t *testing.T) {
	y := newAccount(schemas.Account{}, new(Config)).tested
	y.today = 200
	if y.roll(1); math.Abs(y.month-17800) > 1 {
		t.Errorf("after a day of 200: %v", y.month)
	}
	for range 200 {
		y.today = 200
		y.roll(1)
	}
	if math.Abs(y.month-6000) > 10 {
		t.Errorf("after 200 such days: %v, want 6000", y.month)
	}
	if y.roll(30); math.Abs(y.month/6000-1/math.E) > 0.03 {
		t.Errorf("after thirty days without anything: %v", y.month)
	}
}
