package model

import (
	"math"
	"slices"

	"github.com/trailvane/trailvane/schemas"
)

// A NearMiss is the most unusual minute of an active hour of a key that did not become an insight.
type NearMiss struct {
	Account  schemas.Account
	Region   string
	Key      string
	Minute   schemas.Minute
	Window   uint32  // minutes
	Observed float64 // weighted calls in the window
	Expected float64
	Log10P   float64
	Line     float64 // log10 of the p that would have been an insight
}

// Learning says how far an account is.
type Learning struct {
	Account schemas.Account
	Seen    schemas.Minute // of event time since its first event
	Needed  schemas.Minute
}

// NearMisses returns what came nearest to an insight since the beginning, per account the eight nearest, sorted by account
// and then by distance to the line. Minutes of the learning time are not among them.
func (m *Machine) NearMisses() []NearMiss {
	var out []NearMiss
	for _, a := range m.sorted() {
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
			out = append(out, NearMiss{
				Account: a.id, Region: n.region, Key: n.key, Minute: n.minute, Window: WindowMinutes[n.window],
				Observed: round6(n.s), Expected: round6(n.m), Log10P: round6(n.lnP / ln10), Line: round6(n.line / ln10),
			})
		}
	}
	return out
}

// Learning returns how far every account is, sorted by account.
func (m *Machine) Learning() []Learning {
	var out []Learning
	for _, a := range m.sorted() {
		if a.seen {
			seen := min(int64(a.newest)-int64(a.born)+1, math.MaxInt32)
			out = append(out, Learning{Account: a.id, Seen: schemas.Minute(seen), Needed: a.learn})
		}
	}
	return out
}

func (m *Machine) sorted() []*account {
	var all []*account
	for _, a := range m.accounts {
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b *account) int { return a.id.Compare(b.id) })
	return all
}
