package model

import "github.com/trailvane/trailvane/schemas"

// Shares of the budget: blocks of keys with a past, and first blocks of new keys. The latter are few, so that their tenth
// of the budget buys them a line a hundred times nearer; one line for both would leave new keys unwatched.
const (
	shareRise  = 0.9
	shareFirst = 0.1

	minAlpha = 1e-8
	maxAlpha = 1e-3

	// Beyond p = 1e-4 the tail is optimistic: in simulation 1e-5 came three to six times as often, 1e-6 ten to thirty times.
	// So ln p counts for less there, by a factor that puts the line of an account of 600 keys where one false insight a
	// month was measured, p = 1.5e-6 for alpha = 8e-6. Where the tail is honest nothing is taken off.
	honest = 1e-4
	theta  = 0.6

	maxDuration = schemas.Day
)

// A line is a threshold and where it comes from.
type line struct {
	alpha  float64 // nominal: budget / tested
	ln     float64 // ln p must be below it
	tested float64 // blocks in 30 days
	budget float64 // false insights a month, of all shares
}

var lnHonest = Ln(honest)

func newLine(budget, share, tested float64) line {
	if !(budget > 0) { // also NaN
		budget = 0
	}
	alpha := min(max(share*budget/max(tested, 1), minAlpha), maxAlpha)
	ln := Ln(alpha)
	if alpha < honest {
		ln = lnHonest + (ln-lnHonest)/theta
	}
	return line{alpha: alpha, ln: ln, tested: tested, budget: budget}
}

// A nearMiss is the most unusual minute of a block that did not alarm.
type nearMiss struct {
	region, key string
	minute      schemas.Minute
	lnP, line   float64
	window      uint8
	s, m        float64
}

const maxNear = 8

// offer keeps the nearest misses: those with the smallest distance to their line.
func (a *account) offer(n nearMiss) {
	if n.lnP >= 0 {
		return
	}
	i := len(a.near)
	for i > 0 && n.before(&a.near[i-1]) {
		i--
	}
	if i == maxNear {
		return
	}
	if len(a.near) == maxNear {
		a.near = a.near[:maxNear-1]
	}
	a.near = append(a.near, nearMiss{})
	copy(a.near[i+1:], a.near[i:])
	a.near[i] = n
}

// before orders near misses from the nearest; the order is total, so that it does not depend on which block closed first.
func (n *nearMiss) before(o *nearMiss) bool {
	if d, e := n.lnP-n.line, o.lnP-o.line; d != e {
		return d < e
	}
	if n.minute != o.minute {
		return n.minute < o.minute
	}
	if n.region != o.region {
		return n.region < o.region
	}
	return n.key < o.key
}
