package model

import "github.com/trailvane/trailvane/schemas"

// A pulse knows which hours of a region had events, of any kind, and finds those in which the logs were out (DETECTION 2.4):
// closed hours without events where at least outageCalls were expected. Over an outage no key of the region ages its
// exposure, so that a gap in the logs does not read as a day on which nobody called.
//
// What is expected of an hour is the mean of what the same hour of the day had before, where more than pulseCap calls count
// as pulseCap. So it says on how many days the hour was alive, not how busy it was: neither the weekends of an office, whose
// hours reach 5/7 of pulseCap, nor the hours of a weekly job are outages. Outages are learned too: one that lasts becomes
// the normal after eleven days in an account of half a year, after five in one of a month, after one in one of ten days.
//
// An outage is whole hours, and a block is an hour with a call, so no block overlaps one.
type pulse struct {
	slots   [24]alive
	started bool
	hour    schemas.Minute // hours before it are judged
	active  schemas.Minute // the last of them that had events
	open    []hourCount    // those from hour on that have events so far, ascending
	outages []span         // ascending; one for each silence
}

const (
	outageCalls = 20
	pulseCap    = 27 // 5/7 of it is 19.3
	pulseNew    = 2  // days of silence that every hour begins with: no outage in the first week, nor at its weekend

	// More outages than one a day for a month are not remembered: a key that was idle over the oldest of them then takes it
	// for time without calls, as all keys did without outages.
	maxOutages = 32

	// A silence is judged for so long; by then nothing is expected.
	maxSilence = 60 * schemas.Day
)

// alive is the decayed sum of calls, each day at most pulseCap, over days, half-life four weeks.
type alive struct{ calls, days float32 }

func (a *alive) expected() float64 { return float64(a.calls) / (float64(a.days) + pulseNew) }

func (a *alive) learn(calls uint64) {
	a.calls = float32(float64(float64(a.calls)*slotDecay) + float64(min(calls, pulseCap)))
	a.days = float32(float64(float64(a.days)*slotDecay) + 1)
}

// hourCount is an hour, by its first minute, and its events.
type hourCount struct {
	hour  schemas.Minute
	calls uint64
}

// A span is the minutes from, ..., to-1.
type span struct{ from, to schemas.Minute }

// add counts events of an open minute.
func (p *pulse) add(m schemas.Minute, calls uint64) {
	h := hourOf(m)
	i := len(p.open)
	for i > 0 && p.open[i-1].hour > h {
		i--
	}
	if i > 0 && p.open[i-1].hour == h {
		p.open[i-1].calls += calls
		return
	}
	p.open = append(p.open, hourCount{})
	copy(p.open[i+1:], p.open[i:])
	p.open[i] = hourCount{h, calls}
}

// advance judges the hours before to, all of whose minutes are closed. It does not matter in how many steps it is called.
func (p *pulse) advance(to schemas.Minute) {
	if !p.started {
		if len(p.open) == 0 || p.open[0].hour >= to {
			return
		}
		p.started, p.hour, p.active = true, p.open[0].hour, p.open[0].hour
	}
	for p.hour < to {
		h, slot := p.hour, &p.slots[slotOf(p.hour)]
		switch {
		case len(p.open) > 0 && p.open[0].hour == h:
			slot.learn(p.open[0].calls)
			p.open = p.open[:copy(p.open, p.open[1:])]
			p.active = h
		case int64(h)-int64(p.active) > int64(maxSilence):
			p.hour = to
			if len(p.open) > 0 {
				p.hour = min(to, p.open[0].hour)
			}
			continue
		default:
			if slot.expected() >= outageCalls {
				p.out(h)
			}
			slot.learn(0)
		}
		p.hour += schemas.Hour
	}
}

// out adds an hour to the outage of this silence, whose hours in between are out as well.
func (p *pulse) out(h schemas.Minute) {
	if n := len(p.outages); n > 0 && p.outages[n-1].from > p.active {
		p.outages[n-1].to = h + schemas.Hour
		return
	}
	if len(p.outages) == maxOutages {
		p.outages = p.outages[:copy(p.outages, p.outages[1:])]
	}
	p.outages = append(p.outages, span{h, h + schemas.Hour})
}
