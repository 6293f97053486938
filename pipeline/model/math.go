package model

import "math"

// The mathematics of everything that reaches state or output. The standard library's Log and Exp have assembly on some
// architectures and may differ in the last bit; these are plain Go, and every product is rounded before it is added
// (float64(x*y)+z), because the language allows a compiler to fuse the two.

const (
	ln2Hi = 6.93147180369123816490e-01 // ln 2, rounded so that k*ln2Hi is exact for every binary exponent k
	ln2Lo = 1.90821492927058770002e-10 // the rest of ln 2
	ln2   = 0.693147180559945309417232121458176568
	ln10  = 2.302585092994045684017991454684364208
)

// atanhTerms are 1/(2i+1) for i = 1..10: with s² < 0.0295 the eleventh term is below 2^-53 of the first.
var atanhTerms = [...]float64{1. / 3, 1. / 5, 1. / 7, 1. / 9, 1. / 11, 1. / 13, 1. / 15, 1. / 17, 1. / 19, 1. / 21}

// Ln returns the natural logarithm of a positive finite x, to about one unit in the last place; -Inf for zero and NaN
// for anything else, as math.Log does.
func Ln(x float64) float64 {
	switch {
	case x > 0 && x <= math.MaxFloat64:
	case x == 0:
		return math.Inf(-1)
	case x > 0:
		return x
	default:
		return math.NaN()
	}
	k := 0
	if x < 0x1p-1022 { // subnormal
		x *= 0x1p54
		k = -54
	}
	bits := math.Float64bits(x)
	k += int(bits>>52) - 1022
	f := math.Float64frombits(bits&^(0x7ff<<52) | 1022<<52) // in [0.5, 1)
	if f < math.Sqrt2/2 {
		f *= 2
		k--
	}
	// ln f = 2 atanh(s), s = (f-1)/(f+1), |s| < 0.1716
	f--
	s := f / (2 + f)
	s2 := float64(s * s)
	p := 0.0
	for i := len(atanhTerms) - 1; i >= 0; i-- {
		p = float64(p*s2) + atanhTerms[i]
	}
	// 2s = f - s*f, so the large part of the sum stays exact.
	r := float64(2 * float64(float64(s*s2)*p))
	return float64(float64(k)*ln2Hi) + (f - (float64(s*f) - (r + float64(float64(k)*ln2Lo))))
}

// expTerms are 1/i! for i = 2..14: with |r| < 0.3466 the fifteenth term is below 2^-53.
var expTerms = [...]float64{
	1. / 2, 1. / 6, 1. / 24, 1. / 120, 1. / 720, 1. / 5040, 1. / 40320, 1. / 362880, 1. / 3628800, 1. / 39916800,
	1. / 479001600, 1. / 6227020800, 1. / 87178291200,
}

// Exp returns e to the x, to about one unit in the last place: 0 below -745, +Inf above 709.7.
func Exp(x float64) float64 {
	switch {
	case x != x:
		return x
	case x > 709.782712893384:
		return math.Inf(1)
	case x < -745.1332191019412:
		return 0
	}
	k := int(math.Floor(float64(x*(1/ln2)) + 0.5))
	hi := x - float64(float64(k)*ln2Hi)
	r := hi - float64(float64(k)*ln2Lo)
	p := 0.0
	for i := len(expTerms) - 1; i >= 0; i-- {
		p = float64(p*r) + expTerms[i]
	}
	p = 1 + (r + float64(float64(r*r)*p))
	if k < -1021 { // in two exact steps through the subnormals
		return p * math.Float64frombits(uint64(k+1023+54)<<52) * 0x1p-54
	}
	if k > 1023 {
		return p * 2 * math.Float64frombits(uint64(k-1+1023)<<52)
	}
	return p * math.Float64frombits(uint64(k+1023)<<52)
}
