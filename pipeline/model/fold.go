package model

import (
	"slices"
	"strings"

	"github.com/trailvane/trailvane/schemas"
)

// fold takes the minutes that are closed now into the models, in ascending order, and ends what has cooled.
func (t *task) fold() {
	r := t.region
	n := 0
	for ; n < len(r.due) && r.due[n].minute < r.watermark; n++ {
		t.judge(hourOf(r.due[n].minute))
		due := r.due[n].series
		if t.account.open+len(due) > maxOpen { // not all may find room: first come would be an order that a restart forgets
			slices.SortFunc(due, func(a, b *series) int { return strings.Compare(a.key, b.key) }) // of one region
		}
		for _, s := range due {
			t.bear(s)
		}
		for _, s := range due {
			t.foldMinute(s)
		}
		t.foldRollUps()
	}
	r.done(n)
	t.judge(hourOf(r.watermark))
	for i := 0; i < len(r.open); {
		if s := r.open[i]; !t.over(s, r.watermark) {
			i++
		}
	}
}

// judge looks for outages in the hours before the one given: a minute is folded by what was known when it began, however
// many minutes a pane closes.
func (t *task) judge(hour schemas.Minute) {
	t.region.pulse.advance(hour)
	t.prior.outages = t.region.pulse.outages
}

// over closes the open insight of a series if it has ended, all minutes before m being closed. Its minutes may be normal because
// the calls are few again, or because the model has learned them: that is seen in minutes after the End that are abnormal to
// the model as it was before.
func (t *task) over(s *series, m schemas.Minute) bool {
	end, limit := s.end(), s.open.start+maxDuration
	switch {
	case end >= limit && m >= limit:
		t.closeInsight(s, limit, schemas.MaxDuration)
	case m >= end+coolTime && s.open.lastOdd >= end:
		t.closeInsight(s, end, schemas.NewNormal)
	case m >= end+coolTime:
		t.closeInsight(s, end, schemas.Cooled)
	default:
		return false
	}
	return true
}

// foldMinute folds the first pending minute of a series.
func (t *task) foldMinute(s *series) {
	n, y := pendingMinute(s.pending)
	minute := schemas.Minute(s.pending[0].minute)
	t.rows = append(t.rows[:0], s.pending[:n]...)
	s.pending = s.pending[:copy(s.pending, s.pending[n:])]
	rows := t.rows
	slices.SortFunc(rows, t.account.names.compare)
	t.slices.touch(s)

	if s.open != nil {
		t.over(s, minute)
	}
	if hour := hourOf(minute); hour != s.rate.block {
		t.closeBlock(s, hour)
		t.account.tested.today++
		if days := t.sleeps(&s.rate, minute); days > 0 {
			s.rate.renew(minute)
			s.rate.dormant = days
			t.account.firsts.today++
		}
	}

	kinds := s.takeKinds(minute)
	s.rate.breadth.cool(minute)
	s.rate.trials.pass(int64(minute))
	before := t.before(&s.rate, false)
	sc := s.rate.fold(minute, y, &t.prior)
	if t.config.alone() {
		sc = score{minute: minute}
	}
	s.rate.breadth.fold(minute, kinds, &t.prior, s.rate.settled, &sc)
	t.region.inherit(s)
	s.count(minute, y)
	t.offerRollUp(s, y, rows)
	if s.open != nil {
		t.confirm(s, minute, y, kinds, &sc)
	}
	s.follow(&sc, rows)
	if s.open == nil && t.alarm(&s.rate, &sc) && !t.full() {
		l := before.ahead()
		seen := l.see(minute, y, &t.prior)
		l.breadth.see(minute, kinds, &seen)
		t.openInsight(s, s.run.start, minute, before, s.rate.evidence(&l, &sc))
		t.confirm(s, minute, y, kinds, &sc)
		s.open.confirmed, s.open.best.closed = true, true
	}
	if s.open != nil && minute >= s.open.start {
		s.told = true
	} else if sc.elevated && minute >= t.learned && sc.lnP < s.peak.lnP {
		s.peak = nearMiss{region: s.in.name, key: s.key, minute: minute, lnP: sc.lnP, line: t.line(&s.rate).ln,
			window: uint8(sc.window), s: sc.s, m: sc.m}
	}
	if s.rate.settled && s.rate.calls >= seasonCalls && sc.rarest >= lnSuspect {
		if s.usual == nil {
			s.usual = &usual{day: minute.Day()}
		}
		s.usual.add(minute.Day(), rows)
	}
}

// confirm judges a closed minute of an insight, which now is the score, by the model as it was before. Whether the minute is
// abnormal by itself the model of today says, so that a new level becomes normal; but a key of less than a day learns its
// first burst whole, and is judged as before.
func (t *task) confirm(s *series, m schemas.Minute, y uint64, kinds set, now *score) {
	o := s.open
	o.before.trials = s.rate.trials
	sc := o.before.see(m, y, &t.prior)
	o.before.breadth.see(m, kinds, &sc)
	if m < o.start {
		return
	}
	if sc.hot && (s.run == nil || float64(gateRatio*float64(y))*float64(m-o.start+1) >= float64(s.run.main.count)) {
		o.lastOdd = m
	}
	if now.hot || o.young && sc.hot {
		o.lastHot = m
	}
	if !sc.elevated || sc.lnP > o.line.ln {
		return
	}
	most := o.best.kinds
	if o.confirmed = true; !o.best.closed || sc.lnP < o.best.lnP {
		dormant := o.best.dormant
		o.best = s.rate.evidence(&o.before, &sc)
		o.best.closed, o.best.dormant = true, max(dormant, o.best.dormant)
	}
	if l := o.before.breadth; l != nil {
		o.best.kinds = max(most, l.seen.size())
	}
}

// closeBlock closes the open block of a series because an active minute of a later hour has come.
func (t *task) closeBlock(s *series, hour schemas.Minute) {
	a := t.account
	old := s.rate.block-s.rate.born > poolAge && !s.isRollUp
	whole := s.rate.block-s.rate.born <= young
	fresh := (s.rate.born >= t.learned || s.rate.dormant > 0) && !s.isRollUp
	maxima, units, first := s.rate.closeBlock(hour)
	fresh = fresh && first
	if s.rate.breadth != nil {
		t.closeBreadth(s.rate.breadth, hour, whole, old, fresh)
	}
	for w := range windows {
		if old {
			a.pools[w].add(maxima[w], units)
		}
		if fresh {
			a.first.live[w][bin(maxima[w])] += uint32(units)
		}
	}
	if !s.told {
		a.offer(s.peak)
	}
	s.peak, s.told = nearMiss{}, s.open != nil
}
