package model

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/trailvane/trailvane/schemas"
)

// A writer codes state: variable-length integers, floats as their bits, strings by a dictionary in order of first use.
type writer struct {
	b    []byte
	dict []string
	id   map[string]int
}

func (w *writer) reset() {
	w.b, w.dict = w.b[:0], w.dict[:0]
	clear(w.id)
}

func (w *writer) uint(v uint64)           { w.b = binary.AppendUvarint(w.b, v) }
func (w *writer) int(v int64)             { w.b = binary.AppendVarint(w.b, v) }
func (w *writer) minute(v schemas.Minute) { w.int(int64(v)) }
func (w *writer) float(v float64)         { w.b = binary.LittleEndian.AppendUint64(w.b, math.Float64bits(v)) }
func (w *writer) float32(v float32)       { w.b = binary.LittleEndian.AppendUint32(w.b, math.Float32bits(v)) }

func (w *writer) floats(v ...float64) {
	for _, x := range v {
		w.float(x)
	}
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

func (w *writer) string(s string) {
	id, ok := w.id[s]
	if !ok {
		id = len(w.dict)
		w.dict = append(w.dict, s)
		w.id[s] = id
	}
	w.uint(uint64(id))
}

// message returns version, dictionary and body in one.
func (w *writer) message(version byte) []byte {
	b := []byte{version}
	b = binary.AppendUvarint(b, uint64(len(w.dict)))
	for _, s := range w.dict {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return append(b, w.b...)
}

// histogramTo codes the bins that are not empty, each after the number of empty ones before it.
func histogramTo[T uint16 | uint32](w *writer, h []T) {
	full := uint64(0)
	for _, v := range h {
		if v != 0 {
			full++
		}
	}
	w.uint(full)
	empty := uint64(0)
	for _, v := range h {
		if v == 0 {
			empty++
			continue
		}
		w.uint(empty)
		w.uint(uint64(v))
		empty = 0
	}
}

var errState = errors.New("state is corrupt")

// A reader decodes what a writer coded. After the first thing that makes no sense it returns zeros, and bad is set.
type reader struct {
	b    []byte
	dict []string
	bad  bool
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

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int32() int32 {
	v := r.int()
	if v != int64(int32(v)) {
		r.fail()
	}
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

// length reads the number of things that take at least size bytes each.
func (r *reader) length(size int) int {
	v := r.uint()
	if v > uint64(len(r.b)/size) {
		r.fail()
		return 0
	}
	return int(v)
}

func (r *reader) float() float64 {
	if len(r.b) < 8 {
		r.fail()
		return 0
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64(r.b))
	r.b = r.b[8:]
	return v
}

func (r *reader) float32() float32 {
	if len(r.b) < 4 {
		r.fail()
		return 0
	}
	v := math.Float32frombits(binary.LittleEndian.Uint32(r.b))
	r.b = r.b[4:]
	return v
}

func (r *reader) floats(v ...*float64) {
	for _, p := range v {
		*p = r.float()
	}
}

func (r *reader) flags(v ...*bool) {
	x := r.upTo(1<<len(v) - 1)
	for i, p := range v {
		*p = x&(1<<i) != 0
	}
}

func (r *reader) bytes() string {
	n := r.length(1)
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *reader) string() string {
	if i := r.uint(); i < uint64(len(r.dict)) {
		return r.dict[i]
	}
	r.fail()
	return ""
}

// open reads what message wrote; another version is an error.
func (r *reader) open(b []byte, version byte) error {
	if len(b) == 0 || b[0] != version {
		return schemas.ErrVersion
	}
	r.b = b[1:]
	n := r.length(1)
	r.dict = make([]string, 0, n)
	for range n {
		r.dict = append(r.dict, r.bytes())
	}
	if r.bad {
		return errState
	}
	return nil
}

// close reports whether everything made sense and nothing is left.
func (r *reader) close() error {
	if r.bad || len(r.b) != 0 {
		return errState
	}
	return nil
}

func histogramFrom[T uint16 | uint32](r *reader, h []T) {
	at := uint64(0)
	for range r.upTo(uint64(len(h))) {
		at += r.upTo(uint64(len(h)))
		v := r.upTo(uint64(^T(0)))
		if at >= uint64(len(h)) {
			r.fail()
			return
		}
		h[at] = T(v)
		at++
	}
}
