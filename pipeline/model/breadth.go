package model

import (
	"math"
	"math/bits"
	"slices"

	"github.com/trailvane/trailvane/schemas"
)

// Breadth is the second statistic of a key: how many different calls it makes in a clock hour, D. One call each on sixty APIs
// is no rate of anything, but nobody works so. The clock hour is the only window: D begins at zero with it and only grows, so
// an open hour is scored as it grows. The rest is the rate model's, with an active hour in the place of a minute:
//
//	M = a/b            mean D of the key's active hours, half-life forty of them
//	z' = ln((D+c)/(M+c)) / sqrt(1/(M+c) + sv/sn)
//	p  = P(D of an active hour gives more)      from a histogram of its own
//
// M is that of active hours, and not of all, because only active hours are tested: so neither season nor outage matters to it.

// A Breadth says whether a machine counts different calls.
type Breadth uint8

// The kinds of machines. Where both are judged, each has half of the budget.
const (
	RateOnly Breadth = iota
	RateAndBreadth
	BreadthOnly
)

// byBreadth is the place of D behind the windows, where a score says what it comes from.
const byBreadth = windows

const (
	breadthHalf   = 40.0 // active hours: a week of office work
	breadthPrior  = 1.0  // calls that a new key is expected to make in its first hour …
	breadthWeight = 1.0  // … that one hour outweighs
	breadthSpread = 0.15 // variance of ln D of a new key: by a factor of 1.5; calls vary more than kinds of calls
	breadthMass   = 100  // hours that the spread remembers, twice the half-life of the level
	breadthTail   = 0.7  // of the mean excess: without it hours of p = 0.0025 came three times in 90,000
	breadthExcess = 8.0  // different calls above the expected, at least
	breadthRatio  = 2.5  // times the expected, at least
)

var breadthDecay = Exp(-ln2 / breadthHalf)

// A set counts different things, by linear counting: each sets one of 128 bits, and the number of bits that are still free
// says how many there were; to about a tenth at two hundred.
type set [2]uint64

// add takes the hash of a thing, whose bits need not be good.
func (s *set) add(hash uint64) {
	i := hash * 0x9e3779b97f4a7c15 >> 57 // the golden ratio; the highest bits hear of all others
	s[i/64] |= 1 << (i % 64)
}

func (s set) union(o set) set { return set{s[0] | o[0], s[1] | o[1]} }

func (s set) size() float64 { return setSize[bits.OnesCount64(s[0])+bits.OnesCount64(s[1])] }

// setSize is -128 ln(free/128); of a full set, as if half a bit were free: about 710, the most that is ever counted.
var setSize = func() (t [129]float64) {
	for n := range t {
		t[n] = -128 * Ln(max(float64(128-n), 0.5)/128)
	}
	t[0] = 0
	return t
}()

// A minuteSet is what an open minute has brought so far.
type minuteSet struct {
	minute schemas.Minute
	of     set
}

// addKind notes a thing in an open minute of a series.
func (s *series) addKind(m schemas.Minute, hash uint64) {
	if s.kinds == nil {
		s.kinds = new([]minuteSet)
	}
	list := *s.kinds
	i := len(list)
	for i > 0 && list[i-1].minute > m {
		i--
	}
	if i == 0 || list[i-1].minute != m {
		list = slices.Insert(list, i, minuteSet{minute: m})
		i++
	}
	list[i-1].of.add(hash)
	*s.kinds = list
}

// kindsOf returns what an open minute has brought.
func (s *series) kindsOf(m schemas.Minute) set {
	if s.kinds != nil {
		for _, k := range *s.kinds {
			if k.minute == m {
				return k.of
			}
		}
	}
	return set{}
}

// takeKinds returns what the first open minute has brought, and forgets it.
func (s *series) takeKinds(m schemas.Minute) set {
	if s.kinds == nil || len(*s.kinds) == 0 || (*s.kinds)[0].minute != m {
		return set{}
	}
	first := (*s.kinds)[0].of
	*s.kinds = slices.Delete(*s.kinds, 0, 1)
	return first
}

// A breadth is the model of one key. It belongs to its rate, whose blocks are its own.
type breadth struct {
	a, b   float64 // decayed sum of D over active hours, and their number
	sv, sn float64
	hist   histogram

	// The open block.
	hour    schemas.Minute
	all     set     // in closed minutes
	seen    set     // the same, without an episode that is over
	current float64 // maximum of z'
	suspect bool
	hot     bool           // an alarm was possible, and the key has not cooled since
	hotMin  schemas.Minute // the last minute that was abnormal and brought something new

	tail  tail // fitted to hist
	epoch uint32
}

