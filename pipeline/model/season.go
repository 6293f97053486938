package model

import "github.com/trailvane/trailvane/schemas"

// A season is the daily shape of a key: for each UTC hour, the calls that came (A) and the calls that a flat day would
// have had (B). It costs 192 bytes, so a key gets one at 200 calls only.
type season struct {
	a, b [24]float32
}

const (
	seasonCalls  = 200 // calls of a key before it has a season
	seasonPseudo = 24  // pseudo-calls per slot: keep sparse keys flat
	maxSeason    = 24  // a day whose calls all fall into one hour
)

// slotDecay is 2^(-1/28): a slot, touched once a day, forgets half in four weeks.
var slotDecay = Exp(-ln2 / 28)

func slotOf(m schemas.Minute) int {
	h := int(m/schemas.Hour) % 24
	if h < 0 {
		h += 24
	}
	return h
}

// factor is s of the slot, 1 without a season.
func (s *season) factor(slot int) float64 {
	if s == nil {
		return 1
	}
	return min((float64(s.a[slot])+seasonPseudo)/(float64(s.b[slot])+seasonPseudo), maxSeason)
}

// enter forgets a little, when time enters a slot.
func (s *season) enter(slot int) {
	s.a[slot] = float32(float64(s.a[slot]) * slotDecay)
	s.b[slot] = float32(float64(s.b[slot]) * slotDecay)
}

func (s *season) add(slot int, y, expected float64) {
	s.a[slot] = float32(float64(s.a[slot]) + y)
	s.b[slot] = float32(float64(s.b[slot]) + expected)
}
