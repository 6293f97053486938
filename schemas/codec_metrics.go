package schemas

const (
	metricsFields = 11
	seriesFields  = 5
)

// Append appends the message's wire form to b.
func (m *Metrics) Append(b []byte) []byte {
	b = appendArray(b, metricsFields)
	b = appendUint(b, metricsVersion)
	b = appendString(b, string(m.Account.Provider))
	b = appendString(b, m.Account.ID)
	b = appendString(b, m.Region)
	b = appendInt(b, int64(m.Hour))
	b = appendUint(b, m.Events)
	b = appendUint(b, m.Late)
	b = appendUint(b, m.Stale)
	b = appendStrings(b, m.Strings)
	b = appendArray(b, len(m.Series))
	for i := range m.Series {
		s := &m.Series[i]
		b = appendArray(b, seriesFields)
		b = appendUint(b, uint64(s.Service))
		b = appendUint(b, uint64(s.Name))
		b = appendUint(b, uint64(s.ErrorCode))
		b = appendBool(b, s.Write)
		b = appendMinuteCounts(b, s.Minutes)
	}
	return appendMinuteCounts(b, m.Other)
}

// Decode reads a message. No string aliases body; memory of m is used again. All strings share one backing array: who keeps
// one for longer than the message clones it.
func (m *Metrics) Decode(body []byte) error {
	r := reader{b: body}
	more := r.open(metricsVersion, metricsFields)
	r.text.Grow(len(body))
	m.Account = Account{Provider: Provider(r.string()), ID: r.string()}
	m.Region = r.string()
	m.Hour = r.minute()
	if m.Hour != HourOf(m.Hour) {
		r.fail("minute %d begins no hour", int32(m.Hour))
	}
	m.Events, m.Late, m.Stale = r.uint(), r.uint(), r.uint()
	m.Strings = r.dictionary(m.Strings)
	m.Series = resize(m.Series, r.list(1+seriesFields))
	words := len(m.Strings)
	for i := range m.Series {
		s := &m.Series[i]
		more := r.array(seriesFields)
		s.Service = r.word(words)
		s.Name = r.word(words)
		s.ErrorCode = r.word(words)
		s.Write = r.bool()
		s.Minutes = r.minuteCounts(s.Minutes)
		r.rest(more)
		if r.err != nil {
			break
		}
	}
	m.Other = r.minuteCounts(m.Other)
	return r.close(more)
}

// appendMinuteCounts writes two numbers for each minute: the minutes between it and the one before, and the count.
func appendMinuteCounts(b []byte, list []MinuteCount) []byte {
	b = appendArray(b, 2*len(list))
	next := 0
	for _, c := range list {
		b = appendUint(b, uint64(int(c.Minute)-next))
		b = appendUint(b, uint64(c.Count))
		next = int(c.Minute) + 1
	}
	return b
}

// minuteCounts reads at most one count for each minute of an hour into memory that is used again.
func (r *reader) minuteCounts(list []MinuteCount) []MinuteCount {
	n := r.list(1)
	if n%2 != 0 || n > 2*int(Hour) {
		r.fail("list of %d for the minutes of an hour", n)
		n = 0
	}
	list = resize(list, n/2)
	next := uint64(0)
	for i := range list {
		next += r.max(uint64(Hour)-1) + 1
		if next > uint64(Hour) {
			r.fail("minute %d of an hour", next-1)
			next = 0
		}
		list[i] = MinuteCount{Minute: uint8(next - 1), Count: r.uint32()}
	}
	return list
}
