package schemas

import "math"

// The three messages that carry nearly all bytes. Their decoders use the memory of the message they are
// called on again.

// Append appends the message's wire form to b.
func (c *Chunk) Append(b []byte) []byte {
	b = appendArray(b, 5)
	b = appendUint(b, chunkVersion)
	b = appendString(b, c.Object)
	b = appendString(b, c.Account)

	// The records as one blob, and of each the bytes of the object that it left out before it, and its
	// length.
	b = appendArray(b, 2*len(c.Records))
	size, end := 0, int64(0)
	for _, r := range c.Records {
		b = appendInt(b, r.Offset-end)
		b = appendUint(b, uint64(len(r.Body)))
		size += len(r.Body)
		end = r.Offset + int64(len(r.Body))
	}
	b = appendBinHeader(b, size)
	for _, r := range c.Records {
		b = append(b, r.Body...)
	}
	return b
}

// Decode reads a message. The raw records alias body; memory of c is used again.
func (c *Chunk) Decode(body []byte) error {
	r := reader{b: body}
	more := r.open(chunkVersion, 5)
	if s := r.raw(); string(s) != c.Object { // many chunks of one object follow each other
		c.Object = string(s)
	}
	if s := r.raw(); string(s) != c.Account {
		c.Account = string(s)
	}

	n := r.list(1)
	if n%2 != 0 {
		r.fail("record without a length")
	}
	c.Records = resize(c.Records, n/2)
	size, end := uint64(0), int64(0)
	for i := range c.Records {
		c.Records[i].Offset = end + r.int()
		length := r.max(uint64(len(body)))
		c.Records[i].Body = body[:length] // its place is known below
		size += length
		end = c.Records[i].Offset + int64(length)
	}
	blob := r.bin()
	if r.err == nil && uint64(len(blob)) != size {
		r.fail("%d bytes of records, want %d", len(blob), size)
	}
	if err := r.close(more); err != nil {
		c.Records = c.Records[:0] // their bodies are not in place
		return err
	}
	for i := range c.Records {
		length := len(c.Records[i].Body)
		c.Records[i].Body, blob = blob[:length:length], blob[length:]
	}
	return nil
}

const (
	eventRowFields = 13
	sectionFields  = 6
)

// Append appends the message's wire form to b.
func (e *EventBatch) Append(b []byte) []byte {
	text := 0
	for i := range e.Sections {
		s := &e.Sections[i]
		text += len(s.Account.Provider) + len(s.Account.ID) + len(s.Region) + lengths(s.Strings)
		for j := range s.Rows {
			text += len(s.Rows[j].ID)
		}
	}
	b = appendArray(b, 3)
	b = appendUint(b, eventBatchVersion)
	b = appendUint(b, uint64(text))
	b = appendArray(b, len(e.Sections))
	for i := range e.Sections {
		b = e.Sections[i].append(b)
	}
	return b
}

func (s *Section) append(b []byte) []byte {
	b = appendArray(b, sectionFields)
	b = appendString(b, string(s.Account.Provider))
	b = appendString(b, s.Account.ID)
	b = appendString(b, s.Region)
	b = appendInt(b, int64(s.Lane))
	b = appendStrings(b, s.Strings)
	b = appendArray(b, len(s.Rows))
	last := int64(0)
	for i := range s.Rows {
		row := &s.Rows[i]
		b = append(b, fixArray|eventRowFields)
		b = appendID(b, row.ID)
		b = appendInt(b, row.Time-last)
		last = row.Time
		b = appendUint(b, uint64(row.Service))
		b = appendUint(b, uint64(row.Name))
		b = appendUint(b, uint64(row.ErrorCode))
		b = appendUint(b, uint64(row.Principal))
		b = appendUint(b, uint64(row.AccessKey))
		b = appendUint(b, uint64(row.SourceIP))
		b = appendUint(b, uint64(row.Country))
		b = appendUint(b, uint64(row.UserAgent))
		b = appendUint(b, uint64(row.ASN))
		b = appendUint(b, flags(row.PrincipalType, row.Write, false))
		b = appendUint(b, row.Traits.pack())
	}
	return b
}

