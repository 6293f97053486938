// Package view tells what an insight does not say of itself: how severe it is, and which other insights belong to the same
// incident. Both are views: whoever reads insights computes them, from all insights of an account that he has seen, and no
// stored insight ever changes for it. A view never makes, moves or removes an insight.
//
// # Incidents
//
// Two insights of one account belong together if they share an access key, a principal or a source address, and their
// activities are at most an hour apart, in whatever regions and of whatever types. An incident is everything that hangs together
// so; its id is the shared id of its earliest insight. What an insight was seen with is read from its attributions (principals),
// its drivers (addresses and keys) and its object (the address of an IpInsight, the key of an AkInsight); values behind less than
// a tenth of the calls of the first of their dimension stood by, and do not count.
//
// Some things would join everybody with everybody, and join nothing: services of the cloud, as principal or address; whatever is
// no IP address; and hubs, addresses that more than twenty principals were seen with in thirty days, as an office's or a
// proxy's. An insight that joins two incidents names in Linked those whose id is no longer in use, because a reader may have told
// of them.
//
// # Severity
//
// How bad it would be if it were an attack, and how unusual it is, in points:
//
//	score = min(40, 8 (-log10 p - 3)) + min(20, 10 |log10 ratio|) + class + min(20, 10 per further type in the incident)
//
// The first two are never negative. Class is 0 for reading and throttling, 10 for writing, 20 for destroying and for permissions,
// 30 for trails and for the root of an account, and a step less if every call failed. Below 30 points the severity is low, below
// 50 medium, below 75 high, from there critical; trail concealment is at least high.
//
// # Use
//
// A [Reader] is fed insight events in the order of their time, and asked at any time about those of the last day. [All] does it
// for a list. Both give the same answers, and what one account did never changes those about another.
package view

import (
	"cmp"
	"slices"

	"github.com/trailvane/trailvane/schemas"
)

// A View is what a reader of insights sees in one of them, beyond what it says.
type View struct {
	Severity   Severity
	Score      int      // behind the severity, 0 to 110
	IncidentID string   // shared id of the earliest insight of the incident
	Linked     []string // ids of incidents that this insight has joined to the incident, by age
}

// Fill writes the view into a reader's own copy of an insight.
func (v View) Fill(i *schemas.Insight) {
	t := &i.Details.Trailvane
	t.Severity, t.Score, t.IncidentID, t.Linked = v.Severity.String(), v.Score, v.IncidentID, v.Linked
}

// All returns the views of all insights, in any order, as a reader would tell them who has read to the end.
func All(insights []schemas.Insight) []View {
	order := make([]*schemas.Insight, len(insights))
	for i := range insights {
		order[i] = &insights[i]
	}
	slices.SortStableFunc(order, compare)
	r := NewReader()
	r.forgetNothing = true
	for _, i := range order {
		r.Add(i)
	}
	views := make([]View, len(insights))
	for i := range insights {
		views[i] = r.View(&insights[i])
	}
	return views
}

// compare orders insight events by time, those of one time by their insight.
func compare(a, b *schemas.Insight) int {
	return cmp.Or(cmp.Compare(a.EventTime, b.EventTime), cmp.Compare(a.SharedEventID, b.SharedEventID))
}

// View returns the view of an insight event, as far as the reader has read. Of one that it does not remember, or has never read,
// it says what can be said of it alone.
func (r *Reader) View(i *schemas.Insight) View {
	v := View{IncidentID: i.SharedEventID}
	types := 1
	if a := r.accounts[i.Account()]; a != nil {
		if s := a.stretches[i.SharedEventID]; s != nil {
			root := s.incident.root()
			v.IncidentID, v.Linked, types = root.id, slices.Clone(s.linked), root.types.count()
		}
	}
	v.Score, v.Severity = r.rate(i, types)
	return v
}
