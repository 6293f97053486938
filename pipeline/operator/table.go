package operator

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/trailvane/trailvane/schemas"
)

// The item sets that are counted, in operator-days. What else an operator is known by is in its profile.
const (
	setOp = uint8(iota + 1)
	setGroup
	setAct
	setService
	setOpService
	setOpAct
	setGroupAct
	setOpTarget
	setActTarget
	sets
)

const (
	maxSets   = 512 // item sets of an account and class: some sixty operators with three calls each
	habitDays = 3   // distinct days that make a habit

	// rebase is how many days weights grow by before all counts are halved as often: 2^10, far inside 24 bits of precision.
	rebase = 10 * halfLife
)

// An entry counts an item set. Counts decay forward: today's weight grows, so that old entries need no work.
type entry struct {
	hash  uint64
	kind  uint8
	count float32          // in weights of the table's base day
	fresh float32          // of these, by somebody who was new to the set; kept for acts and services
	hits  uint16           // undecayed, since the last gap of more than 90 days
	last  [habitDays]int32 // the last distinct days, newest first; noDay for none
	of    uint64           // hash of the operator or group, of entries with a name
	name  string           // of an operator or group, for people
}

const noDay = math.MinInt32

// A table counts the operator-days of one account and class. When it is full the item set with the smallest count gives way,
// and its successor begins with its own day only: names made up by an attacker push out each other, never a habit.
type table struct {
	base    int32
	based   bool
	class   [2]entry // all operator-days: of those who change others, and themselves
	entries []entry
	index   map[uint64]int
}

func newTable() table {
	t := table{index: make(map[uint64]int)}
	for i := range t.class {
		t.class[i].last = [habitDays]int32{noDay, noDay, noDay}
	}
	return t
}

func setHash(kind uint8, a, b uint64) uint64 { return mix(mix(a, b), uint64(kind)) & hashBits }

func (t *table) get(hash uint64) *entry {
	if i, ok := t.index[hash]; ok {
		return &t.entries[i]
	}
	return nil
}

// knows reports whether an operator had a day in the class before this one.
func (t *table) knows(op, self uint64, day int32) bool {
	return t.get(setHash(setOp, op, self)).before(day)
}

// before reports whether an item set was seen before the day.
func (e *entry) before(day int32) bool {
	return e != nil && (e.last[0] != noDay && e.last[0] < day || e.last[1] != noDay)
}

// habit reports whether an item set was seen on three distinct days of the last ninety.
func (e *entry) habit(day int32) bool {
	return e != nil && e.last[habitDays-1] != noDay && int64(day)-int64(e.last[habitDays-1]) <= memory
}

// weight is what an operator-day of the day counts, in weights of the base day.
func (t *table) weight(day int32) float64 { return 1 / decay(int64(day)-int64(t.base)) }

// n returns the decayed count of an item set.
func (t *table) n(e *entry, day int32) float64 {
	if e == nil {
		return 0
	}
	return float64(e.count) * decay(int64(day)-int64(t.base))
}

// earlier is n without the day itself, for item sets with one operator, which a day adds one to.
func (t *table) earlier(e *entry, day int32) float64 {
	if !e.before(day) {
		return 0
	}
	n := t.n(e, day)
	if e.last[0] == day {
		n--
	}
	return max(n, 0)
}

// newness is the mass that is left to somebody new: (0.75 F + 1)/(N + 1).
func (t *table) newness(e *entry, day int32) float64 {
	if e == nil {
		return 1
	}
	d := decay(int64(day) - int64(t.base))
	return min(1, (float64(0.75*float64(float64(e.fresh)*d))+1)/(float64(float64(e.count)*d)+1))
}