func newBreadth(hour schemas.Minute) *breadth {
	return &breadth{a: breadthPrior * breadthWeight, b: breadthWeight, sv: breadthSpread * priorSpread, sn: priorSpread, hour: hour}
}

// may reports that n more calls might pass the gate.
func (b *breadth) may(n float64) bool { return b != nil && n+b.seen.size() >= breadthExcess }

// A breadthLook judges minutes on the model as it was at one moment.
type breadthLook struct {
	hour            schemas.Minute
	seen            set
	expected, extra float64 // M and sv/sn
	tail            tail
	blind           bool // says nothing in this hour: its episode may be over by the time it is folded
	z               float64
}

// lookout returns a look on the model; nil has none. One that looks ahead says nothing of an hour that is hot, because what an
// episode leaves is forgotten in the fold only.
func (b *breadth) lookout(p *prior, settled, ahead bool) *breadthLook {
	if b == nil {
		return nil
	}
	l := &breadthLook{hour: b.hour, seen: b.seen, expected: b.a / b.b, extra: b.sv / b.sn, blind: ahead && b.hot}
	if !settled {
		l.tail = *p.breadth.first
		return l
	}
	if b.epoch != p.epoch {
		b.tail, b.epoch = fit(b.hist[:], p.breadth.beta0), p.epoch
		b.tail.beta = float64(b.tail.beta * breadthTail)
	}
	l.tail = b.tail
	return l
}

func (l *breadthLook) spread() float64 { return math.Sqrt(1/(l.expected+small) + l.extra) }

// see adds what a minute has brought, and says in the score whether the hour is abnormal by then. Minutes come in
// ascending order.
func (l *breadthLook) see(m schemas.Minute, got set, sc *score) {
	if l == nil {
		return
	}
	if hour := hourOf(m); hour != l.hour {
		l.hour, l.seen, l.blind = hour, set{}, false
	}
	before := l.seen
	l.seen = before.union(got)
	if l.z = 0; l.blind {
		return
	}
	d := l.seen.size()
	l.z = ratioLn(d, l.expected) / l.spread()
	if l.z >= coolZ && l.seen != before {
		sc.hot = true
	}
	if l.z <= l.tail.u {
		return
	}
	lnP := min(0, l.tail.lnP(l.z))
	sc.rarest = min(sc.rarest, lnP)
	if d-l.expected < breadthExcess || d+small < float64(breadthRatio*(l.expected+small)) {
		return
	}
	if !sc.elevated || lnP < sc.lnP {
		sc.elevated = true
		sc.lnP, sc.window, sc.s, sc.m = lnP, byBreadth, d, l.expected
	}
}

var lnMaxAlpha = Ln(maxAlpha)

// cool forgets the episode of the open hour if it is over by the minute m: it must not be told again, nor hide what comes.
func (b *breadth) cool(m schemas.Minute) {
	if b != nil && b.hot && m-b.hotMin > coolTime {
		b.hot, b.seen = false, set{}
	}
}

// fold takes what a closed minute has brought, and adds what it says to the score.
func (b *breadth) fold(m schemas.Minute, got set, p *prior, settled bool, sc *score) {
	if b == nil {
		return
	}
	l := b.lookout(p, settled, false)
	own := score{minute: m}
	l.see(m, got, &own)
	b.seen, b.all = l.seen, b.all.union(got)
	b.current = max(b.current, l.z)
	if own.rarest < lnSuspect {
		b.suspect = true
	}
	possible := own.rarest < lnMaxAlpha
	if own.hot || possible && !b.hot { // of a very regular key an alarm is possible below coolZ, too
		b.hotMin = m
	}
	b.hot = b.hot || possible
	sc.join(&own)
}

// join adds what another statistic says of the minute.
func (sc *score) join(o *score) {
	sc.hot = sc.hot || o.hot
	sc.rarest = min(sc.rarest, o.rarest)
	if o.elevated && (!sc.elevated || o.lnP < sc.lnP) {
		sc.elevated, sc.lnP, sc.window, sc.s, sc.m = true, o.lnP, o.window, o.s, o.m
	}
}

// closeBlock learns from the open hour, as the rate does from suspect minutes, and opens the next one.
func (b *breadth) closeBlock(hour schemas.Minute, whole bool) (maximum float64, units uint16) {
	d, expected := b.all.size(), b.a/b.b
	v0 := 1 / (expected + small)
	z := ratioLn(d, expected)
	learned, weight := d, 1.0
	units = unit
	if b.suspect {
		weight = suspectSpread
		if !whole {
			learned = float64(0.3*d) + float64(0.7*min(d, expected+max(3, float64(6*math.Sqrt(expected)))))
		}
	}
	maximum = b.current
	b.hist.add(maximum, units)
	b.sv += float64(weight * max(min(float64(z*z), float64(9*(v0+b.sv/b.sn)))-v0, 0))
	if b.sn += weight; b.sn > breadthMass {
		b.sv /= 2
		b.sn /= 2
	}
	b.a = float64(b.a*breadthDecay) + learned
	b.b = float64(b.b*breadthDecay) + 1
	b.open(hour)
	return maximum, units
}

