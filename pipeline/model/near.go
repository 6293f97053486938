package model

import (
	"fmt"
	"maps"
	"slices"

	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/schemas"
)

// NearMisses returns what came nearest to an insight since the beginning, nearest first, at most detect.MaxNearMisses. Minutes
// of the learning time are not among them. The machine remembers eight of each account.
func (m *Machine) NearMisses() []detect.NearMiss {
	var out []detect.NearMiss
	for _, id := range slices.SortedFunc(maps.Keys(m.accounts), schemas.Account.Compare) {
		a := m.accounts[id]
		all := account{near: slices.Clone(a.near)}
		for _, name := range sortedKeys(a.regions) {
			r := a.regions[name]
			for _, key := range sortedKeys(r.series) {
				if s := r.series[key]; !s.told {
					all.offer(s.peak)
				}
			}
		}
		for _, n := range all.near {
			out = append(out, detect.NearMiss{
				Type: m.config.Type, Account: a.id, Region: n.region, Object: n.key, At: n.minute,
				Log10P: schemas.Round(n.lnP / ln10), Line: schemas.Round(n.line / ln10), Text: n.text(),
			})
		}
	}
	slices.SortStableFunc(out, detect.NearMiss.Compare)
	return out[:min(len(out), detect.MaxNearMisses)]
}

// text says in a sentence what was seen, what was expected, and which condition was not met.
func (n *nearMiss) text() string {
	if n.window == byBreadth {
		return fmt.Sprintf("%.3g different calls in an hour where %.3g were expected.", n.s, n.m)
	}
	text := fmt.Sprintf("%.3g weighted calls in a window of %d minutes where %.3g were expected", n.s, WindowMinutes[n.window], n.m)
	switch {
	case n.s-n.m < gateExcess:
		text += fmt.Sprintf("; fewer than %g calls above what is expected are never an insight", float64(gateExcess))
	case n.s+small < float64(gateRatio*(n.m+small)):
		text += fmt.Sprintf("; less than %g times what is expected is never an insight", float64(gateRatio))
	}
	if n.lnP <= n.line {
		text += fmt.Sprintf("; it was unusual enough, but the account had %d insights of this type open", maxOpen)
	}
	return text + "."
}

// Learning returns the accounts whose learning time is not over, sorted by account.
func (m *Machine) Learning() []detect.Learning {
	return detect.StillLearning(m.config.Type, m.accounts, func(a *account) *detect.Age { return &a.age })
}
