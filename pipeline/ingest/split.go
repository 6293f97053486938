package ingest

import (
	"bytes"
	"errors"
	"io"

	"github.com/trailvane/trailvane/schemas"
)

// MaxRecord bounds one raw record: a message of 1 MiB counts its headers, and the record still has to travel on as a
// normalized event and as a dead letter.
const MaxRecord = 768 << 10

const (
	// maxDepth bounds the nesting of a record: ten times that of any policy document.
	maxDepth = 512

	// maxNest bounds arrays and container objects around the records: real exports nest two.
	maxNest = 8

	// maxHead bounds what is kept of a part that is not delivered: what a dead letter may show.
	maxHead = schemas.MaxDeadRaw

	// lookBack bounds how far back from a bracket its key, and from a record the start of its line, are searched, and with
	// it the length of the patterns by which a record is recognised.
	lookBack = 64

	// window is what stays in the buffer before the position: a pattern, and what is looked at before it.
	window = 3 * lookBack

	// bufferSize holds a record of the greatest size and the window, with room to read into.
	bufferSize = MaxRecord + 256<<10
)

// A Reason says why a part of an object was not delivered. It is one of a closed list, for counting.
type Reason string

// The reasons of the splitter.
const (
	Malformed Reason = "malformed" // brackets that do not match, a control character in a string, text between records
	TooLarge  Reason = "too_large" // a record longer than MaxRecord
	TooDeep   Reason = "too_deep"  // a record nested deeper than 512
	Truncated Reason = "truncated" // the object ends within a record or container
)

// An Item is a whole record, or a part of the object that holds none.
type Item struct {
	Offset int64  // of its first byte
	Size   int64  // of all its bytes
	Body   []byte // the record, or the first 64 KiB of what is none; valid until the next call
	Reason Reason // empty for a record
}

// End returns the offset behind the item.
func (i Item) End() int64 { return i.Offset + i.Size }

// A Splitter finds the records in the uncompressed bytes of one object, in one scan and without decoding them. A record is
// a JSON object that stands by itself, in lines or simply one behind the other, in an array, or in the array of a container
// such as {"Records":[…]}; or a JSON string there that says an object, as tools leave it that take a record out of another's
// field. A string is returned as it is, quotes and escapes included. What the splitter returns depends on the bytes only, not
// on how they are read. It holds one buffer of 1 MiB, whatever comes.
//
// The scan looks at strings and brackets. That is enough to find the ends of valid records; records that are not valid JSON
// inside are for the decoder to refuse. Where the structure is broken, the splitter goes on at the next line that begins
// like this one, or at the next object with the same first key, so that a broken record costs no other.
type Splitter struct {
	r    io.Reader
	max  int // MaxRecord
	buf  []byte
	base int64 // offset of buf[0]
	pos  int   // next byte to look at
	end  int   // end of what was read
	err  error // why no more can be read

	nest  []byte // what encloses the records: '[' an array, '{' a container object, outermost first
	again int64  // bytes that were scanned again

	// The object that is being scanned, or the part that holds no record.
	start    int    // its first byte, -1 when its bytes are not kept
	offset   int64  // of its first byte
	verdict  Reason // why it will not be delivered
	heading  bool   // its first bytes are kept in head
	head     []byte
	depth    int
	objects  [maxDepth/64 + 1]uint64 // bit per depth: it is an object, not an array
	inString bool
	escaped  bool // behind a backslash
	members  bool // it is the rest of a container object

	// By these the record behind a broken one is recognised: the opening of the first whole record up to its key, like
	// {"eventVersion", or of the broken one if there is none; and the start of a line.
	opening []byte
	learned bool // opening is that of a whole record
	lines   [][]byte
}

// NewSplitter returns a Splitter of the uncompressed bytes of r.
func NewSplitter(r io.Reader) *Splitter {
	return newSplitter(r, MaxRecord, bufferSize)
}

func newSplitter(r io.Reader, maxRecord, size int) *Splitter {
	return &Splitter{r: r, max: maxRecord, buf: make([]byte, size)}
}

// Reset makes the splitter read another object, with the same buffer.
func (s *Splitter) Reset(r io.Reader) {
	*s = Splitter{r: r, max: s.max, buf: s.buf, nest: s.nest[:0], head: s.head[:0], opening: s.opening[:0], lines: s.lines[:0]}
}

