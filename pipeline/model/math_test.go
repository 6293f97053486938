package model

import (
	"math"
	"testing"
)

func TestLn(t *testing.T) {
	for x := 1e-300; x < 1e300; x *= 1.00917 {
		if got, want := Ln(x), math.Log(x); math.Abs(got-want) > 4e-16*max(0.1, math.Abs(want)) {
			t.Fatalf("Ln(%v): got %v, want %v", x, got, want)
		}
	}
	for x := 0.5; x < 2; x += 0.000917 { // near one the result is small, and must be as exact
		if got, want := Ln(x), math.Log(x); math.Abs(got-want) > 4e-16*math.Abs(want) {
			t.Fatalf("Ln(%v): got %v, want %v", x, got, want)
		}
	}
	// The standard library's own is wrong for subnormals on some architectures.
	for x, want := range map[float64]float64{math.SmallestNonzeroFloat64: -744.4400719213812, 0x1p-1030: -1030 * math.Ln2} {
		if got := Ln(x); math.Abs(got-want) > 2e-13 {
			t.Errorf("Ln(%v): got %v, want %v", x, got, want)
		}
	}
	for _, x := range []float64{0, 1, math.Inf(1), 0x1p-1022, math.MaxFloat64} {
		if got, want := Ln(x), math.Log(x); got != want && math.Abs(got-want) > 2e-16*math.Abs(want) {
			t.Errorf("Ln(%v): got %v, want %v", x, got, want)
		}
	}
	if !math.IsNaN(Ln(-1)) || !math.IsNaN(Ln(math.NaN())) {
		t.Error("Ln of what has none is a number")
	}
}

func TestExp(t *testing.T) {
	for x := -745.0; x < 709; x += 0.0917 {
		got, want := Exp(x), math.Exp(x)
		if want > 0x1p-1022 && math.Abs(got-want) > 1e-15*want || math.Abs(got-want) > 1e-15*want+math.SmallestNonzeroFloat64 {
			t.Fatalf("Exp(%v): got %v, want %v", x, got, want)
		}
	}
	for x, want := range map[float64]float64{0: 1, 710: math.Inf(1), -746: 0, math.Inf(1): math.Inf(1), math.Inf(-1): 0} {
		if got := Exp(x); got != want {
			t.Errorf("Exp(%v): got %v, want %v", x, got, want)
		}
	}
	if !math.IsNaN(Exp(math.NaN())) {
		t.Error("Exp(NaN) is a number")
	}
}

// The bits are the same on every architecture: these were written on amd64.
func TestMathBits(t *testing.T) {
	h := uint64(0)
	for i := range 1000 {
		x := float64(i)*0.37 + 0.01
		h = h*31 + math.Float64bits(Ln(x))
		h = h*31 + math.Float64bits(Exp(x-150))
	}
	const want = 0x448913d8decdfd4
	if h != want {
		t.Errorf("got %#x, want %#x", h, uint64(want))
	}
}