// roll keeps weights small.
func (t *table) roll(day int32) {
	if !t.based {
		t.base, t.based = day, true
		return
	}
	gap := int64(day) - int64(t.base)
	if gap < rebase {
		return
	}
	halvings := gap / halfLife
	shrink := func(x float32) float32 { return short(math.Ldexp(float64(x), -int(min(halvings, 2000)))) }
	t.base = int32(int64(t.base) + halvings*halfLife)
	for i := range t.class {
		t.class[i].count, t.class[i].fresh = shrink(t.class[i].count), shrink(t.class[i].fresh)
	}
	kept := t.entries[:0]
	for _, e := range t.entries {
		e.count, e.fresh = shrink(e.count), shrink(e.fresh)
		if e.count > 0 {
			kept = append(kept, e)
		}
	}
	clear(t.entries[len(kept):])
	t.entries = kept
	clear(t.index)
	for i := range t.entries {
		t.index[t.entries[i].hash] = i
	}
}

// short rounds to the sixteen bits of mantissa that state has: 1 in 60,000.
func short(x float64) float32 {
	return math.Float32frombits((math.Float32bits(float32(x)) + 0x80) &^ 0xff)
}

// add adds an operator-day to an entry, by somebody new to it or not.
func (e *entry) add(day int32, weight float64, fresh bool) {
	if e.last[0] != noDay && int64(day)-int64(e.last[0]) > memory {
		e.hits = 0
	}
	e.count = short(float64(e.count) + weight)
	if fresh {
		e.fresh = short(float64(e.fresh) + weight)
	}
	if e.hits < math.MaxUint16 {
		e.hits++
	}
	if e.last[0] != day {
		copy(e.last[1:], e.last[:])
		e.last[0] = day
	}
}

// enter returns the entry of an item set, a new one if need be.
func (t *table) enter(kind uint8, a, b uint64) *entry {
	hash := setHash(kind, a, b)
	if e := t.get(hash); e != nil {
		return e
	}
	e := entry{hash: hash, kind: kind, last: [habitDays]int32{noDay, noDay, noDay}}
	i := len(t.entries)
	if i < maxSets {
		t.entries = append(t.entries, e)
	} else {
		i = 0
		for k := range t.entries {
			if x, y := &t.entries[k], &t.entries[i]; x.count < y.count || x.count == y.count && x.hash < y.hash {
				i = k
			}
		}
		delete(t.index, t.entries[i].hash)
		t.entries[i] = e
	}
	t.index[hash] = i
	return &t.entries[i]
}

// once adds an operator-day to an item set with an operator, if it is the first of the day. It reports whether it was, and
// whether the operator is new to the set.
func (t *table) once(kind uint8, op, other uint64, day int32) (added, fresh bool) {
	e := t.enter(kind, op, other)
	if e.last[0] == day {
		return false, false
	}
	fresh = e.last[0] == noDay
	e.add(day, t.weight(day), fresh)
	return true, fresh
}

// learn counts an event of the class.
func (t *table) learn(c *call, day int32) {
	w := t.weight(day)
	added, fresh := t.once(setOp, c.op, c.self, day)
	if added {
		e := t.get(setHash(setOp, c.op, c.self))
		e.of, e.name = c.op, strings.Clone(c.shown)
		t.class[c.self].add(day, w, fresh)
		if c.group != 0 {
			e := t.enter(setGroup, c.group, c.self)
			e.of, e.name = c.group, c.groupName
			e.add(day, w, false)
		}
	}
	if added, fresh = t.once(setOpService, c.op, c.svc, day); added {
		t.enter(setService, c.svc, 0).add(day, w, fresh)
	}
	if added, fresh = t.once(setOpAct, c.op, c.act, day); added {
		t.enter(setAct, c.act, 0).add(day, w, fresh)
		if c.group != 0 {
			t.enter(setGroupAct, c.group, c.act).add(day, w, false)
		}
		if c.target != schemas.UnknownTarget {
			t.enter(setActTarget, c.act, uint64(c.target)).add(day, w, false)
		}
	}
	if c.target != schemas.UnknownTarget {
		t.once(setOpTarget, c.op, uint64(c.target), day)
	}
}

func (t *table) sorted() []*entry {
	all := make([]*entry, len(t.entries))
	for i := range t.entries {
		all[i] = &t.entries[i]
	}
	slices.SortFunc(all, func(a, b *entry) int { return cmp.Compare(a.hash, b.hash) })
	return all
}

func hashOf(s string) uint64 { return xxhash.Sum64String(s) }