// open begins a block.
func (b *breadth) open(hour schemas.Minute) {
	b.hour, b.all, b.seen, b.current, b.suspect, b.hot, b.epoch = hour, set{}, set{}, 0, false, false, 0
}

// A breadthPool is what the keys of an account borrow, as from its pools and first blocks of rates.
type breadthPool struct {
	pool   pool
	first  [bins]uint32
	frozen tail
}

func newBreadthPool() *breadthPool {
	b := &breadthPool{pool: pool{beta0: poolBeta}}
	b.frozen = firstTail(&b.first)
	return b
}

func (b *breadthPool) roll() {
	if b != nil {
		b.pool.roll()
		b.frozen = firstTail(&b.first)
	}
}

// breadthPrior is what a key borrows of it.
type borrowedBreadth struct {
	beta0 float64
	first *tail
}

func (b *breadthPool) prior() (p borrowedBreadth) {
	if b != nil {
		p = borrowedBreadth{b.pool.beta0, &b.frozen}
	}
	return p
}

func (b *breadth) append(w *writer) {
	w.Flags(b.suspect, b.hot)
	w.Minute(b.hour)
	w.Minute(b.hotMin)
	w.Floats(b.a, b.b, b.sv, b.sn, b.current)
	b.all.append(w)
	b.seen.append(w)
	histogramTo(w, b.hist[:])
}

func (b *breadth) read(r *reader) {
	r.Flags(&b.suspect, &b.hot)
	b.hour, b.hotMin = r.Minute(), r.Minute()
	r.Floats(&b.a, &b.b, &b.sv, &b.sn, &b.current)
	b.all.read(r)
	b.seen.read(r)
	histogramFrom(r, b.hist[:])
}

func (s *set) append(w *writer) {
	w.Uint(s[0])
	w.Uint(s[1])
}

func (s *set) read(r *reader) { s[0], s[1] = r.Uint(), r.Uint() }

func (l *breadthLook) append(w *writer) {
	w.Flags(l.blind)
	w.Minute(l.hour)
	w.Floats(l.expected, l.extra)
	l.seen.append(w)
	l.tail.append(w)
}

func (l *breadthLook) read(r *reader) {
	r.Flags(&l.blind)
	l.hour = r.Minute()
	r.Floats(&l.expected, &l.extra)
	l.seen.read(r)
	l.tail.read(r)
}

func (b *breadthPool) append(w *writer) {
	histogramTo(w, b.pool.live[:])
	w.Floats(b.pool.beta0)
	histogramTo(w, b.first[:])
	b.frozen.append(w)
}

func (b *breadthPool) read(r *reader) {
	histogramFrom(r, b.pool.live[:])
	b.pool.beta0 = r.Float()
	histogramFrom(r, b.first[:])
	b.frozen.read(r)
}

// appendKinds writes the sets of the open minutes, which are those of the pending rows.
func (s *series) appendKinds(w *writer) {
	if s.in.account.kinds == nil {
		return
	}
	for i, row := range s.pending {
		if i == 0 || row.minute != s.pending[i-1].minute {
			of := s.kindsOf(schemas.Minute(row.minute))
			of.append(w)
		}
	}
}

func (s *series) readKinds(r *reader) {
	if s.in.account.kinds == nil || len(s.pending) == 0 {
		return
	}
	s.kinds = new([]minuteSet)
	for i, row := range s.pending {
		if i == 0 || row.minute != s.pending[i-1].minute {
			k := minuteSet{minute: schemas.Minute(row.minute)}
			k.of.read(r)
			*s.kinds = append(*s.kinds, k)
		}
	}
}

// fits reports that the state of a series is that of such a machine.
func (c *Config) fits(s *series) bool {
	with := c.Breadth != RateOnly
	return (!s.alive || with == (s.rate.breadth != nil)) && (s.open == nil || with == (s.open.before.breadth != nil))
}

// closeBreadth closes the open block of a key, and tells the account's pools.
func (t *task) closeBreadth(b *breadth, hour schemas.Minute, whole, old, first bool) {
	maximum, units := b.closeBlock(hour, whole)
	if old {
		t.account.kinds.pool.add(maximum, units)
	}
	if first {
		t.account.kinds.first[bin(maximum)] += uint32(units)
	}
}
