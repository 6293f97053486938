package operator

import (
	"math"

	"github.com/trailvane/trailvane/pipeline/model"
)

// halfLife is that of everything an operator is remembered by, in days: a quarterly task is still known at its next turn.
const halfLife = 60

// partial[k] is 2^(-k/60).
var partial = func() (t [halfLife]float64) {
	for k := range t {
		t[k] = model.Exp(-float64(k) * math.Ln2 / halfLife)
	}
	return t
}()

// decay returns what is left of one after k days. Whole half-lives are exact powers of two.
func decay(k int64) float64 {
	if k <= 0 {
		return 1
	}
	return math.Ldexp(partial[k%halfLife], -int(min(k/halfLife, 2000)))
}

// A monthly counts something per day, forgetting with a mean life of 30 days.
type monthly struct {
	today   uint64
	n, days float64
	month   float64 // in 30 days, as of the last roll
}

var lifeDecay = model.Exp(-1. / 30)

// roll closes today and k-1 days without anything.
func (y *monthly) roll(k int64) {
	for range min(k, 1200) { // forty mean lives: what was before is gone
		y.n = float64(y.n*lifeDecay) + float64(y.today)
		y.days = float64(y.days*lifeDecay) + 1
		y.today = 0
	}
	y.month = 30 * y.n / y.days
}
