package ip

import (
	"cmp"
	"slices"

	"github.com/trailvane/trailvane/schemas"
)

const (
	// memoryDays is how long an address, a network, a country is known after it was last used.
	memoryDays = 90

	// refreshDays is how exact the last use is known. Noting every day's use would write the whole memory once a day.
	refreshDays = 7

	// maxSeen bounds the prefixes that an account knows, to 120 KB of state: an address brings one to five of them, and an
	// account whose people and machines use 50 new addresses a day has some 10,000 in 90 days.
	maxSeen = 20000

	// maxSeenPerDay bounds what an account learns in a day once it has learned at all, so that a flood of addresses cannot push
	// out what it knows. A tenth of the memory is some 700 addresses, ten times what such an account needs.
	maxSeenPerDay = maxSeen / 10

	// shards are how many values the memory of an account is spread over, so that a new address does not rewrite all of it.
	shards = 16
)

// A seen is what an account knows: prefixes, networks and countries, with the day of their last use.
type seen struct {
	last    map[fingerprint]int32
	learned uint32 // new ones today
	dirty   uint16 // bit of each shard that has changed
}

func shardOf(f fingerprint) int { return int(f >> 36 % shards) }

// depth returns the first level of a path that is known, [levels] if none is.
func (s *seen) depth(p *path) int {
	for level, f := range p {
		if _, ok := s.last[f]; ok {
			return level
		}
	}
	return levels
}

func (s *seen) knows(f fingerprint) bool {
	_, ok := s.last[f]
	return ok
}

// learn notes that everything on a path was used on a day.
func (s *seen) learn(p *path, day int32, mayLearn uint32) {
	for _, f := range p {
		last, ok := s.last[f]
		switch {
		case ok && day-last < refreshDays:
			continue
		case !ok && (s.learned >= mayLearn || len(s.last) >= maxSeen):
			continue
		case !ok:
			s.learned++
		}
		s.last[f] = day
		s.dirty |= 1 << shardOf(f)
	}
}

// forget drops what was not used for long, and makes room for another day: the longest unused goes first, of equals the
// smallest fingerprint.
func (s *seen) forget(day int32) {
	s.learned = 0
	var old []dated
	for f, last := range s.last {
		if day-last > memoryDays {
			s.drop(f)
		} else if len(s.last) > maxSeen-maxSeenPerDay {
			old = append(old, newDated(f, last))
		}
	}
	if n := len(s.last) - (maxSeen - maxSeenPerDay); n > 0 {
		slices.Sort(old)
		for _, e := range old[:n] {
			s.drop(e.fingerprint())
		}
	}
}

func (s *seen) drop(f fingerprint) {
	delete(s.last, f)
	s.dirty |= 1 << shardOf(f)
}

// A dated is a fingerprint and the day of its last use, such that they sort by day first.
type dated uint64

const maxDay = 1<<24 - 1 // the year 47,000

func newDated(f fingerprint, day int32) dated {
	return dated(min(max(int64(day), 0), maxDay))<<40 | dated(f)
}

func (d dated) fingerprint() fingerprint { return fingerprint(d & fingerprintMask) }
func (d dated) day() int32               { return int32(d >> 40) }

// What is remembered of a principal, at most 380 bytes: people have a handful of networks, build machines of a cloud some dozens.
const (
	maxNets      = 32
	maxASNs      = 8
	maxCountries = 4
	maxAgents    = 8 // families of user agents: a console, a command line, a few libraries
)

// maxPrincipals bounds the principals of an account, and so its memory, to some 2 MB. Accounts with more people and roles than
// that are rare; the longest unseen are forgotten, and are like new ones when they come back.
const maxPrincipals = 4096

// A principal is what is known of one caller. Its name is not kept, only a hash.
type principal struct {
	hash  uint64
	in    *account
	slice int
	kind  kind

	born, day int32               // first and latest day of activity
	days      float32             // active days before today, decayed
	deep      [levels + 1]float32 // of these, with something at least as new as the depth
	today     uint8               // greatest depth of today, 0 while nothing was counted
	account   uint8               // the same against what the account knows
	nets      []dated             // latest /24
	asns      []dated             // latest networks
	countries []dated             // latest countries
	agents    []dated             // latest families of user agents
	country   fingerprint         // where it was last
	at        schemas.Minute      // and when

	last, lastAgent fingerprint // of the row before, on this day: nothing to learn from another one. Not state
}

// depth returns the first level of a path that the principal is known with. The address itself is not kept of principals.
func (p *principal) depth(at *path) int {
	half := false
	for _, e := range p.nets {
		switch f := e.fingerprint(); {
		case f == at[1]:
			return 1
		case f>>20 == at[2]>>20:
			half = true
		}
	}
	switch {
	case half:
		return 2
	case has(p.asns, at[3]):
		return 3
	case has(p.countries, at[4]):
		return 4
	}
	return levels
}

func has(list []dated, f fingerprint) bool {
	return slices.ContainsFunc(list, func(e dated) bool { return e.fingerprint() == f })
}

// remember notes the use of a fingerprint on a day and reports whether that changed anything. A full list forgets the longest
// unused; asking again on the same day changes nothing more.
func remember(list []dated, f fingerprint, day int32, most int) ([]dated, bool) {
	oldest := 0
	for i, e := range list {
		if e.fingerprint() == f {
			if day-e.day() < refreshDays {
				return list, false
			}
			list[i] = newDated(f, day)
			return list, true
		}
		if e < list[oldest] {
			oldest = i
		}
	}
	e := newDated(f, day)
	if len(list) < most {
		return append(list, e), true
	}
	if e < list[oldest] {
		return list, false
	}
	list[oldest] = e
	return list, true
}

// learn notes where the principal was.
func (p *principal) learn(at *path, day int32) (changed bool) {
	var c [3]bool
	p.nets, c[0] = remember(p.nets, at[1], day, maxNets)
	p.asns, c[1] = remember(p.asns, at[3], day, maxASNs)
	p.countries, c[2] = remember(p.countries, at[4], day, maxCountries)
	return c[0] || c[1] || c[2]
}

// newcomerDays is how long a principal's days do not count as its own habits: office, home and phone are all new at first,
// and that they were would hide a thief for months. Its kind and the account count them, or teams that roam would be told in
// their first weeks.
const newcomerDays = 7

// begin moves a principal to a day.
func (p *principal) begin(day int32) bool {
	if day <= p.day {
		return false
	}
	f := habitDecay(day - p.day)
	today, counts := float32(0), p.today > 0 && p.day-p.born >= newcomerDays
	if counts {
		today = 1
	}
	p.days = float32(float64(p.days+today) * f)
	for d := range p.deep {
		n := p.deep[d]
		if counts && d <= int(p.today) {
			n++
		}
		p.deep[d] = float32(float64(n) * f)
	}
	p.day, p.today, p.account, p.last, p.lastAgent = day, 0, 0, 0, 0
	return true
}

// compare orders principals by how long they have not been seen.
func (p *principal) compare(q *principal) int {
	return cmp.Or(cmp.Compare(p.day, q.day), cmp.Compare(p.hash, q.hash))
}
