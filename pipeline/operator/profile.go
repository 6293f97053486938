package operator

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/trailvane/trailvane/schemas"
)

const (
	maxNets = 6 // networks of a principal: home, office, VPN, and some; who has more is not surprising with another one
	maxASNs = 3

	// Principals of an account that are remembered: when there are twice as many, half are forgotten, those with the fewest
	// active days first. A hundred thousand names made up in a day therefore push out each other, and nobody with a past.
	keptProfiles = 1024
	maxProfiles  = 2 * keptProfiles

	memory = 90 // days that a network is remembered, and in which three days make a habit
)

// A place is a network that a principal was seen in.
type place struct {
	hash  uint32 // 24 bits
	last  int32  // day
	known bool   // it was seen on an earlier day than last
}

// A profile is how a principal usually works. What is seen for the first time is known from the next day on: who comes from
// a new network may look around before he acts.
type profile struct {
	hash uint64
	last int32  // day of its last activity
	days uint16 // decayed active days in 64ths, as of last; never more than 87
	grp  uint16 // of its group, 0 for none
	nets []place
	asns []place

	programs, programsToday uint32
	hours, hoursToday       uint16
	auths, authsToday       uint8
}

// touch begins a day of the principal, and reports whether it had not begun.
func (f *profile) touch(day int32) bool {
	if f.last == day && f.days > 0 {
		return false
	}
	f.days = uint16(float64(f.decayed(day)*dayUnits)+0.5) + dayUnits
	f.last = day
	f.programs |= f.programsToday
	f.hours |= f.hoursToday
	f.auths |= f.authsToday
	f.programsToday, f.hoursToday, f.authsToday = 0, 0, 0
	return true
}

// dayUnits are the parts of a day that active days are rounded to.
const dayUnits = 64

// decayed returns the active days as of a day.
func (f *profile) decayed(day int32) float64 {
	return float64(float64(f.days)/dayUnits) * decay(int64(day)-int64(f.last))
}

// past returns the active days before the day, which has begun.
func (f *profile) past() float64 { return max(float64(f.days)/dayUnits-1, 0) }

// visit notes a place. A place of today is never forgotten today, and one for which there is no room today is not taken: so
// it does not matter how often a place is noted.
func visit(places []place, hash uint32, day int32, most int) []place {
	oldest := -1
	for i := range places {
		if p := &places[i]; p.hash == hash {
			p.known = knows(places[i:i+1], hash, day)
			p.last = day
			return places
		}
		if places[i].last < day && (oldest < 0 || places[i].last < places[oldest].last) {
			oldest = i
		}
	}
	switch {
	case len(places) < most:
		return append(places, place{hash: hash, last: day})
	case oldest >= 0:
		places[oldest] = place{hash: hash, last: day}
	}
	return places
}

// knows reports whether a place was seen before the day.
func knows(places []place, hash uint32, day int32) bool {
	for i := range places {
		if p := &places[i]; p.hash == hash {
			return (p.known || p.last < day) && int64(day)-int64(p.last) <= memory
		}
	}
	return false
}

func (f *profile) compare(g *profile) int { return cmp.Compare(f.hash, g.hash) }

// A crowd is what all principals of an account are like together, as of the last roll.
type crowd struct {
	days     float64 // active principal-days
	nets     uint32  // networks, those of several principals once
	programs uint32
	hours    uint16
	auths    uint8
}

// gather makes the crowd of the profiles on a day.
func (a *account) gather() {
	c := crowd{}
	nets := make(map[uint32]struct{})
	for _, f := range a.sortedProfiles() {
		c.days += f.decayed(a.day)
		c.programs |= f.programs | f.programsToday
		c.hours |= f.hours | f.hoursToday
		c.auths |= f.auths | f.authsToday
		for _, n := range f.nets {
			nets[n.hash] = struct{}{}
		}
	}
	c.nets = uint32(len(nets))
	a.crowd = c
}

func (a *account) sortedProfiles() []*profile {
	all := slices.Clone(a.list)
	slices.SortFunc(all, (*profile).compare)
	return all
}