// Offset returns how many bytes have been looked at.
func (s *Splitter) Offset() int64 { return s.base + int64(s.pos) }

// Err returns the error of the reader that ended the object, nil for a proper end.
func (s *Splitter) Err() error {
	if errors.Is(s.err, io.EOF) {
		return nil
	}
	return s.err
}

// Unclosed reports whether the object ended within a container.
func (s *Splitter) Unclosed() bool { return len(s.nest) > 0 }

// Next returns the next record, or the next part that holds none. io.EOF is the end of the object, also when reading it
// failed: see Err.
func (s *Splitter) Next() (Item, error) {
	s.start, s.heading = -1, false
	for {
		if s.members {
			if !s.skipMembers() {
				return s.garbage(), nil
			}
			continue
		}
		if s.pos == s.end && !s.more(s.pos) {
			return Item{}, io.EOF
		}
		switch c := s.buf[s.pos]; c {
		case ' ', '\t', '\r', '\n', ',':
			s.pos++
		case '{':
			if item, ok := s.record(); ok {
				return item, nil
			}
		case '[':
			if len(s.nest) == maxNest {
				return s.garbage(), nil
			}
			s.nest = append(s.nest, '[')
			s.pos++
		case '"':
			if s.beginsText() {
				return s.text(), nil
			}
			return s.garbage(), nil
		case ']', '}':
			s.pos++ // at the top it is left of a broken record
			if n := len(s.nest); n > 0 && c == ']' {
				s.nest = s.nest[:n-1]
				s.members = n > 1 && s.nest[n-2] == '{'
			}
		default:
			if !s.skipByteOrderMark() {
				return s.garbage(), nil
			}
		}
	}
}

// beginsText reports whether the string at pos says an object that has a key: it begins like "{\"eventVersion\".
func (s *Splitter) beginsText() bool {
	const looked = 4 // bytes, more is not needed
	for s.end-s.pos < looked && s.more(s.pos) {
	}
	b := s.buf[s.pos:s.end]
	return len(b) >= looked && b[1] == '{' && (b[2] == ' ' || b[2] == '\\' && bytes.IndexByte([]byte(`"nrt`), b[3]) >= 0)
}

// text returns the record at pos that is a string, or what is wrong with it. A line's end within it ends it, so that the next
// line is none of it.
func (s *Splitter) text() Item {
	s.begin()
	for s.pos++; ; s.pos++ {
		if s.start >= 0 && s.pos-s.start == s.max {
			s.release(TooLarge)
		}
		if s.pos == s.end && !s.more(s.pos) {
			return s.item(s.end, Truncated)
		}
		switch c := s.buf[s.pos]; {
		case c == '\n':
			return s.item(s.pos, Malformed)
		case c < ' ':
			if s.start >= 0 {
				s.release(Malformed)
			}
		case s.escaped:
			s.escaped = false
		case c == '\\':
			s.escaped = true
		case c == '"':
			s.pos++
			return s.item(s.pos, s.verdict)
		}
	}
}

// skipByteOrderMark skips one at the start of the object.
func (s *Splitter) skipByteOrderMark() bool {
	const mark = "\xef\xbb\xbf"
	if s.base != 0 || s.pos != 0 {
		return false
	}
	for s.end < len(mark) && s.more(0) {
	}
	if !bytes.HasPrefix(s.buf[:s.end], []byte(mark)) {
		return false
	}
	s.pos = len(mark)
	return true
}

// skipMembers skips members of a container object up to its end, or into an array of records. It returns false where
// nobody knows what encloses the rest; the splitter goes on as at the top of the object.
func (s *Splitter) skipMembers() bool {
	s.begin()
	s.start = -1
	s.depth, s.objects[0] = 1, 1<<1
	s.members = false
	switch s.scan() {
	case closed:
		s.nest = s.nest[:len(s.nest)-1]
	case opened:
		s.nest = append(s.nest, '[')
	case broken:
		s.nest = s.nest[:0]
		s.pos--
		return false
	}
	return true
}

