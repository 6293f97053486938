package aggregate

import (
	"bytes"
	"cmp"
	"math/bits"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// Bounds of what a group gathers for METRICS. By them an hour fits into one message of 512 KiB, and into one page of the state.
const (
	// maxSeries bounds the series of an hour: the first so many get one, all others are in its other. Busy accounts make some
	// hundred kinds of calls in a region and hour. The first and not the busiest, so that whatever a series tells is complete.
	maxSeries = 512
	// maxText bounds the names of a series together, bytes: three times what the longest of both clouds need.
	maxText = 256
	// maxHours bounds the hours of a group: late events belong to 25 and open ones to 2. Stale events may belong to any.
	maxHours = 32
	// maxGathered bounds the series of all hours of a group: those of two open hours, and as many again of closed ones.
	maxGathered = 4 * maxSeries
)

// hour gathers the events of one hour of a group since its last part.
type hour struct {
	at                  schemas.Minute // the first of the hour
	events, late, stale uint64
	series              []series // in the order in which they came
	slots               []uint16 // hash table: indices into series, plus 1; as many as a power of two
	other               []schemas.MinuteCount
}

// series counts calls of one kind.
type series struct {
	hash       uint64
	text       string // service, name and error code, one behind the other
	name, code uint16 // where the latter two begin
	write      bool
	calls      uint64 // in all minutes
	minutes    []schemas.MinuteCount
}

// kind is what makes calls one series.
type kind struct {
	service, name, code string
	write               bool
	hash                uint64 // says only where the series is looked for: equal hashes do no harm
}

// sum returns the hash of a kind.
func (k *kind) sum() uint64 {
	return hashKind(xxhash.Sum64String(k.service), xxhash.Sum64String(k.name), xxhash.Sum64String(k.code))
}

func hashKind(service, name, code uint64) uint64 {
	return service ^ bits.RotateLeft64(name, 21) ^ bits.RotateLeft64(code, 42)
}

func (s *series) service() string   { return s.text[:s.name] }
func (s *series) event() string     { return s.text[s.name:s.code] }
func (s *series) errorCode() string { return s.text[s.code:] }

func (s *series) is(k *kind) bool {
	return s.write == k.write && s.service() == k.service && s.event() == k.name && s.errorCode() == k.code
}

// compare orders series by their number of calls, the busiest first.
func (s *series) compare(t *series) int {
	return cmp.Or(cmp.Compare(t.calls, s.calls), strings.Compare(s.service(), t.service()),
		strings.Compare(s.event(), t.event()), strings.Compare(s.errorCode(), t.errorCode()), compareBool(s.write, t.write))
}

// tally adds the rows of a pane, sorted as they are, to the hours of its group.
func (p *Processor) tally(g *group, pane *schemas.Pane) {
	p.hashes = slices.Grow(p.hashes[:0], len(pane.Strings))[:len(pane.Strings)]
	clear(p.hashes)
	var h *hour
	for rows := pane.Rows; len(rows) > 0; {
		r := &rows[0]
		if at := schemas.HourOf(r.Minute); h == nil || h.at != at {
			h = g.hour(at)
		}
		var reads, writes uint32 // a row's place depends on more than its kind, on write last
		n := 0
		for ; n < len(rows) && sameCall(r, &rows[n]); n++ {
			if rows[n].Write {
				writes += rows[n].Count
			} else {
				reads += rows[n].Count
			}
			if rows[n].Late {
				h.late += uint64(rows[n].Count)
			}
		}
		rows = rows[n:]
		k := kind{service: pane.Strings[r.Service], name: pane.Strings[r.Name], code: pane.Strings[r.ErrorCode]}
		k.hash = hashKind(p.hash(pane.Strings, r.Service), p.hash(pane.Strings, r.Name), p.hash(pane.Strings, r.ErrorCode))
		if reads > 0 {
			h.add(&k, r.Minute, reads)
		}
		if writes > 0 {
			k.write = true
			h.add(&k, r.Minute, writes)
		}
	}
}

func sameCall(a, b *schemas.Row) bool {
	return a.Minute == b.Minute && a.Service == b.Service && a.Name == b.Name && a.ErrorCode == b.ErrorCode
}

// hash hashes each word of a pane once.
func (p *Processor) hash(words []string, i uint32) uint64 {
	if p.hashes[i] == 0 {
		p.hashes[i] = xxhash.Sum64String(words[i])
	}
	return p.hashes[i]
}

// stale adds an event that goes into no pane.
func (g *group) stale(at schemas.Minute, words []string, e *schemas.EventRow) {
	k := kind{service: words[e.Service], name: words[e.Name], code: words[e.ErrorCode], write: e.Write}
	k.hash = k.sum()
	h := g.hour(schemas.HourOf(at))
	h.stale++
	h.add(&k, at, 1)
}

// hour returns the hour that begins at a minute.
func (g *group) hour(at schemas.Minute) *hour {
	i := len(g.hours)
	for i > 0 && g.hours[i-1].at > at {
		i--
	}
	if i > 0 && g.hours[i-1].at == at {
		return g.hours[i-1]
	}
	h := &hour{at: at}
	g.hours = slices.Insert(g.hours, i, h)
	return h
}

// crowded reports whether the group gathers so much that what is closed must go.
func (g *group) crowded() bool {
	n := 0
	for _, h := range g.hours {
		n += len(h.series)
	}
	return len(g.hours) > maxHours || n > maxGathered
}

func (h *hour) add(k *kind, at schemas.Minute, calls uint32) {
	h.events += uint64(calls)
	minute := uint8(at - h.at)
	if s := h.find(k); s != nil {
		s.calls += uint64(calls)
		s.minutes = count(s.minutes, minute, calls)
	} else {
		h.other = count(h.other, minute, calls)
	}
}

// count adds to the count of a minute, nearly always the last. No account has 2³² events in a minute.
func count(list []schemas.MinuteCount, minute uint8, calls uint32) []schemas.MinuteCount {
	i := len(list)
	for i > 0 && list[i-1].Minute > minute {
		i--
	}
	if i > 0 && list[i-1].Minute == minute {
		list[i-1].Count += calls
		return list
	}
	if len(list) == cap(list) { // in three steps: more of them would be most of the allocations of this stage
		list = slices.Grow(list, max(4, min(3*len(list), int(schemas.Hour)-len(list))))
	}
	return slices.Insert(list, i, schemas.MinuteCount{Minute: minute, Count: calls})
}

// find returns the series of a kind, a new one if there is room, else nil.
func (h *hour) find(k *kind) *series {
	if len(h.slots) > 0 {
		mask := uint64(len(h.slots) - 1)
		for i := k.hash & mask; h.slots[i] != 0; i = (i + 1) & mask {
			if s := &h.series[h.slots[i]-1]; s.hash == k.hash && s.is(k) {
				return s
			}
		}
	}
	if len(h.series) == maxSeries || len(k.service)+len(k.name)+len(k.code) > maxText {
		return nil
	}
	h.insert(series{
		hash: k.hash, text: k.service + k.name + k.code, // a copy: the words of a message stand in one array
		name: uint16(len(k.service)), code: uint16(len(k.service) + len(k.name)), write: k.write,
	})
	return &h.series[len(h.series)-1]
}

func (h *hour) insert(s series) {
	h.series = append(h.series, s)
	if 2*len(h.series) > len(h.slots) {
		h.slots = make([]uint16, max(8, 2*len(h.slots)))
		for i := range h.series {
			h.put(i)
		}
		return
	}
	h.put(len(h.series) - 1)
}

func (h *hour) put(series int) {
	mask := uint64(len(h.slots) - 1)
	i := h.series[series].hash & mask
	for h.slots[i] != 0 {
		i = (i + 1) & mask
	}
	h.slots[i] = uint16(series + 1)
}

// advance gives out the hours of a group that are closed, once its watermark has passed the end of an hour, or when the group is
// crowded. So late and stale events wait for the end of an hour: a function of the group's own records, like everything here.
func (p *Processor) advance(g *group, before schemas.Minute, emit func(runner.Output)) {
	if schemas.HourOf(before) != schemas.HourOf(g.mark.First()) || g.crowded() {
		p.releaseClosed(g, emit)
	}
}

func (p *Processor) releaseClosed(g *group, emit func(runner.Output)) {
	n := 0
	for n < len(g.hours) && g.hours[n].at <= g.mark.First()-schemas.Hour {
		n++
	}
	p.release(g, n, emit)
}

// release gives out the first n hours of a group, each as one part.
func (p *Processor) release(g *group, n int, emit func(runner.Output)) {
	for _, h := range g.hours[:n] {
		emit(runner.Output{Subject: schemas.MetricsSubject(g.region, g.account), Body: p.coder.part(g, h)})
	}
	g.hours = slices.Delete(g.hours, 0, n)
}

// A coder codes hours in memory that it uses again.
type coder struct {
	m     schemas.Metrics
	index map[string]uint32 // of the strings
	b     []byte
}

// part codes an hour, and changes the order of its series.
func (c *coder) part(g *group, h *hour) []byte {
	slices.SortFunc(h.series, func(a, b series) int { return a.compare(&b) })
	if c.index == nil {
		c.index = make(map[string]uint32)
	}
	clear(c.index)
	c.index[""] = 0
	c.m = schemas.Metrics{
		Account: g.account, Region: g.region, Hour: h.at, Events: h.events, Late: h.late, Stale: h.stale, Other: h.other,
		Strings: append(c.m.Strings[:0], ""), Series: c.m.Series[:0],
	}
	for i := range h.series {
		s := &h.series[i]
		c.m.Series = append(c.m.Series, schemas.Series{
			Service: c.word(s.service()), Name: c.word(s.event()), ErrorCode: c.word(s.errorCode()), Write: s.write,
			Minutes: s.minutes,
		})
	}
	c.b = c.m.Append(c.b[:0])
	return bytes.Clone(c.b)
}

func (c *coder) word(s string) uint32 {
	i, ok := c.index[s]
	if !ok {
		i = uint32(len(c.m.Strings))
		c.index[s] = i
		c.m.Strings = append(c.m.Strings, s)
	}
	return i
}
