package present

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/trailvane/trailvane/pipeline/model"
	"github.com/trailvane/trailvane/pipeline/view"
	"github.com/trailvane/trailvane/schemas"
)

// severity names how severe an insight is.
func severity(e *schemas.Insight) string { return cmp.Or(Safe(e.Details.Trailvane.Severity, 8), "?") }

// what names the type and its object: for those about operators the call, which says more than the service.
func what(e *schemas.Insight) string {
	object := e.Details.Object
	if o := e.Details.Trailvane.Why.Operator; o != nil && o.Operation != "" {
		object = o.Operation
		if _, name, found := strings.Cut(object, "/"); found {
			object = name
		}
	}
	return short(e.Details.Type) + " " + Safe(object, mostCell)
}

// unusual says in a few words what is unusual: compared with the normal, or for the first time.
func unusual(s Stretch) string {
	e := s.last()
	switch {
	case e.Details.Trailvane.Why.Address != nil:
		return novelty(e.Details.Trailvane.Why.Address) + ", " + plural(e.Details.Context.Statistics.InsightCount, "request") + refused(e)
	case e.Details.Trailvane.Why.Operator != nil:
		return operator(s) + refused(e)
	}
	word := "call"
	if e.Details.Type == schemas.APIErrorRate {
		word = "error"
		if code := e.Details.ErrorCode; code != "" && code != e.Details.Object {
			word = Safe(code, mostCell) + " error"
		}
	}
	text := times(e, word)
	if r := e.Details.Trailvane.Why.Rate; r != nil {
		if r.Breadth > 0 && float64(r.Breadth) > 2*r.BreadthExpected {
			text += fmt.Sprintf(", %s different", count(uint64(r.Breadth)))
		}
		if r.DormantDays > 0 {
			text += ", unused for " + plural(uint64(r.DormantDays), "day")
		}
	}
	return text
}

// times compares a rate with the normal.
func times(e *schemas.Insight, word string) string {
	st := &e.Details.Context.Statistics
	text := plural(st.InsightCount, word)
	switch {
	case st.Baseline > 0:
		text += ", normally " + model.PerTime(st.Baseline)
	case st.BaselineDuration > 0:
		text += ", normally none"
	}
	return text
}

// novelty says what is new about an address: the next larger thing is known.
func novelty(a *schemas.AddressWhy) string {
	switch known := a.AccountKnew; {
	case known == "nothing" && a.Country != "":
		return "new country"
	case known == "nothing", strings.HasPrefix(known, "its country"), strings.HasSuffix(known, "/8"), strings.HasSuffix(known, "/12"):
		return "new network"
	case strings.HasPrefix(known, "its network"), strings.HasSuffix(known, "/16"), strings.HasSuffix(known, "/32"):
		return "new part of a known network"
	case known == "the address itself":
		return "new for this caller"
	}
	return "new address"
}

// operator says how unusual somebody is for what he changes, and at what time of day it was.
func operator(s Stretch) string {
	e := s.last()
	o := e.Details.Trailvane.Why.Operator
	text := plural(e.Details.Context.Statistics.InsightCount, "call")
	if o.FirstTime {
		text += ", first time"
	} else if o.HabitualDays > 0 {
		text += ", known from " + plural(uint64(o.HabitualDays), "day")
	}
	return text + s.began().Time().Format(", 15:04")
}

// refused says how many calls were refused, where that is all or many of them.
func refused(e *schemas.Insight) string {
	n := e.Details.Context.Statistics.InsightCount
	if o := e.Details.Trailvane.Why.Operator; o != nil && o.Denied > 0 && o.Denied < n {
		return fmt.Sprintf(", %s denied", count(o.Denied))
	}
	all := false
	for _, a := range e.Details.Context.Attributions {
		if a.Attribute != schemas.ErrorCodeAttribute {
			continue
		}
		all = len(a.Insight) > 0 && !slices.ContainsFunc(a.Insight, func(v schemas.Attributed) bool {
			return v.Value == "" || v.Value == schemas.NoError
		})
	}
	if o := e.Details.Trailvane.Why.Operator; all || o != nil && o.Denied > 0 && o.Denied >= n {
		return ", denied"
	}
	return ""
}

// who names whoever made most of the calls, and from where.
func who(e *schemas.Insight) string {
	text := "?"
	if all := principals(e); len(all) > 0 {
		text = Safe(person(all[0].Value), mostCell)
		if n := len(all) - 1; n > 0 {
			text += fmt.Sprintf(" +%d", n)
		}
	}
	if from := driver(e, "sourceIPAddress"); from != "" && e.Details.Type != schemas.IP { // there it is the object
		text += " from " + Safe(from, mostCell)
	}
	return text
}

// principals returns whoever made the calls, most of them first.
func principals(e *schemas.Insight) []schemas.Attributed {
	for _, a := range e.Details.Context.Attributions {
		if a.Attribute == schemas.PrincipalAttribute || a.Attribute == "userIdentityArn" {
			return a.Insight
		}
	}
	return nil
}

// person shortens an ARN to what follows the account: "user/ci-deploy".
func person(principal string) string {
	if strings.HasPrefix(principal, "arn:") {
		if parts := strings.SplitN(principal, ":", 6); len(parts) == 6 {
			return cmp.Or(parts[5], principal)
		}
	}
	return cmp.Or(principal, "?")
}

// driver returns the first value that stands out in a dimension.
func driver(e *schemas.Insight, dimension string) string {
	for _, d := range e.Details.Trailvane.Why.Drivers {
		if d.Dimension == dimension {
			return d.Value
		}
	}
	return ""
}

// headline says what an incident is, in one line: how severe, who and what most of its insights share, how many they are.
func (n Incident) headline() string {
	worst := view.Low
	types, regions := map[schemas.InsightType]bool{}, map[string]bool{}
	people, addresses := map[string]int{}, map[string]int{}
	first, last := n.Stretches[0].began(), schemas.Minute(0)
	for _, s := range n.Stretches {
		e := s.last()
		if v, err := view.ParseSeverity(e.Details.Trailvane.Severity); err == nil {
			worst = max(worst, v)
		}
		types[e.Details.Type], regions[e.Region] = true, true
		if all := principals(e); len(all) > 0 && !view.Service(all[0].Value) {
			people[person(all[0].Value)]++
		}
		from := driver(e, "sourceIPAddress")
		if e.Details.Type == schemas.IP {
			from = e.Details.Object
		}
		if _, err := netip.ParseAddr(from); err == nil {
			addresses[from]++
		}
		last = max(last, e.EventTime)
	}
	text := worst.String()
	if p := commonest(people); p != "" {
		text += ", " + Safe(p, mostCell)
	}
	if a := commonest(addresses); a != "" {
		text += " from " + Safe(a, mostCell)
	}
	text += ": " + plural(len(n.Stretches), "insight")
	if len(types) > 1 {
		text += ", " + plural(len(types), "type")
	}
	if len(regions) > 1 {
		text += ", " + plural(len(regions), "region")
	}
	if last > first {
		text += ", " + lasted(last-first)
	}
	return text
}

// commonest returns the name with the largest count, of several the first in order.
func commonest(counts map[string]int) string {
	best := ""
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		if best == "" || counts[name] > counts[best] {
			best = name
		}
	}
	return best
}