// begin starts an object, or a part without records, at pos.
func (s *Splitter) begin() {
	s.start, s.offset = s.pos, s.base+int64(s.pos)
	s.verdict, s.heading, s.head = "", false, s.head[:0]
	s.depth, s.inString, s.escaped = 0, false, false
}

// record scans the object at pos and returns it, or what is wrong with it. It returns nothing when the object is a
// container, whose records come next.
func (s *Splitter) record() (Item, bool) {
	s.begin()
	for {
		switch s.scan() {
		case closed:
			return s.item(s.pos, s.verdict), true
		case opened:
			s.nest = append(s.nest, '{', '[')
			s.start, s.heading = -1, false
			return Item{}, false
		case long:
			s.learn()
			if at := s.resync(s.start+1, s.start+1, s.pos); at >= 0 && s.mayScanAgain() {
				return s.backTo(at), true // it only seemed long, because it never ends
			}
			s.release(TooLarge)
		case deep:
			s.release(TooDeep)
		case broken:
			return s.broken(), true
		case atEnd:
			return s.cut(), true
		}
	}
}

// item returns what began at the offset and ends at an index.
func (s *Splitter) item(end int, why Reason) Item {
	item := Item{Offset: s.offset, Size: s.base + int64(end) - s.offset, Reason: why}
	switch {
	case s.start < 0:
		s.capture(end)
		item.Body = s.head[:min(int64(len(s.head)), item.Size)]
	case why != "":
		item.Body = s.buf[s.start:min(end, s.start+maxHead)]
	default:
		item.Body = s.buf[s.start:end:end]
		if !s.learned {
			s.learned = true
			s.opening = append(s.opening[:0], firstKey(item.Body)...)
		}
	}
	return item
}

// release goes on with an object that will not be delivered, without keeping its bytes.
func (s *Splitter) release(why Reason) {
	s.learn()
	s.verdict = why
	s.head = append(s.head[:0], s.buf[s.start:min(s.pos, s.start+maxHead)]...)
	s.start, s.heading = -1, true
}

// capture copies the bytes before an index to the head, as far as they belong there.
func (s *Splitter) capture(end int) {
	from := int(s.offset + int64(len(s.head)) - s.base)
	if room := maxHead - len(s.head); room > 0 && from < end {
		s.head = append(s.head, s.buf[from:min(end, from+room)]...)
	}
}

// backTo gives up the object and goes on at an earlier index.
func (s *Splitter) backTo(at int) Item {
	s.again += int64(s.pos - at)
	s.pos = at
	return s.item(at, Malformed)
}

// cut gives up the object that the end of the bytes has cut.
func (s *Splitter) cut() Item {
	if s.start >= 0 {
		s.learn()
		if at := s.resync(s.start+1, s.start+1, s.pos); at >= 0 && s.mayScanAgain() {
			return s.backTo(at)
		}
	}
	return s.item(s.end, Truncated)
}

// broken gives up the object, whose last byte before pos does not fit, and goes on at the next record that is recognised.
func (s *Splitter) broken() Item {
	if s.start >= 0 {
		s.learn()
		if at := s.resync(s.start+1, s.start+1, s.pos); at >= 0 && s.mayScanAgain() {
			return s.backTo(at)
		}
		s.release(Malformed)
	}
	for searched := s.pos; ; {
		from := max(int(s.offset-s.base)+1, searched-window+lookBack, 0)
		at := s.resync(from, searched+1, s.end)
		if at >= 0 {
			s.pos = at
			return s.item(at, s.verdict)
		}
		s.pos = s.end
		ok := s.more(s.pos)
		searched = s.pos
		if !ok {
			return s.item(s.end, s.verdict)
		}
	}
}

// mayScanAgain keeps what is scanned twice in proportion: each object of a hostile file may break only at its end.
func (s *Splitter) mayScanAgain() bool { return s.again <= 32<<20+4*s.Offset() }