// Decode reads a message. No string aliases body; memory of e is used again. All strings share one backing
// array: who keeps one for longer than the message clones it.
func (e *EventBatch) Decode(body []byte) error {
	r := reader{b: body}
	more := r.open(eventBatchVersion, 3)
	r.grow()
	e.Sections = resize(e.Sections, r.list(1+sectionFields))
	for i := range e.Sections {
		e.Sections[i].decode(&r)
	}
	return r.close(more)
}

func (s *Section) decode(r *reader) {
	more := r.array(sectionFields)
	s.Account.Provider = Provider(r.string())
	s.Account.ID = r.string()
	s.Region = r.string()
	s.Lane = r.lane()
	s.Strings = r.dictionary(s.Strings)
	s.Rows = resize(s.Rows, r.list(1+eventRowFields))
	words, last := len(s.Strings), int64(0)
	for i := range s.Rows {
		row := &s.Rows[i]
		more := r.array(eventRowFields)
		row.ID = r.id()
		row.Time = last + r.int()
		last = row.Time
		row.Service = r.word(words)
		row.Name = r.word(words)
		row.ErrorCode = r.word(words)
		row.Principal = r.word(words)
		row.AccessKey = r.word(words)
		row.SourceIP = r.word(words)
		row.Country = r.word(words)
		row.UserAgent = r.word(words)
		row.ASN = r.word(words)
		row.PrincipalType, row.Write, _ = r.flags()
		row.Traits = r.traits()
		r.rest(more)
		if r.err != nil {
			return
		}
	}
	r.rest(more)
}

const (
	rowFields  = 14
	paneFields = 8
)

// Append appends the message's wire form to b.
func (p *PaneBatch) Append(b []byte) []byte {
	text := 0
	for i := range p.Panes {
		p := &p.Panes[i]
		text += len(p.Account.Provider) + len(p.Account.ID) + len(p.Region) + lengths(p.Strings)
		for j := range p.Rows {
			text += len(p.Rows[j].Sample)
		}
	}
	b = appendArray(b, 3)
	b = appendUint(b, paneBatchVersion)
	b = appendUint(b, uint64(text))
	b = appendArray(b, len(p.Panes))
	for i := range p.Panes {
		b = p.Panes[i].append(b)
	}
	return b
}

func (p *Pane) append(b []byte) []byte {
	b = appendArray(b, paneFields)
	b = appendString(b, string(p.Account.Provider))
	b = appendString(b, p.Account.ID)
	b = appendString(b, p.Region)
	b = appendInt(b, int64(p.Lane))
	b = appendInt(b, int64(p.Watermark))
	b = appendBool(b, p.Close)
	b = appendStrings(b, p.Strings)
	b = appendArray(b, len(p.Rows))
	last := p.Watermark
	for i := range p.Rows {
		row := &p.Rows[i]
		b = append(b, fixArray|rowFields)
		b = appendInt(b, int64(row.Minute)-int64(last))
		last = row.Minute
		b = appendUint(b, uint64(row.Service))
		b = appendUint(b, uint64(row.Name))
		b = appendUint(b, uint64(row.ErrorCode))
		b = appendUint(b, uint64(row.Principal))
		b = appendUint(b, uint64(row.AccessKey))
		b = appendUint(b, uint64(row.SourceIP))
		b = appendUint(b, uint64(row.Country))
		b = appendUint(b, uint64(row.UserAgent))
		b = appendUint(b, uint64(row.ASN))
		b = appendUint(b, flags(row.PrincipalType, row.Write, row.Late))
		b = appendUint(b, uint64(row.Count))
		b = appendID(b, row.Sample)
		b = appendUint(b, row.Traits.pack())
	}
	return b
}

