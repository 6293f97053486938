package operator

import (
	"math"

	"github.com/trailvane/trailvane/pipeline/pages"
)

// A writer codes state.
type writer struct{ pages.Writer }

func (w *writer) hash(v uint64) { w.Fixed32(uint32(v)); w.B = append(w.B, byte(v>>32), byte(v>>40)) }
func (w *writer) short(v float32) {
	x := math.Float32bits(v) >> 8
	w.B = append(w.B, byte(x), byte(x>>8), byte(x>>16))
}

func (w *writer) string(s string) {
	w.Uint(uint64(len(s)))
	w.B = append(w.B, s...)
}

// A reader decodes what a writer coded.
type reader struct{ pages.Reader }

func (r *reader) bytes(n int) (v uint64) {
	if len(r.B) < n {
		r.Fail()
		return 0
	}
	for i := range n {
		v |= uint64(r.B[i]) << (8 * i)
	}
	r.B = r.B[n:]
	return v
}

func (r *reader) hash() uint64 { return r.bytes(6) }

// short reads a count of 24 bits.
func (r *reader) short() float32 {
	v := math.Float32frombits(uint32(r.bytes(3)) << 8)
	if !(v >= 0) || math.IsInf(float64(v), 0) {
		r.Fail()
		return 0
	}
	return v
}

// count reads a float that is not negative: a count, a score or a length of time.
func (r *reader) count() float64 {
	v := r.Float()
	if !(v >= 0) || math.IsInf(v, 0) {
		r.Fail()
		return 0
	}
	return v
}

func (r *reader) counts(v ...*float64) {
	for _, p := range v {
		*p = r.count()
	}
}

func (r *reader) count32() float32 {
	v := r.Float32()
	if !(v >= 0) || math.IsInf(float64(v), 0) {
		r.Fail()
		return 0
	}
	return v
}

// ln reads a logarithm of a probability.
func (r *reader) ln() float64 {
	v := r.Float()
	if !(v <= 0) || v < 2*lnTiny {
		r.Fail()
		return 0
	}
	return v
}

func (r *reader) string() string {
	n := r.Uint()
	if n > uint64(len(r.B)) {
		r.Fail()
		return ""
	}
	s := string(r.B[:n])
	r.B = r.B[n:]
	return s
}
