package model

import "github.com/trailvane/trailvane/schemas"

// A streak is a run of blocks of one key, all of them suspect: a level that has changed for good, or an attack. The level learns
// three tenths of it, and so most shifts of up to ten times the normal within hours. What is still suspect in every active
// hour after 23 of them, and steady, is taken over as it is (DETECTION 6): without that a key that becomes thirty times as
// busy was told again for weeks. An attacker can do the same, at the price of an insight that is open for a day.
type streak struct {
	from    schemas.Minute // hour of its first block, or of the block that is open
	blocks  uint32         // closed
	calls   float64        // in them
	squares float64        // sum of the squares of the calls of each
	open    uint64         // calls of the open block
}

const (
	shiftTime   = 23 * schemas.Hour // nearly a day, so that the season is level over it; before an insight has reached its limit
	shiftBlocks = 12                // active hours in it: two bursts, a day apart, are no level
	shiftVaries = 0.5               // coefficient of variation of their calls, below it: what still grows is no level either
)

// follow is told that the open block is over and the one at hour begins.
func (r *rate) follow(hour schemas.Minute) {
	k := &r.streak
	if !r.suspect {
		*k = streak{from: hour}
		return
	}
	y := float64(k.open)
	k.blocks++
	k.calls += y
	k.squares += float64(y * y)
	k.open = 0
	n := r.block + schemas.Hour - k.from
	if n < shiftTime {
		return
	}
	if k.blocks >= shiftBlocks && k.steady() {
		r.shift(k.calls / float64(n))
	}
	*k = streak{from: hour}
}

func (k *streak) steady() bool {
	mean := k.calls / float64(k.blocks)
	return k.squares/float64(k.blocks) < float64((1+shiftVaries*shiftVaries)*float64(mean*mean))
}

// shift makes lambda the level, with half the weight of what was known. What is expected in the windows is what it would have
// been; season and tails stay.
func (r *rate) shift(lambda float64) {
	ratio := float64(lambda*r.b) / r.a
	r.b /= 2
	r.a = float64(lambda * r.b)
	for w := range windows {
		r.m[w] = float64(r.m[w] * ratio)
	}
}
