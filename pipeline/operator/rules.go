package operator

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/trailvane/trailvane/schemas"
)

const (
	minSupport    = 5   // operator-days before anything is called a rule
	minConfidence = 0.8 // lower bound
	minLift       = 2   // what the busiest principal does anyway is no rule
	maxRules      = 3
	z95           = 1.6448536269514722 // normal quantile of 95 %
)

// lowerBound returns the 5 % lower bound of a share of k in n, by Wilson's score interval: a closed form of exact operations,
// a little below Jeffreys' bound (57 of 57: 0.955 for 0.967).
func lowerBound(k, n float64) float64 {
	if n <= 0 {
		return 0
	}
	p := min(k/n, 1)
	z2 := float64(z95 * z95)
	centre := p + z2/float64(2*n)
	spread := float64(z95 * math.Sqrt(float64(p*(1-p))/n+z2/float64(float64(4*n)*n)))
	return max(0, (centre-spread)/(1+z2/n))
}

// rules returns the associations that a call breaks, strongest first: who normally does this call, changes this service, does
// anything of the class. They are made when an insight is, from the table as it is, because nobody asks at other times.
func (t *task) rules(c *call) []schemas.Rule {
	tab := &t.account.table
	var out []schemas.Rule
	for _, x := range [...]struct {
		all       *entry
		op, group uint8
		with      uint64
		text      string
	}{
		{tab.get(setHash(setAct, c.act, 0)), setOpAct, setGroupAct, c.act, c.event + " is done"},
		{tab.get(setHash(setService, c.svc, 0)), setOpService, 0, c.svc, t.config.Things + " in " + c.service + " are made"},
		{&tab.class[c.self], setOp, setGroup, c.self, t.config.Things + " are made"},
	} {
		if x.all == nil || t.before(x.all, c, x.with) < minSupport {
			continue
		}
		if r, ok := t.rule(c, x.all, x.op, x.group, x.with); ok {
			r.Text = fmt.Sprintf("%s by %s on %d of %d days", x.text, r.Text, r.Hits, r.Days)
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b schemas.Rule) int { return cmp.Compare(b.Lower, a.Lower) })
	return out[:min(len(out), maxRules)]
}

// before is the count of a set without the operator's own day, if that is already in it.
func (t *task) before(all *entry, c *call, with uint64) float64 {
	tab, day := &t.account.table, t.account.day
	n := tab.n(all, day)
	for _, kind := range [...]uint8{setOpAct, setOpService, setOp} {
		if e := tab.get(setHash(kind, c.op, with)); e != nil && e.last[0] == day {
			return n - 1
		}
	}
	return n
}

// rule finds the operator or group that has most of the days of a set; its name is the rule's text for the caller to finish.
func (t *task) rule(c *call, all *entry, op, group uint8, with uint64) (schemas.Rule, bool) {
	tab, day := &t.account.table, t.account.day
	var best, holder *entry
	for i := range tab.entries {
		e := &tab.entries[i]
		kind := op
		if e.kind == setGroup {
			kind = group
		}
		if e.name == "" || kind == 0 || e.of == c.op || e.of == c.group {
			continue
		}
		joint := t.joint(e, kind, with)
		if joint == nil || best != nil && (joint.count < best.count ||
			joint.count == best.count && (holder.kind < e.kind || holder.kind == e.kind && holder.hash < e.hash)) {
			continue
		}
		best, holder = joint, e
	}
	if best == nil {
		return schemas.Rule{}, false
	}
	n, k := t.before(all, c, with), tab.n(best, day)
	lower := lowerBound(k, n)
	if lower < minConfidence || k < float64(minLift*n*t.share(holder)) {
		return schemas.Rule{}, false
	}
	days := uint32(all.hits)
	if n < tab.n(all, day) {
		days--
	}
	return schemas.Rule{Text: holder.name, Hits: min(uint32(best.hits), days), Days: days, Lower: lower}, true
}

// joint returns the entry of an operator or group with a call or service. The set of one is keyed by the same hash that its
// own entry was made from, which is kept there.
func (t *task) joint(e *entry, kind uint8, with uint64) *entry {
	return t.account.table.get(setHash(kind, e.of, with))
}

// share is that of an operator or group in all activity of the account.
func (t *task) share(e *entry) float64 {
	a, sum := t.account, 0.0
	if a.crowd.days <= 0 {
		return 0
	}
	if e.kind == setOp {
		if f := a.profiles[e.of]; f != nil {
			sum = f.decayed(a.day)
		}
		return sum / a.crowd.days
	}
	for _, f := range a.sortedProfiles() {
		if f.grp == uint16(e.of)|1 {
			sum += f.decayed(a.day)
		}
	}
	return sum / a.crowd.days
}
