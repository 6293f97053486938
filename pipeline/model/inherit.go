package model

import (
	"strings"

	"github.com/trailvane/trailvane/schemas"
)

// A key that was never seen begins without a past. That is wrong for the keys of somebody who is known: the new access key of
// a program that changes it every month would alarm every month, and a thief who makes himself a key would have its first
// hour. So in machines that know owners a new key begins with a copy of the model of its owner's key that was used last, in
// the same region, as of the minute before; of two that were used in the same minute the first by name. Half of what the copy
// has seen counts. It has no calls, days or insights of its own.
//
// The other way round, a key that is used again after a long time tells little by its past: it is judged as a new one, with
// first hours.

// An owner is who has keys: a kind of principal and its name, by its id among the account's strings. The zero owner is nobody.
type owner struct {
	kind schemas.PrincipalType
	id   uint32
}

// own notes who has the series, before it is born: the owner of its first minute, and the first by name if a log claims
// several, so that their order does not matter.
func (t *task) own(s *series, r *schemas.Row) {
	if !t.config.Inherit || s.alive || s.key == OverflowKey {
		return
	}
	o := owner{r.PrincipalType, t.value(r.Principal)}
	first := len(s.pending) == 0 || r.Minute < schemas.Minute(s.pending[0].minute)
	if first || r.Minute == schemas.Minute(s.pending[0].minute) && t.account.names.before(o, s.owner) {
		s.owner = o
	}
}

func (n *names) before(a, b owner) bool {
	if a.id != b.id {
		return strings.Compare(n.of[a.id], n.of[b.id]) < 0
	}
	return a.kind < b.kind
}

// inherit makes a living series the heir's model if it was used later than the one that is.
func (r *region) inherit(s *series) {
	if s.owner.id == noValue || !s.alive {
		return
	}
	if r.heirs == nil {
		r.heirs = make(map[owner]*series)
	}
	old := r.heirs[s.owner]
	if old == nil || s.rate.last > old.rate.last || s.rate.last == old.rate.last && s.key < old.key {
		r.heirs[s.owner] = s
	}
}

// reindex finds out again who inherits from whom.
func (r *region) reindex() {
	clear(r.heirs)
	for _, s := range r.series {
		r.inherit(s)
	}
}

// birth returns the model of a series that has none, as of its first minute.
func (t *task) birth(s *series, m schemas.Minute) rate {
	old := t.region.heirs[s.owner]
	if s.owner.id == noValue || old == nil {
		r := newRate(m)
		r.trials = s.rate.trials
		if t.config.Breadth != RateOnly {
			r.breadth = newBreadth(r.block)
		}
		return r
	}
	r := old.rate.heir(m)
	if t.sleeps(&r, m) > 0 {
		r.renew(m)
	}
	return r
}

// heir returns the copy that a new key begins with.
func (r *rate) heir(m schemas.Minute) rate {
	h := *r
	h.block, h.current, h.suspect = hourOf(m), [windows]float64{}, false
	h.hot, h.hotMin = false, m-2*schemas.Day
	h.streak = streak{from: h.block}
	h.epoch, h.dormant, h.trials = 0, 0, nil
	for w := range windows {
		h.forget(w)
		h.hist[w].halve()
	}
	if r.season != nil {
		season := *r.season
		h.season = &season
	}
	if r.breadth != nil {
		b := *r.breadth
		b.open(h.block)
		b.hist.halve()
		h.breadth = &b
	}
	return h
}

// halve rounds up, so that what was once seen is not forgotten by rounding alone.
func (h *histogram) halve() {
	for i, v := range h {
		h[i] = v - v/2
	}
}

// sleeps returns for how many days a key has not been used before the minute m, and zero if they are not enough to judge it as
// a new one. Days without logs do not count.
func (t *task) sleeps(r *rate, m schemas.Minute) uint32 {
	idle := int64(m) - int64(r.last) - 1
	if t.config.Dormant == 0 || idle < int64(t.config.Dormant) {
		return 0
	}
	for _, o := range t.region.pulse.outages {
		idle -= max(0, int64(min(o.to, m))-int64(max(o.from, r.last+1)))
	}
	if idle < int64(t.config.Dormant) {
		return 0
	}
	return uint32(idle / int64(schemas.Day))
}

// renew makes a model that of a new key, but for its past hours: they are heard again after the first one.
func (r *rate) renew(m schemas.Minute) {
	n := newRate(m)
	n.born, n.calls, n.hist, n.trials = r.born, r.calls, r.hist, r.trials
	if r.breadth != nil {
		n.breadth = newBreadth(n.block)
		n.breadth.hist = r.breadth.hist
	}
	*r = n
}

// met returns the model that meets the first open minute of a series: its own, or one that it will have then.
func (t *task) met(s *series) *rate {
	m := schemas.Minute(s.pending[0].minute)
	if !s.alive {
		r := t.birth(s, m)
		return &r
	}
	if days := t.sleeps(&s.rate, m); days > 0 {
		r := s.rate
		r.renew(m)
		r.dormant = days
		return &r
	}
	if s.rate.breadth == nil || hourOf(m) == s.rate.block {
		return &s.rate
	}
	// The hour before is over, although no fold has closed it. What a job of every day did yesterday is that hour.
	r, b := s.rate, *s.rate.breadth
	b.closeBlock(hourOf(m), r.block-r.born <= young)
	r.closeBlock(hourOf(m))
	r.breadth = &b
	return &r
}

// bear gives life to a series that has its first calls in the minute that is folded. All new ones are born before any series is
// folded: so it does not matter in which order they are.
func (t *task) bear(s *series) {
	if s.alive {
		return
	}
	m := schemas.Minute(s.pending[0].minute)
	s.rate, s.alive, s.day = t.birth(s, m), true, m.Day()
	t.account.tested.today++
	if !s.rate.settled && m >= t.learned {
		t.account.firsts.today++
	}
}
