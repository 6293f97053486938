package model

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strings"
)

// Dimensions of a row that explain an insight: the first four are attributions, the others drivers.
const (
	userAgent = iota
	principal
	apiRelated // of machines that want it
	errorCode
	sourceIP
	accessKey
	dimensions
)

const (
	attributed = 4   // dimensions that the vendors list as attributions
	maxTuples  = 32  // distinct tuples of a key and minute that are told apart; real bursts have a handful …
	maxAPIs    = 128 // … but with the API among their values, as many as a scan of a cloud's services makes in a minute
	maxSamples = 5   // event ids kept of an insight
	maxSample  = 64  // bytes of an event id: those of both vendors have 36
)

var dimensionNames = [dimensions]string{"userAgent", "principalId", "apiRelated", "errorCode", "sourceIPAddress", "accessKeyId"}

// A tuple is one value of each dimension, as ids of the account's strings.
type tuple [dimensions]uint32

// nobody is the tuple of calls that are not told apart.
var nobody = tuple{rest, rest, rest, rest, rest, rest}

// A row is how often a tuple was seen in a minute of a key.
type row struct {
	minute int32
	of     tuple
	hash   uint64 // of the strings of the tuple, once it is in a minute; none of the rest
	count  uint64
	sample string // the smallest event id, so that it does not depend on order; empty for the rest
}

// names interns the values of one account. Ids live in memory only: state and outputs have the strings.
type names struct {
	of   []string
	hash []uint64
	id   map[string]uint32

	tuples int // of a minute that are told apart
}

const (
	noValue = 0 // the record does not say
	rest    = 1 // values beyond maxTuples; not an answer, so never reported
)

func newNames(tuples int) names {
	n := names{id: make(map[string]uint32), tuples: tuples}
	n.intern("")
	n.intern("\x00rest")
	return n
}

func (n *names) intern(s string) uint32 {
	if id, ok := n.id[s]; ok {
		return id
	}
	if len(s) > maxValue {
		s = Bound(s)
		if id, ok := n.id[s]; ok {
			return id
		}
	}
	s = strings.Clone(s) // not the dictionary of a whole pane
	id := uint32(len(n.of))
	h := fnv.New64a()
	h.Write([]byte(s))
	n.of, n.hash = append(n.of, s), append(n.hash, h.Sum64())
	n.id[s] = id
	return id
}

func (n *names) hashOf(t tuple) uint64 {
	h := uint64(14695981039346656037)
	for _, id := range t {
		h = (h ^ n.hash[id]) * 1099511628211
		h ^= h >> 29
	}
	return h
}

// compare orders rows by minute and then by the strings of the tuple, so that nothing depends on ids or order.
func (n *names) compare(a, b row) int {
	if c := cmp.Compare(a.minute, b.minute); c != 0 {
		return c
	}
	for d := range dimensions {
		if a.of[d] != b.of[d] {
			return strings.Compare(n.of[a.of[d]], n.of[b.of[d]])
		}
	}
	return 0
}

// addRow adds to rows, which are sorted by minute. A minute keeps so many tuples, those with the smallest hashes, and one
// row for the rest: which ones are kept, and their counts, do not depend on the order in which they come, because
// a tuple that is pushed out can never come back.
func (n *names) addRow(rows []row, r row) []row {
	at := len(rows) // where the minute ends
	for at > 0 && rows[at-1].minute > r.minute {
		at--
	}
	if r.of[0] == rest { // of a key, given to its roll-up
		for i := at - 1; i >= 0 && rows[i].minute == r.minute; i-- {
			if rows[i].of[0] == rest {
				rows[i].count += r.count
				return rows
			}
		}
		return slices.Insert(rows, at, r)
	}
	tuples, largest, others := 0, -1, -1
	for i := at - 1; i >= 0 && rows[i].minute == r.minute; i-- {
		if rows[i].of == r.of {
			rows[i].count += r.count
			if r.sample != "" && (rows[i].sample == "" || r.sample < rows[i].sample) {
				rows[i].sample = r.sample
			}
			return rows
		}
		if rows[i].of[0] == rest {
			others = i
			continue
		}
		tuples++
	}
	r.hash = n.hashOf(r.of)
	if tuples < n.tuples {
		return slices.Insert(rows, at, r)
	}
	for i := at - 1; i >= 0 && rows[i].minute == r.minute; i-- {
		if i != others && (largest < 0 || n.less(&rows[largest], &rows[i])) {
			largest = i
		}
	}
	if n.less(&r, &rows[largest]) {
		r, rows[largest] = rows[largest], r
	}
	if others >= 0 {
		rows[others].count += r.count
		return rows
	}
	return slices.Insert(rows, at, row{minute: r.minute, of: nobody, count: r.count})
}