// Decode reads a message. No string aliases body; memory of p is used again. All strings share one backing
// array: who keeps one for longer than the message clones it.
func (p *PaneBatch) Decode(body []byte) error {
	r := reader{b: body}
	more := r.open(paneBatchVersion, 3)
	r.grow()
	p.Panes = resize(p.Panes, r.list(1+paneFields))
	for i := range p.Panes {
		p.Panes[i].decode(&r)
	}
	return r.close(more)
}

func (p *Pane) decode(r *reader) {
	more := r.array(paneFields)
	p.Account.Provider = Provider(r.string())
	p.Account.ID = r.string()
	p.Region = r.string()
	p.Lane = r.lane()
	p.Watermark = r.minute()
	p.Close = r.bool()
	p.Strings = r.dictionary(p.Strings)
	p.Rows = resize(p.Rows, r.list(1+rowFields))
	words, last := len(p.Strings), p.Watermark
	for i := range p.Rows {
		row := &p.Rows[i]
		more := r.array(rowFields)
		last = r.minuteAfter(last)
		row.Minute = last
		row.Service = r.word(words)
		row.Name = r.word(words)
		row.ErrorCode = r.word(words)
		row.Principal = r.word(words)
		row.AccessKey = r.word(words)
		row.SourceIP = r.word(words)
		row.Country = r.word(words)
		row.UserAgent = r.word(words)
		row.ASN = r.word(words)
		row.PrincipalType, row.Write, row.Late = r.flags()
		row.Count = r.uint32()
		row.Sample = r.id()
		row.Traits = r.traits()
		r.rest(more)
		if r.err != nil {
			return
		}
	}
	r.rest(more)
}

// flags packs the kind of principal and two booleans into a number that is one byte long for any kind known
// today.
func flags(t PrincipalType, write, late bool) uint64 {
	v := uint64(t) << 2
	if late {
		v |= 2
	}
	if write {
		v |= 1
	}
	return v
}

func (r *reader) flags() (t PrincipalType, write, late bool) {
	v := r.max(math.MaxUint8<<2 | 3)
	return PrincipalType(v >> 2), v&1 != 0, v&2 != 0
}

func (r *reader) minuteAfter(last Minute) Minute {
	v := r.between(-math.MaxUint32, math.MaxUint32) + int64(last)
	if v < math.MinInt32 || v > math.MaxInt32 {
		r.fail("minute %d is out of range", v)
		return 0
	}
	return Minute(v)
}

// grow reads the length of all text of a message and makes room for it. No text is longer than twice its
// coded form, so a larger number is a lie; a smaller one only costs allocations.
func (r *reader) grow() {
	if n := r.max(2 * uint64(len(r.b))); n > 0 {
		r.text.Grow(int(n))
	}
}

func appendStrings(b []byte, list []string) []byte {
	b = appendArray(b, len(list))
	for _, s := range list {
		b = appendString(b, s)
	}
	return b
}

// dictionary reads the words of a section or pane into memory that is used again.
func (r *reader) dictionary(words []string) []string {
	words = resize(words, r.list(1))
	for i := range words {
		words[i] = r.string()
	}
	if len(words) > 0 && words[0] != "" {
		r.fail("the dictionary does not begin with the empty word")
	}
	return words
}

// word reads an index of a dictionary of n words.
func (r *reader) word(n int) uint32 {
	v := r.uint()
	if v >= uint64(n) {
		r.fail("word %d of %d", v, n)
		return 0
	}
	return uint32(v)
}

func lengths(list []string) (n int) {
	for _, s := range list {
		n += len(s)
	}
	return n
}

// resize returns s with length n. Elements within the old capacity keep what they hold, for its memory to be
// used again.
func resize[T any](s []T, n int) []T {
	if n <= cap(s) {
		return s[:n]
	}
	grown := make([]T, n)
	copy(grown, s[:cap(s)])
	return grown
}
