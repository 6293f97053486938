package operator

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/trailvane/trailvane/schemas"
)

// A writer codes state: variable-length integers, floats as their bits.
type writer struct{ b []byte }

func (w *writer) uint(v uint64)           { w.b = binary.AppendUvarint(w.b, v) }
func (w *writer) int(v int64)             { w.b = binary.AppendVarint(w.b, v) }
func (w *writer) minute(v schemas.Minute) { w.int(int64(v)) }
func (w *writer) fixed(v uint64)          { w.b = binary.LittleEndian.AppendUint64(w.b, v) }
func (w *writer) fixed32(v uint32)        { w.b = binary.LittleEndian.AppendUint32(w.b, v) }
func (w *writer) hash(v uint64)           { w.fixed32(uint32(v)); w.b = append(w.b, byte(v>>32), byte(v>>40)) }
func (w *writer) short(v float32) {
	x := math.Float32bits(v) >> 8
	w.b = append(w.b, byte(x), byte(x>>8), byte(x>>16))
}
func (w *writer) float32(v float32) { w.fixed32(math.Float32bits(v)) }

func (w *writer) floats(v ...float64) {
	for _, x := range v {
		w.fixed(math.Float64bits(x))
	}
}

func (w *writer) string(s string) {
	w.uint(uint64(len(s)))
	w.b = append(w.b, s...)
}

func (w *writer) flags(v ...bool) {
	var x uint64
	for i, set := range v {
		if set {
			x |= 1 << i
		}
	}
	w.uint(x)
}

var errState = errors.New("state is corrupt")

// A reader decodes what a writer coded. After the first thing that makes no sense it returns zeros, and bad is set.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) fail() { r.b, r.bad = nil, true }

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int32() int32 {
	v, n := binary.Varint(r.b)
	if n <= 0 || v != int64(int32(v)) {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return int32(v)
}

func (r *reader) minute() schemas.Minute { return schemas.Minute(r.int32()) }

// upTo reads a number that may not be larger than n.
func (r *reader) upTo(n uint64) uint64 {
	v := r.uint()
	if v > n {
		r.fail()
		return 0
	}
	return v
}

func (r *reader) fixed() uint64 {
	if len(r.b) < 8 {
		r.fail()
		return 0
	}
	v := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

func (r *reader) fixed32() uint32 {
	if len(r.b) < 4 {
		r.fail()
		return 0
	}
	v := binary.LittleEndian.Uint32(r.b)
	r.b = r.b[4:]
	return v
}

func (r *reader) bytes(n int) (v uint64) {
	if len(r.b) < n {
		r.fail()
		return 0
	}
	for i := range n {
		v |= uint64(r.b[i]) << (8 * i)
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) hash() uint64 { return r.bytes(6) }

// short reads a count of 24 bits.
func (r *reader) short() float32 {
	v := math.Float32frombits(uint32(r.bytes(3)) << 8)
	if !(v >= 0) || math.IsInf(float64(v), 0) {
		r.fail()
		return 0
	}
	return v
}

// count reads a float that is not negative: a count, a score or a length of time.
func (r *reader) count() float64 {
	v := math.Float64frombits(r.fixed())
	if !(v >= 0) || math.IsInf(v, 0) {
		r.fail()
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
	v := math.Float32frombits(r.fixed32())
	if !(v >= 0) || math.IsInf(float64(v), 0) {
		r.fail()
		return 0
	}
	return v
}

// ln reads a logarithm of a probability.
func (r *reader) ln() float64 {
	v := math.Float64frombits(r.fixed())
	if !(v <= 0) || v < 2*lnTiny {
		r.fail()
		return 0
	}
	return v
}

func (r *reader) string() string {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *reader) flags(v ...*bool) {
	x := r.upTo(1<<len(v) - 1)
	for i, p := range v {
		*p = x&(1<<i) != 0
	}
}
