package model

import (
	"slices"

	"github.com/trailvane/trailvane/schemas"
)

// Trials are the calls of a key's family that had another outcome than the one that the key counts: for errors of a call,
// its successes. A key that has them is asked a second question, whether the outcome is more frequent among its trials than
// it was: twice the calls with twice the errors is no news.
//
//	pi = (hits + 0.025)/(hits + other + 0.5)    decayed as the level is; hits are the key's own calls, as the level learns them
//	e, n = S, S + G                             in a window; G the other trials in it, decayed like S
//	(e - n·pi) >= 3.1·sqrt(n·pi·(1-pi)·(1 + (n-1)·0.02))
//
// n leaves out the other outcomes of the family, so that n is complete before the first row of the key in a minute: rows are
// in order of the outcome, success first. So a part of a pane never says yes where the whole says no.
//
// Trials begin in the minute after the one in which the key was seen first, in order of rows. Rows of that minute may have
// been in an earlier part of a pane, before anybody knew of the key; later ones cannot. A call that never fails costs nothing.
type trials struct {
	from  schemas.Minute   // counted after it
	last  schemas.Minute   // the last minute that other and g contain
	other float64          // of another outcome, decayed as the level is
	g     [windows]float64 // the same, decayed as the windows are

	hit  schemas.Minute // the last minute that hits contain
	hits float64        // calls of the key

	open []minuteTrials // of another outcome, in minutes that are not contained, ascending
}

// minuteTrials are the trials of a minute.
type minuteTrials struct {
	minute schemas.Minute
	calls  uint64
}

const (
	ratioLine = 3.1  // standard deviations: one normal minute in a thousand, beside a count that is far rarer
	ratioRho  = 0.02 // correlation between calls of a batch, which fail together
	ratioNew  = 0.5  // trials that a key begins with …
	ratioHits = 0.05 // … and the share of them that it is: less than most calls of a cloud fail

	// A key that nearly always has the outcome is judged by count alone. Above 0.84 the question cannot be answered with yes,
	// for sqrt((1-pi)/(pi·0.02)), what it comes to when every one of many calls fails, is below 3.1 there.
	ratioAlways = 0.8
)

func newTrials(from schemas.Minute) *trials { return &trials{from: from, last: from, hit: from} }

// add counts trials of an open minute.
func (t *trials) add(m schemas.Minute, calls uint64) {
	if t == nil || m <= t.from { // nil only in state that nobody of ours has written
		return
	}
	i := len(t.open)
	for i > 0 && t.open[i-1].minute > m {
		i--
	}
	if i > 0 && t.open[i-1].minute == m {
		t.open[i-1].calls += calls
		return
	}
	t.open = slices.Insert(t.open, i, minuteTrials{m, calls})
}

// pass takes in the minutes before the one given. It steps from one minute with trials to the next, so that it does not matter in
// how many calls it gets there.
func (t *trials) pass(before int64) {
	if t == nil {
		return
	}
	n := 0
	for ; n < len(t.open) && int64(t.open[n].minute) < before; n++ {
		y := float64(t.open[n].calls)
		idle := int64(t.open[n].minute) - int64(t.last)
		t.other = float64(t.other*weekly(idle)) + y
		for w := range windows {
			t.g[w] = float64(t.g[w]*faded(w, idle)) + y
		}
		t.last = t.open[n].minute
	}
	t.open = t.open[n:]
}

// among returns the trials in the windows at the minute m, which it passes to; nothing without trials.
func (t *trials) among(m schemas.Minute) (g [windows]float64) {
	if t == nil {
		return g
	}
	t.pass(int64(m) + 1)
	for w := range windows {
		g[w] = float64(t.g[w] * faded(w, int64(m)-int64(t.last)))
	}
	return g
}

// ahead returns trials that can be passed on without moving these.
func (t *trials) ahead() *trials {
	if t == nil {
		return nil
	}
	c := *t
	return &c
}

// learn takes in a minute of the key itself.
func (t *trials) learn(m schemas.Minute, calls float64) {
	if t == nil {
		return
	}
	t.hits = float64(t.hits*weekly(int64(m)-int64(t.hit))) + calls
	t.hit = m
}

// share is pi. Without trials it is 1, which asks nothing.
func (t *trials) share() float64 {
	if t == nil {
		return 1
	}
	now := int64(max(t.hit, t.last))
	hits := float64(t.hits * weekly(now-int64(t.hit)))
	other := float64(t.other * weekly(now-int64(t.last)))
	return (hits + ratioHits*ratioNew) / (hits + other + ratioNew)
}

// moreFrequent answers the second question.
func moreFrequent(e, g, pi float64) bool {
	if pi >= ratioAlways {
		return true
	}
	n := e + g
	above := e - float64(n*pi)
	variance := float64(float64(n*pi) * float64((1-pi)*(1+float64((n-1)*ratioRho))))
	return above > 0 && float64(above*above) >= float64(float64(ratioLine*ratioLine)*variance)
}

// weekly is 2^(-n/halfLife).
func weekly(n int64) float64 {
	switch {
	case n <= 0:
		return 1
	case n <= segment:
		return gap.d[n]
	}
	return Exp(-float64(n) * (ln2 / halfLife))
}

// faded is e^(-n/tau).
func faded(w int, n int64) float64 {
	switch {
	case n <= 0:
		return 1
	case n <= segment:
		return gap.e[w][n]
	}
	return Exp(-float64(n) / tau[w])
}

// tried counts a row in the series of its family.
func (t *task) tried(r *schemas.Row) {
	id := t.config.ID(r)
	family, ok := t.families[id]
	if !ok {
		t.name = t.config.AppendKey(t.name[:0], t.p, r)
		family = t.region.families[t.config.Family(string(t.name[:min(len(t.name), MaxKey)]))]
		t.families[id] = family
	}
	for _, s := range family {
		s.rate.trials.pass(int64(t.region.watermark))
		s.rate.trials.add(r.Minute, uint64(r.Count))
		t.slices.touch(s)
	}
}

func (t *trials) append(w *writer) {
	w.Minute(t.from)
	w.Minute(t.last)
	w.Minute(t.hit)
	w.Floats(t.other, t.hits)
	w.Floats(t.g[:]...)
	w.Uint(uint64(len(t.open)))
	for _, o := range t.open {
		w.Minute(o.minute)
		w.Uint(o.calls)
	}
}

func readTrials(r *reader) *trials {
	t := &trials{from: r.Minute(), last: r.Minute(), hit: r.Minute(), other: r.Float(), hits: r.Float()}
	for w := range windows {
		t.g[w] = r.Float()
	}
	for range r.length(2) {
		o := minuteTrials{r.Minute(), r.Uint()}
		if n := len(t.open); n > 0 && t.open[n-1].minute >= o.minute {
			r.Fail()
		}
		t.open = append(t.open, o)
	}
	return t
}
