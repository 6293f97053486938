// Package eventtime says which minutes are final.
//
// Every (account, region) has a [Watermark]: the first minute that is not final. It trails the newest event by the
// lateness, because the providers deliver out of order, and it never moves back. A minute before it is closed. An event of
// a closed minute is late; one that is more than a day behind is stale. One region never moves another.
package eventtime

import "github.com/trailvane/trailvane/schemas"

// StaleAfter is how far behind the watermark an event teaches nobody anything: a day, the time for which ticks and
// models still count a region as active.
const StaleAfter = schemas.Day

// Punctuality of an event, judged when the stream reaches it.
type Punctuality uint8

// The judgements.
const (
	OnTime Punctuality = iota // its minute is open
	Late                      // its minute is closed
	Stale                     // its minute was closed for more than a day
)

// A Watermark is the event time of one account and region. The zero value has seen nothing.
type Watermark struct {
	newest schemas.Minute // of all events
	first  schemas.Minute // that is not final
	seen   bool
}

// At returns a watermark as it was: what [Watermark.State] gave out.
func At(newest, first schemas.Minute) Watermark {
	return Watermark{newest: newest, first: first, seen: true}
}

// State returns the newest minute that held an event, and the first minute that is not final; ok is false before the
// first event.
func (w *Watermark) State() (newest, first schemas.Minute, ok bool) { return w.newest, w.first, w.seen }

// First returns the first minute that is not final. Before the first event nothing is final.
func (w *Watermark) First() schemas.Minute { return w.first }

// Judge says how punctual an event of minute m is now.
func (w *Watermark) Judge(m schemas.Minute) Punctuality {
	switch {
	case !w.seen || m >= w.first:
		return OnTime
	case m >= w.first-StaleAfter:
		return Late
	default:
		return Stale
	}
}

// After returns what First would be after an event of minute m.
func (w *Watermark) After(m, lateness schemas.Minute) schemas.Minute {
	if !w.seen {
		return m - lateness
	}
	return max(w.first, m-lateness)
}

// Before returns First; before the first event, what First will be after it, because nothing was closed until then.
func (w *Watermark) Before(m, lateness schemas.Minute) schemas.Minute {
	if !w.seen {
		return m - lateness
	}
	return w.first
}

// Observe moves the watermark for an event of minute m.
func (w *Watermark) Observe(m, lateness schemas.Minute) {
	w.first = w.After(m, lateness)
	if !w.seen || m > w.newest {
		w.newest = m
	}
	w.seen = true
}

// Tick moves the watermark for a record that says that time has come to now and nothing is unread. It trails by twice the
// lateness, because what happened shortly before now may not be delivered yet. A region without an event within a day
// stays as it is, see Idle. Tick reports whether the watermark moved.
func (w *Watermark) Tick(now, lateness schemas.Minute) bool {
	if w.Idle(now) {
		return false
	}
	first := now - 2*lateness
	if first <= w.first {
		return false
	}
	w.first = first
	return true
}

// Idle reports whether there was no event within a day.
func (w *Watermark) Idle(now schemas.Minute) bool { return !w.seen || w.newest < now-StaleAfter }

// End closes the minutes seen, no more: nothing can follow that a bounded input still holds back.
func (w *Watermark) End() {
	if w.seen {
		w.first = max(w.first, w.newest+1)
	}
}
