package ingest

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// outcome is why a scan stopped. pos is behind the byte that stopped it.
type outcome uint8

const (
	closed outcome = iota // the object is complete
	opened                // an array of records opens in it: the object is a container
	long                  // it is longer than MaxRecord
	deep                  // it is nested deeper than maxDepth
	broken                // its last byte does not fit
	atEnd                 // the bytes end within it
)

// containerKeys are the keys of arrays that hold records, rather than belong to one: S3 delivery, the LookupEvents API,
// and exports of log platforms.
var containerKeys = [][]byte{[]byte(`"Records"`), []byte(`"Events"`), []byte(`"Logs"`)}

// class says what a byte means outside of strings.
var class = [256]uint8{'"': quote, '{': open, '[': open, '}': shut, ']': shut}

const (
	plain = iota
	quote
	open
	shut
)

// scan goes on from pos with the object whose state is in s. It may be called again after long and deep.
func (s *Splitter) scan() outcome {
	for {
		limit, whole := s.end, s.start+s.max
		if s.start >= 0 {
			limit = min(limit, whole)
		}
		if why, stopped := s.scanTo(limit); stopped {
			return why
		}
		if s.start >= 0 && s.pos == whole {
			return long
		}
		if !s.more(s.pos) {
			return atEnd
		}
	}
}

// scanTo scans up to a limit. It reports whether something stopped it before.
func (s *Splitter) scanTo(limit int) (outcome, bool) {
	b := s.buf[:limit]
	i := s.pos
	switch {
	case i == limit:
		return 0, false
	case s.escaped:
		i++
		s.escaped = false
		goto inString
	case s.inString:
		goto inString
	}

outside:
	for {
		if i >= len(b) {
			s.pos, s.inString = i, false
			return 0, false
		}
		switch class[b[i]] {
		case plain:
			i++
		case quote:
			i++
			goto inString
		case open:
			i++
			if why, stop := s.open(b[:i]); stop {
				s.pos, s.inString = i, false
				return why, true
			}
		case shut:
			i++
			if why, stop := s.shut(b[i-1]); stop {
				s.pos, s.inString = i, false
				return why, true
			}
		}
	}

inString:
	// Eight bytes at a time up to a quote, a backslash or a control character: most of a record is strings.
	for i+8 <= len(b) {
		x := binary.LittleEndian.Uint64(b[i:])
		q := x ^ 0x2222222222222222
		e := x ^ 0x5c5c5c5c5c5c5c5c
		m := (q-0x0101010101010101)&^q | (e-0x0101010101010101)&^e | (x-0x2020202020202020)&^x
		if m &= 0x8080808080808080; m == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(m) >> 3 // the lowest bit is exact, higher ones may come from a borrow
		goto special
	}
	for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' ' {
		i++
	}
	if i >= len(b) {
		s.pos, s.inString = i, true
		return 0, false
	}

special:
	switch b[i] {
	case '"':
		i++
		if i+1 < len(b) && b[i+1] == '"' && (b[i] == ':' || b[i] == ',') {
			i += 2 // mostly another string follows
			goto inString
		}
		goto outside
	case '\\':
		i += 2
		if i > len(b) {
			s.pos, s.inString, s.escaped = i-1, true, true
			return 0, false
		}
		goto inString
	default:
		s.pos, s.inString = i+1, false
		return broken, true
	}
}

// open enters the object or array that the last byte opens.
func (s *Splitter) open(b []byte) (outcome, bool) {
	i := len(b) - 1
	object := b[i] == '{'
	if s.depth == 1 && !object && len(s.nest)+2 <= maxNest && endsWithContainerKey(b[max(0, i-lookBack):i]) {
		return opened, true
	}
	if object && s.depth > 0 && i > 0 && b[i-1] == '\n' {
		// A line that begins with an object is mostly the next record behind one that has lost its end.
		before := bytes.TrimRight(b[max(0, i-lookBack):i], " \t\r\n")
		if n := len(before); n > 0 && bytes.IndexByte([]byte(":,["), before[n-1]) < 0 {
			return broken, true
		}
	}
	s.depth++
	if s.depth <= maxDepth {
		word, bit := s.depth/64, uint64(1)<<(s.depth%64)
		s.objects[word] &^= bit
		if object {
			s.objects[word] |= bit
		}
		return 0, false
	}
	return deep, s.start >= 0
}

// shut leaves the object or array that c closes.
func (s *Splitter) shut(c byte) (outcome, bool) {
	if s.depth <= maxDepth {
		object := s.objects[s.depth/64]>>(s.depth%64)&1 == 1
		if object != (c == '}') {
			return broken, true
		}
	}
	s.depth--
	return closed, s.depth == 0
}

// endsWithContainerKey reports whether b ends with one of the keys and its colon.
func endsWithContainerKey(b []byte) bool {
	const space = " \t\r\n"
	b, ok := bytes.CutSuffix(bytes.TrimRight(b, space), []byte{':'})
	if !ok {
		return false
	}
	b = bytes.TrimRight(b, space)
	for _, key := range containerKeys {
		if before, ok := bytes.CutSuffix(b, key); ok {
			before = bytes.TrimRight(before, space)
			n := len(before)
			return n > 0 && (before[n-1] == '{' || before[n-1] == ',') // otherwise it is in a string
		}
	}
	return false
}
