package operator

import "github.com/trailvane/trailvane/schemas"

const kinds = int(schemas.ServicePrincipal) + 1

// hazards count first times, and the principal-days that could have been one: by type of principal, and of first times
// those that change themselves apart.
type hazards struct {
	firsts [kinds]float64
	selfs  [kinds]float64
	days   [kinds]float64
}

// shippedFirsts is the number of first times that the shipped hazard is worth.
const shippedFirsts = 3

// unseen is how much more likely a first time is in an account that is watched for so many days: habitual operators are new at
// first. For one who acts every third day on average, some exponentially more often, it falls as (3+D)^-2.
func unseen(days float64) float64 {
	const firstDays = 150
	return 1 + firstDays/float64((days+3)*(days+3))
}

func kindIndex(k schemas.PrincipalType) int { return min(int(k), kinds-1) }

// active notes a day of a principal without a past in the class.
func (h *hazards) active(k schemas.PrincipalType) { h.days[kindIndex(k)]++ }

func (h *hazards) first(k schemas.PrincipalType, self bool) {
	if self {
		h.selfs[kindIndex(k)]++
		return
	}
	h.firsts[kindIndex(k)]++
}

// of returns the probability that a principal-day without a past is a first time. The shipped h0 counts as three first times
// in 3/h0 principal-days, so that a small account that never saw one does not find the first one impossible.
func (h *hazards) of(k schemas.PrincipalType, self bool, h0 float64) float64 {
	i := kindIndex(k)
	n := h.firsts[i]
	if self {
		n = h.selfs[i]
	}
	return min(1, (n+shippedFirsts)/(h.days[i]+shippedFirsts/h0))
}

func (h *hazards) roll(k int64) {
	d := decay(k)
	for i := range kinds {
		h.firsts[i] *= d
		h.selfs[i] *= d
		h.days[i] *= d
	}
}
