package operator

import (
	"maps"
	"slices"
	"strings"

	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/schemas"
)

// A nearMiss is an event that did not alarm.
type nearMiss struct {
	what                       uint64 // operator and call: what comes again is remembered once
	region, object, event, who string
	first                      bool
	minute                     schemas.Minute
	score, lnP, line           float64
	count                      uint64
}

const (
	maxNear = 8
	far     = 2 * ln10 // a hundred times as frequent as the line is not near
)

// offer keeps the nearest misses: those with the smallest distance to their line.
func (a *account) offer(region string, c *call, v *verdict) {
	n := nearMiss{what: mix(c.op, c.act) & hashBits, region: region, object: c.service, event: c.event,
		who: c.shown, first: v.first, minute: c.row.Minute, score: v.score, lnP: v.lnP, line: v.line, count: uint64(c.row.Count)}
	if n.distance() > far {
		return
	}
	at := slices.IndexFunc(a.near, func(o nearMiss) bool { return o.what == n.what && o.region == n.region })
	switch {
	case at >= 0 && a.near[at].distance() <= n.distance(),
		at < 0 && len(a.near) == maxNear && a.near[maxNear-1].distance() <= n.distance():
		return
	case at >= 0:
		a.near = slices.Delete(a.near, at, at+1)
	case len(a.near) == maxNear:
		a.near = a.near[:maxNear-1]
	}
	n.object, n.event, n.who = strings.Clone(n.object), strings.Clone(n.event), strings.Clone(n.who)
	i := len(a.near)
	for i > 0 && a.near[i-1].distance() > n.distance() {
		i--
	}
	a.near = slices.Insert(a.near, i, n)
}

func (n *nearMiss) distance() float64 { return n.lnP - n.line }

// NearMisses returns what came nearest to an insight since the beginning, nearest first. Habits and the learning time are not
// among them. The machine remembers eight of each account.
func (m *Machine) NearMisses() []detect.NearMiss {
	var out []detect.NearMiss
	for _, id := range slices.SortedFunc(maps.Keys(m.accounts), schemas.Account.Compare) {
		a := m.accounts[id]
		for _, n := range a.near {
			out = append(out, detect.NearMiss{Type: m.config.Type, Account: a.id, Region: n.region, Object: n.object,
				At:    n.minute,
				Count: n.count, Log10P: schemas.Round(n.lnP / ln10), Line: schemas.Round(n.line / ln10), Text: n.text()})
		}
	}
	slices.SortStableFunc(out, detect.NearMiss.Compare)
	return out[:min(len(out), detect.MaxNearMisses)]
}

// Learning returns the accounts whose learning time is not over, sorted by account.
func (m *Machine) Learning() []detect.Learning {
	return detect.StillLearning(m.config.Type, m.accounts, func(a *account) *detect.Age { return &a.age })
}
