package pages

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/trailvane/trailvane/schemas"
)

// ErrState says that state is not what was written.
var ErrState = errors.New("state is corrupt")

// A Writer codes an entry in few bytes: variable-length integers, floats as their bits. The zero Writer is empty; B is what was
// written, and its memory may be used again.
type Writer struct{ B []byte }

// Uint appends a number.
func (w *Writer) Uint(v uint64) { w.B = binary.AppendUvarint(w.B, v) }

// Int appends a number with a sign.
func (w *Writer) Int(v int64) { w.B = binary.AppendVarint(w.B, v) }

// Minute appends a minute.
func (w *Writer) Minute(v schemas.Minute) { w.Int(int64(v)) }

// Fixed appends eight bytes.
func (w *Writer) Fixed(v uint64) { w.B = binary.LittleEndian.AppendUint64(w.B, v) }

// Fixed32 appends four bytes.
func (w *Writer) Fixed32(v uint32) { w.B = binary.LittleEndian.AppendUint32(w.B, v) }

// Float32 appends the bits of a float.
func (w *Writer) Float32(v float32) { w.Fixed32(math.Float32bits(v)) }

// Floats appends the bits of floats.
func (w *Writer) Floats(v ...float64) {
	for _, x := range v {
		w.Fixed(math.Float64bits(x))
	}
}

// Flags appends up to 64 booleans as one number.
func (w *Writer) Flags(v ...bool) {
	var x uint64
	for i, set := range v {
		if set {
			x |= 1 << i
		}
	}
	w.Uint(x)
}

// A Reader decodes what a Writer coded: B is what is left. After the first thing that makes no sense it returns zeros, and Bad is
// set; nothing it is told makes it allocate.
type Reader struct {
	B   []byte
	Bad bool
}

// Fail notes that something makes no sense.
func (r *Reader) Fail() { r.B, r.Bad = nil, true }

// Uint reads a number.
func (r *Reader) Uint() uint64 {
	v, n := binary.Uvarint(r.B)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.B = r.B[n:]
	return v
}

// Int reads a number with a sign.
func (r *Reader) Int() int64 {
	v, n := binary.Varint(r.B)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.B = r.B[n:]
	return v
}

// Int32 reads a number with a sign that fits into 32 bits.
func (r *Reader) Int32() int32 {
	v := r.Int()
	if v != int64(int32(v)) {
		r.Fail()
		return 0
	}
	return int32(v)
}

// Minute reads a minute.
func (r *Reader) Minute() schemas.Minute { return schemas.Minute(r.Int32()) }

// UpTo reads a number that may not be larger than n.
func (r *Reader) UpTo(n uint64) uint64 {
	v := r.Uint()
	if v > n {
		r.Fail()
		return 0
	}
	return v
}

// Fixed reads eight bytes.
func (r *Reader) Fixed() uint64 {
	if len(r.B) < 8 {
		r.Fail()
		return 0
	}
	v := binary.LittleEndian.Uint64(r.B)
	r.B = r.B[8:]
	return v
}

// Fixed32 reads four bytes.
func (r *Reader) Fixed32() uint32 {
	if len(r.B) < 4 {
		r.Fail()
		return 0
	}
	v := binary.LittleEndian.Uint32(r.B)
	r.B = r.B[4:]
	return v
}

// Float reads a float, whatever its bits say.
func (r *Reader) Float() float64 { return math.Float64frombits(r.Fixed()) }

// Float32 does the same for 32 bits.
func (r *Reader) Float32() float32 { return math.Float32frombits(r.Fixed32()) }

// Floats reads floats.
func (r *Reader) Floats(v ...*float64) {
	for _, p := range v {
		*p = r.Float()
	}
}

// Flags reads booleans that were written as one number.
func (r *Reader) Flags(v ...*bool) {
	x := r.UpTo(1<<len(v) - 1)
	for i, p := range v {
		*p = x&(1<<i) != 0
	}
}