func (n *names) less(a, b *row) bool {
	return a.hash < b.hash || a.hash == b.hash && n.compare(row{of: a.of}, row{of: b.of}) < 0
}

// A sketch counts the values of all dimensions of a stretch of time.
type sketch struct {
	count   uint64
	top     [dimensions]Top[uint32]
	samples []string
}

// add takes rows that are sorted by compare.
func (s *sketch) add(rows []row) {
	for _, r := range rows {
		s.count += r.count
		if r.of[0] == rest {
			continue
		}
		for d, id := range r.of {
			s.top[d].Add(id, r.count)
		}
		if r.sample != "" && len(s.samples) < maxSamples && !slices.Contains(s.samples, r.sample) {
			s.samples = append(s.samples, r.sample)
		}
	}
}

func (s *sketch) clone() sketch {
	c := *s
	for d := range c.top {
		c.top[d] = slices.Clone(s.top[d])
	}
	c.samples = slices.Clone(s.samples)
	return c
}

// usual is who normally makes the calls of a key: decayed counts, half-life a week.
type usual struct {
	day int32
	top [dimensions][]usualValue
}

type usualValue struct {
	id uint32
	n  float32
}

// weekDecay[k] is 2^(-k/7).
var weekDecay = func() (t [64]float64) {
	for k := range t {
		t[k] = Exp(-float64(k) * ln2 / 7)
	}
	return t
}()

// add takes rows of one minute that are sorted by compare.
func (u *usual) add(day int32, rows []row) {
	if u.day != day {
		f := weekDecay[min(max(int64(day)-int64(u.day), 0), int64(len(weekDecay)-1))]
		for d := range u.top {
			for i := range u.top[d] {
				u.top[d][i].n = float32(float64(u.top[d][i].n) * f)
			}
		}
		u.day = day
	}
	for _, r := range rows {
		if r.of[0] == rest {
			continue
		}
		for d, id := range r.of {
			u.top[d] = addUsual(u.top[d], id, float64(r.count))
		}
	}
}

func addUsual(top []usualValue, id uint32, n float64) []usualValue {
	smallest := 0
	for i, c := range top {
		if c.id == id {
			top[i].n = float32(float64(c.n) + n)
			return top
		}
		if c.n < top[smallest].n {
			smallest = i
		}
	}
	if len(top) < TopValues {
		return append(top, usualValue{id, float32(n)})
	}
	top[smallest].id = id
	top[smallest].n = float32(float64(top[smallest].n) + n)
	return top
}

// weed forgets the strings that nothing refers to any more, once there are twice as many as were in use the last time, and one
// more for every series, which it has to walk through: an attacker can send a new user agent with every call.
func (a *account) weed() {
	const few = 4096 // not worth the walk
	if len(a.names.of) < max(few, 2*a.weeded, a.weeded+a.keys) {
		return
	}
	old := a.names
	a.names = newNames(old.tuples)
	keep := func(id *uint32) {
		if *id > rest {
			*id = a.names.intern(old.of[*id])
		}
	}
	for _, r := range a.regions {
		for _, s := range r.series {
			s.refer(keep)
		}
		r.reindex() // owners have new ids
	}
	a.weeded = len(a.names.of)
}

// refer visits every string id of a series.
func (s *series) refer(visit func(*uint32)) {
	rows := func(rows []row) {
		for i := range rows {
			if rows[i].of[0] == rest {
				continue
			}
			for d := range rows[i].of {
				visit(&rows[i].of[d])
			}
		}
	}
	rows(s.pending)
	visit(&s.owner.id)
	for d := range dimensions {
		if s.run != nil {
			for i := range s.run.main.top[d] {
				visit(&s.run.main.top[d][i].Value)
			}
		}
		if s.usual != nil {
			for i := range s.usual.top[d] {
				visit(&s.usual.top[d][i].id)
			}
		}
		if s.open != nil {
			for i := range s.open.usual[d] {
				visit(&s.open.usual[d][i].id)
			}
		}
	}
	if s.run != nil {
		rows(s.run.tail)
	}
}
