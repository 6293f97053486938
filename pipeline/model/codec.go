package model

import (
	"encoding/binary"

	"github.com/trailvane/trailvane/pipeline/pages"
	"github.com/trailvane/trailvane/schemas"
)

// A writer codes state, with strings by a dictionary in order of first use.
type writer struct {
	pages.Writer
	dict []string
	id   map[string]int
}

func (w *writer) reset() {
	w.B, w.dict = w.B[:0], w.dict[:0]
	clear(w.id)
}

func (w *writer) string(s string) {
	id, ok := w.id[s]
	if !ok {
		id = len(w.dict)
		w.dict = append(w.dict, s)
		w.id[s] = id
	}
	w.Uint(uint64(id))
}

// message returns version, dictionary and body in one.
func (w *writer) message(version byte) []byte {
	b := []byte{version}
	b = binary.AppendUvarint(b, uint64(len(w.dict)))
	for _, s := range w.dict {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return append(b, w.B...)
}

// histogramTo codes the bins that are not empty, each after the number of empty ones before it.
func histogramTo[T uint16 | uint32](w *writer, h []T) {
	full := uint64(0)
	for _, v := range h {
		if v != 0 {
			full++
		}
	}
	w.Uint(full)
	empty := uint64(0)
	for _, v := range h {
		if v == 0 {
			empty++
			continue
		}
		w.Uint(empty)
		w.Uint(uint64(v))
		empty = 0
	}
}

// A reader decodes what a writer coded.
type reader struct {
	pages.Reader
	dict []string
}

// length reads the number of things that take at least size bytes each.
func (r *reader) length(size int) int {
	v := r.Uint()
	if v > uint64(len(r.B)/size) {
		r.Fail()
		return 0
	}
	return int(v)
}

func (r *reader) bytes() string {
	n := r.length(1)
	s := string(r.B[:n])
	r.B = r.B[n:]
	return s
}

func (r *reader) string() string {
	if i := r.Uint(); i < uint64(len(r.dict)) {
		return r.dict[i]
	}
	r.Fail()
	return ""
}

// open reads what message wrote; another version is an error.
func (r *reader) open(b []byte, version byte) error {
	if len(b) == 0 || b[0] != version {
		return schemas.ErrVersion
	}
	r.B = b[1:]
	n := r.length(1)
	r.dict = make([]string, 0, n)
	for range n {
		r.dict = append(r.dict, r.bytes())
	}
	if r.Bad {
		return pages.ErrState
	}
	return nil
}

// close reports whether everything made sense and nothing is left.
func (r *reader) close() error {
	if r.Bad || len(r.B) != 0 {
		return pages.ErrState
	}
	return nil
}

func histogramFrom[T uint16 | uint32](r *reader, h []T) {
	at := uint64(0)
	for range r.UpTo(uint64(len(h))) {
		at += r.UpTo(uint64(len(h)))
		v := r.UpTo(uint64(^T(0)))
		if at >= uint64(len(h)) {
			r.Fail()
			return
		}
		h[at] = T(v)
		at++
	}
}
