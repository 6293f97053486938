package operator

import (
	"math"

	"github.com/trailvane/trailvane/pipeline/model"
)

const (
	bins     = 48
	binWidth = 0.5      // nats
	unit     = 64       // units of an operator-day
	tainted  = 19       // of one that was told: 0.3
	maxMass  = 400 * 64 // then every bin is halved; also keeps a bin inside 16 bits

	shippedDays = 50  // operator-days that the shipped scores count for
	shippedMean = 1.3 // of the shipped scores, which are exponential
	tailDays    = 6   // operator-days that the shipped mean excess counts for
	minMean     = 0.5 // a tail is never believed to be shorter
)

// A histogram holds the highest scores of operator-days.
type histogram [bins]uint16

func bin(s float64) int {
	switch {
	case !(s > 0):
		return 0
	case s >= bins*binWidth:
		return bins - 1
	}
	return int(s / binWidth)
}

func (h *histogram) mass() (n int) {
	for _, v := range h {
		n += int(v)
	}
	return n
}

// add counts an operator-day. Halving rounds up, so that what was once seen is never forgotten by rounding alone.
func (h *histogram) add(s float64, units uint16) {
	if h.mass()+int(units) > maxMass {
		for i, v := range h {
			h[i] = v - v/2
		}
	}
	h[bin(s)] += units
}

// own returns the share of the account's operator-days with a score of at least s: counted, beyond the last twentieth by an
// exponential tail.
func (h *histogram) own(s float64) float64 {
	n := float64(h.mass()) / unit
	target := max(n/20, 4) * unit
	taken, last := 0.0, 0
	for i := bins - 1; i >= 0; i-- {
		v := float64(h[i])
		if v == 0 {
			continue
		}
		if taken > 0 && taken+v > target {
			break
		}
		taken += v
		last = i
	}
	u := float64(last) * binWidth
	if s <= u {
		above := 0
		for i := bin(s); i < bins; i++ {
			above += int(h[i])
		}
		return min(1, (float64(above)/unit+1)/(n+2))
	}
	excess := 0.0
	for i := last; i < bins; i++ {
		excess += float64(float64(h[i]) * (float64((float64(i)+0.5)*binWidth) - u))
	}
	inTail := taken / unit
	mean := max(minMean, (excess/unit+tailDays*shippedMean)/(inTail+tailDays))
	return float64((inTail + 1) / (n + 2) * model.Exp(-(s-u)/mean))
}

// lnP returns ln p of a score.
func (h *histogram) lnP(s float64) float64 {
	n := float64(h.mass()) / unit
	shipped := model.Exp(-s / shippedMean)
	p := (float64(n*h.own(s)) + float64(shippedDays*shipped)) / (n + shippedDays)
	return min(0, model.Ln(max(p, math.SmallestNonzeroFloat32)))
}