// profile returns that of a principal. It reports true if it has forgotten others to make room.
func (a *account) profile(hash uint64) (*profile, bool) {
	if f := a.profiles[hash]; f != nil {
		return f, false
	}
	forgot := false
	if len(a.profiles) >= maxProfiles {
		a.forget(keptProfiles)
		forgot = true
	}
	f := &profile{hash: hash, last: a.day}
	a.remember(f)
	return f, forgot
}

func (a *account) remember(f *profile) {
	a.profiles[f.hash] = f
	a.list = append(a.list, f)
}

// forget keeps the principals with the most active days.
func (a *account) forget(keep int) {
	all := a.sortedProfiles()
	slices.SortStableFunc(all, func(f, g *profile) int { return cmp.Compare(g.decayed(a.day), f.decayed(a.day)) })
	for _, f := range all[keep:] {
		delete(a.profiles, f.hash)
	}
	a.list = append(a.list[:0], all[:keep]...)
	clear(a.list[keep:cap(a.list)][:len(all)-keep])
}

// meet takes a row into the profile of its principal.
func (t *task) meet(r *schemas.Row) {
	a, who := t.account, t.text(r.Principal)
	hash := operatorHash(r.PrincipalType, who)
	f, forgot := a.profile(hash)
	if forgot {
		t.seen.clear() // what is in it may have been forgotten
	}
	if f.days == 0 {
		if g := groupOf(r.PrincipalType, who); g != "" {
			f.grp = uint16(hashOf(g)) | 1
		}
	}
	if f.touch(a.day) && !a.table.knows(hash, 0, a.day) {
		a.hazard.active(r.PrincipalType)
	}
	if ip := t.text(r.SourceIP); ip != "" {
		f.nets = visit(f.nets, t.words.network(ip), a.day, maxNets)
	}
	if asn := t.text(r.ASN); asn != "" {
		f.asns = visit(f.asns, placeHash(asn), a.day, maxASNs)
	}
	f.programsToday |= t.words.program(t.text(r.UserAgent)) &^ f.programs
	f.hoursToday |= hourBit(r.Minute) &^ f.hours
	if r.Auth != schemas.UnknownAuth {
		f.authsToday |= 1 << (r.Auth & 7) &^ f.auths
	}
}

// placeHash has 24 bits: one in a thousand strangers is taken for somebody of an account of two thousand principals.
func placeHash(s string) uint32 { return max(uint32(xxhash.Sum64String(s))&0xffffff, 1) }

func ones[T uint8 | uint16 | uint32](v T) float64 { return float64(bits.OnesCount32(uint32(v))) }

// A seenRows remembers which rows of a pane are new to the profiles: most are not, and cost a look-up.
type seenRows struct {
	epoch uint32
	cells []seenRow
}

type seenRow struct{ epoch, who, ip, asn, agent, rest uint32 }

// reset makes room for the rows of a pane.
func (s *seenRows) reset(rows int) {
	for size := 1024; ; size *= 2 {
		if size >= 2*rows {
			if size > len(s.cells) {
				s.cells = make([]seenRow, size)
				s.epoch = 0
			}
			break
		}
	}
	s.clear()
}

func (s *seenRows) clear() {
	if s.epoch++; s.epoch == 0 {
		clear(s.cells)
		s.epoch = 1
	}
}

// add reports whether a row is new in what a profile keeps.
func (s *seenRows) add(r *schemas.Row, hour uint16) bool {
	key := seenRow{s.epoch, r.Principal, r.SourceIP, r.ASN, r.UserAgent,
		uint32(hour) | uint32(r.PrincipalType)<<16 | uint32(r.Auth)<<24}
	h := uint64(key.who)<<32 ^ uint64(key.ip)<<16 ^ uint64(key.agent)
	h = (h ^ uint64(key.rest)<<40 ^ uint64(key.asn)<<8) * 0x9e3779b97f4a7c15
	mask := uint64(len(s.cells) - 1)
	for i := h >> 32 & mask; ; i = (i + 1) & mask {
		switch c := &s.cells[i]; {
		case c.epoch != s.epoch:
			*c = key
			return true
		case *c == key:
			return false
		}
	}
}