// garbage returns the part at pos that holds no record: up to the end of the line, the next object, or, in an array, the
// next element. What looks like an object in a string that stands by itself is none.
func (s *Splitter) garbage() Item {
	s.begin()
	s.start, s.heading = -1, true
	inString := s.buf[s.pos] == '"'
	for s.pos++; s.pos < s.end || s.more(s.pos); s.pos++ {
		c := s.buf[s.pos]
		if c == '\n' || (c == ']' || c == ',') && !inString && len(s.nest) > 0 {
			break
		}
		if inString {
			if c == '"' {
				inString = false
			} else if c == '\\' && (s.pos+1 < s.end || s.more(s.pos)) && s.buf[s.pos+1] != '\n' {
				s.pos++
			}
			continue
		}
		if c == '{' && (s.pos+1 < s.end || s.more(s.pos)) && s.buf[s.pos+1] == '"' {
			break
		}
	}
	return s.item(s.pos, Malformed)
}

// learn finds out, before its bytes are given up, by what the record behind this object will be recognised.
func (s *Splitter) learn() {
	if !s.learned {
		s.opening = append(s.opening[:0], firstKey(s.buf[s.start:s.pos])...)
	}
	s.lines = s.lines[:0]
	if len(s.nest) == 0 {
		s.lines = append(s.lines, []byte("\n{"))
	}
	for i := s.start - 1; i >= max(-1, s.start-lookBack); i-- {
		atStart := i < 0 && s.base == 0
		if atStart || i >= 0 && s.buf[i] == '\n' {
			line := append([]byte{'\n'}, s.buf[i+1:s.start]...)
			s.lines = append(s.lines, append(line, '{'))
			return
		}
		if i < 0 || s.buf[i] != ' ' && s.buf[i] != '\t' {
			return
		}
	}
}

// resync returns where the scan can go on: at the first of the patterns to end at or behind an index, within [from, to).
// It returns -1 if there is none. Taking the first to end makes the result the same however the bytes are read.
func (s *Splitter) resync(from, ends, to int) int {
	at, first := -1, to+1
	for _, line := range s.lines {
		for i := from; i < to; {
			n := bytes.Index(s.buf[i:to], line)
			if n < 0 || i+n+len(line) >= first {
				break
			}
			if i+n+len(line) >= ends {
				at, first = i+n, i+n+len(line)
				break
			}
			i += n + 1
		}
	}
	for i := from; i < to && len(s.opening) > 0; {
		n := bytes.Index(s.buf[i:to], s.opening)
		if n < 0 || i+n+len(s.opening) >= first {
			break
		}
		if i+n+len(s.opening) >= ends && s.mayOpen(i+n) {
			return i + n
		}
		i += n + 1
	}
	return at
}

// mayOpen reports whether a record may open at an index: behind another one, a comma, or the start of an array.
func (s *Splitter) mayOpen(at int) bool {
	b := bytes.TrimRight(s.buf[max(0, at-lookBack):at], " \t\r\n")
	return len(b) == 0 || bytes.IndexByte([]byte(",[]}"), b[len(b)-1]) >= 0
}

// more reads more bytes and reports whether there are any. What is before an index, and not kept for other reasons, may go.
func (s *Splitter) more(keep int) bool {
	if s.err != nil {
		return false
	}
	if s.start >= 0 && s.start < keep {
		keep = s.start
	}
	if s.end == len(s.buf) {
		keep = max(0, keep-window)
		if s.heading {
			s.capture(keep)
		}
		copy(s.buf, s.buf[keep:s.end])
		s.base += int64(keep)
		s.pos -= keep
		s.end -= keep
		if s.start >= 0 {
			s.start -= keep
		}
	}
	for range 100 { // as bufio does with a reader that returns nothing
		n, err := s.r.Read(s.buf[s.end:])
		s.end += n
		s.err = err
		if n > 0 {
			return true
		}
		if err != nil {
			return false
		}
	}
	s.err = io.ErrNoProgress
	return false
}

// firstKey returns an object's bytes up to the end of its first key, nothing if that is far or strange, or there is no object.
func firstKey(b []byte) []byte {
	b = b[:min(len(b), lookBack)]
	open := bytes.IndexByte(b, '"')
	if open < 1 || len(bytes.Trim(b[1:open], " \t\r\n")) > 0 {
		return nil
	}
	end := bytes.IndexByte(b[open+1:], '"')
	if end < 0 || bytes.IndexByte(b[open:open+1+end], '\\') >= 0 {
		return nil
	}
	return b[:open+1+end+1]
}
