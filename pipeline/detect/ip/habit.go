package ip

import (
	"github.com/trailvane/trailvane/pipeline/model"
	"github.com/trailvane/trailvane/schemas"
)

// A kind of principals shares habits.
type kind uint8

const (
	human kind = iota
	role
	root
	kinds
)

func kindOf(t schemas.PrincipalType) kind {
	switch t {
	case schemas.RolePrincipal:
		return role
	case schemas.RootPrincipal:
		return root
	}
	return human
}

// How much a parent counts against what a node has seen itself, in active days.
const (
	weightPrincipal = 5  // a working week tells more of a person than its colleagues do
	weightKind      = 20 // a month of one colleague
	weightShipped   = 50
)

// shipped are how often a principal-day has something at least as new as each depth, over all accounts. They count like 50 days
// below the constants of last resort, which keep every probability above zero.
var (
	lastResort       = survival{1, .25, .15, .08, .03, .01}
	shippedPrincipal = mix(survival{1, 1, .12, .08, .03, .01}, lastResort)
	shippedAccount   = mix(survival{1, .2, .1, .05, .01, .004}, lastResort)
)

// A survival is the probability that the greatest depth of an active day is at least as large as each.
type survival [levels + 1]float64

// mix lets a shipped node of thousands of days stand on the last resort.
func mix(shipped, base survival) (s survival) {
	const behind = 1000 // days of the design accounts that a shipped node speaks of, at least
	for d := range s {
		s[d] = (float64(behind*shipped[d]) + float64(weightShipped*base[d])) / (behind + weightShipped)
	}
	return s
}

const ln2 = 0.693147180559945309417232121458176568

// habitDecay is what counts of habits after some days: a half after 60.
func habitDecay(days int32) float64 { return model.Exp(-float64(days) * ln2 / 60) }

// A node counts the active principal-days of an account, or of a kind in it, by their greatest depth. Days are added when the
// account's day rolls.
type node struct {
	days  float64
	deep  [levels + 1]float64
	today [levels + 1]uint32 // principals with at least the depth; all that are active have depth 0
}

// deepen moves a principal's greatest depth of today. From is -1 for one that was not counted today.
func (n *node) deepen(from, to int) {
	for d := from + 1; d <= to; d++ {
		n.today[d]++
	}
}

func (n *node) roll(days int32) {
	f := habitDecay(days)
	n.days = float64((n.days + float64(n.today[0])) * f)
	for d := range n.deep {
		n.deep[d] = float64((n.deep[d] + float64(n.today[d])) * f)
		n.today[d] = 0
	}
}

// p is the probability of a depth at a node above its parent.
func (n *node) p(d int, parent *survival, weight float64) float64 {
	return (n.deep[d] + float64(weight*parent[d])) / (n.days + weight)
}

func (p *principal) p(d int, parent float64) float64 {
	return (float64(p.deep[d]) + float64(weightPrincipal*parent)) / (float64(p.days) + weightPrincipal)
}

// The two questions about a new address: is it new to the account, and is it new to the principal.
const (
	ofAccount = iota
	ofPrincipal
	routes
)

var routeNames = [routes]string{"account", "principal"}

// share is the part of the budget that each question has. The second finds what hides in the networks of colleagues.
var share = [routes]float64{1. / 3, 2. / 3}

const (
	// Budget is the number of false insights that an account may have in a month.
	Budget = 3

	// minScore is p = 0.1: what happens to one of ten principals every day is not worth a word, however quiet the account is.
	minScore = 2.3

	// Scores are kept in bins of a quarter of a nat up to 20; with all modifiers a score can be larger, and is in the last one.
	bins     = 80
	binWidth = 0.25

	// shippedWeight is how many new addresses the shipped distribution counts for: a month of a lively account.
	shippedWeight = 200
)

// shippedMean are the mean scores of benign new addresses, whose tail is exponential.
var shippedMean = [routes]float64{0.9, 0.9}

// A histogram counts the scores of new addresses, with a mean life of 30 days.
type histogram struct {
	weight [bins]float64
	today  [bins]uint32
}

func (h *histogram) add(score float64) { h.today[min(max(int(score/binWidth), 0), bins-1)]++ }

var lifeDecay = model.Exp(-1. / 30)

// maxRoll is how many days of decay are computed one by one; after that nothing is left.
const maxRoll = 1200

func (h *histogram) roll(days int32) {
	for range min(days, maxRoll) {
		for i := range h.weight {
			h.weight[i] = float64(h.weight[i]*lifeDecay) + float64(h.today[i])
			h.today[i] = 0
		}
	}
}

// shippedTail[r][i] is the share of the shipped distribution from bin i on.
var shippedTail = func() (t [routes][bins + 1]float64) {
	for r := range t {
		for i := range t[r] {
			t[r][i] = model.Exp(-binWidth * float64(i) / shippedMean[r])
		}
		t[r][bins] = 0
	}
	return t
}()

// tailShare is where the tail begins: the tenth of the new addresses that score highest.
const tailShare = 0.1

// line returns the score that a share q of the new addresses reaches. Beyond the tail's beginning it is that of an
// exponential with the mean excess of the tail: the share asked for is one address in a few hundred, of which an account has
// seen one or none.
func (h *histogram) line(route int, q float64) float64 {
	total := float64(shippedWeight)
	for _, w := range h.weight {
		total += w
	}
	part := max(q, tailShare)
	mass, sum, at := 0.0, 0.0, bins // above at: addresses, and bins of excess
	for at > 0 && mass < float64(part*total) {
		at--
		w := h.weight[at] + float64(shippedWeight*(shippedTail[route][at]-shippedTail[route][at+1]))
		sum += mass + float64(w/2)
		mass += w
	}
	line := binWidth * float64(at)
	if q < tailShare && q > 0 {
		excess := binWidth * sum / mass
		line += float64(excess * model.Ln(mass/float64(q*total)))
	}
	return max(minScore, line)
}

// news counts new addresses: in 30 days, as of the last roll. A young account is taken to have had three days of ten.
type news struct {
	today   uint32
	n, days float64
}

const (
	youngDays = 3
	youngNew  = 10
)

func (n *news) roll(days int32) {
	for range min(days, maxRoll) {
		n.n = float64(n.n*lifeDecay) + float64(n.today)
		n.days = float64(n.days*lifeDecay) + 1
		n.today = 0
	}
}

func (n *news) month() float64 { return 30 * n.n / n.days }
