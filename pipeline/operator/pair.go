package operator

import (
	"cmp"
	"math"
	"slices"

	"github.com/trailvane/trailvane/schemas"
)

// A pair is an operator and a service in a region: what can have an insight.
type pair struct {
	hash    uint64
	ordinal uint32         // of the next insight
	lastEnd schemas.Minute // of its latest insight that is over
	day     int32          // of n[0]
	n       [8]uint64
}

const (
	maxPairs = 256

	noEnd = math.MinInt32

	// A pair that was told of stays for longer than insights are kept. One that comes back after that has new ordinals.
	keepOrdinal = 100 * schemas.Day

	// otherOperators is the key of insights of operators beyond the bounds, all together, so that a storm is one insight.
	otherOperators = "__other"
)

// count adds events of a day. Days that are out of the week are not counted.
func (p *pair) count(day int32, n uint64) {
	if k := int64(day) - int64(p.day); k > 0 {
		for range min(k, int64(len(p.n))) {
			copy(p.n[1:], p.n[:])
			p.n[0] = 0
		}
		p.day = day
	}
	if back := int64(p.day) - int64(day); back < int64(len(p.n)) {
		p.n[back] += n
	}
}

// week is the number of events of the seven days before a day, and of the day itself.
func (p *pair) week(day int32) (n uint64) {
	for i, x := range p.n {
		if d := int64(p.day) - int64(i); d <= int64(day) && d >= int64(day)-7 {
			n += x
		}
	}
	return n
}

// pair returns the pair of a call. When there is no room, it is one for all others.
func (t *task) pair(c *call) (p *pair, overflow bool) {
	a := t.account
	region := hashOf(t.region.name)
	hash := mix(mix(region, c.op), hashOf(c.service)) & hashBits
	if p := a.pairOf(hash, false, c.row.Minute); p != nil {
		return p, false
	}
	return a.pairOf(otherPair(t.region.name), true, c.row.Minute), true
}

// otherPair is the one of a region that stands for all others.
func otherPair(region string) uint64 { return mix(hashOf(region), hashOf(otherOperators)) & hashBits }

func (a *account) pairOf(hash uint64, must bool, m schemas.Minute) *pair {
	i, ok := slices.BinarySearchFunc(a.pairs, hash, func(p *pair, h uint64) int { return cmp.Compare(p.hash, h) })
	if ok {
		return a.pairs[i]
	}
	if len(a.pairs) >= maxPairs && !must {
		least := -1
		for k, p := range a.pairs {
			if a.needs(p) {
				continue
			}
			if least < 0 || sum(p.n) < sum(a.pairs[least].n) { // equal sums: the smaller hash, which comes first
				least = k
			}
		}
		if least < 0 {
			return nil
		}
		a.spent = max(a.spent, a.pairs[least].ordinal)
		a.pairs = slices.Delete(a.pairs, least, least+1)
		if least < i {
			i--
		}
	}
	p := &pair{hash: hash, ordinal: a.spent, lastEnd: noEnd, day: m.Day()}
	a.pairs = slices.Insert(a.pairs, i, p)
	return p
}

// needs reports whether a pair must stay: its insights are in use.
func (a *account) needs(p *pair) bool {
	if slices.ContainsFunc(a.open, func(o *insight) bool { return o.pair == p.hash }) {
		return true
	}
	return int64(a.age.Newest)-int64(p.lastEnd) <= int64(keepOrdinal)
}

func sum(n [8]uint64) (s uint64) {
	for _, x := range n {
		s += x
	}
	return s
}
