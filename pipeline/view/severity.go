package view

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/trailvane/trailvane/pipeline/catalog"
	"github.com/trailvane/trailvane/pipeline/model"
	"github.com/trailvane/trailvane/schemas"
)

// Severity says how bad an insight would be if it were an attack, and how unusual it is.
type Severity uint8

// The severities, in their order.
const (
	Low Severity = iota
	Medium
	High
	Critical
)

var severities = [...]string{"low", "medium", "high", "critical"}

// String returns the name of the severity.
func (s Severity) String() string { return severities[min(int(s), len(severities)-1)] }

// Severities lists the names, in their order.
func Severities() []string { return slices.Clone(severities[:]) }

// ParseSeverity returns the severity of a name.
func ParseSeverity(name string) (Severity, error) {
	for i, n := range severities {
		if n == name {
			return Severity(i), nil
		}
	}
	return 0, fmt.Errorf("unknown severity %q, want one of %s", name, strings.Join(severities[:], ", "))
}

// Classes of what was done, in points.
const (
	reads     = 0
	writes    = 10
	destroys  = 20
	permits   = 20
	conceals  = 30
	asRoot    = 30
	classStep = 10 // by which attempts that failed are less bad
)

// rate returns the score and severity of an insight in an incident of so many types.
func (r *Reader) rate(i *schemas.Insight, types int) (int, Severity) {
	why := &i.Details.Trailvane.Why
	score := between(float64(8*(-why.Log10P-3)), 40) + r.class(i) + between(float64(10*(types-1)), 20)
	if why.Rate != nil && why.Rate.Ratio > 0 { // a drop is as unusual as a rise
		score += between(float64(10*math.Abs(model.Ln(why.Rate.Ratio)/ln10)), 20)
	}
	points := int(score)
	severity := Low
	switch {
	case points >= 75:
		severity = Critical
	case points >= 50:
		severity = High
	case points >= 30:
		severity = Medium
	}
	if i.Details.Type == schemas.TrailConcealment {
		severity = max(severity, High)
	}
	return points, severity
}

const ln10 = 2.302585092994045684017991454684364208

// between cuts points to what a part of the score may give. What is no number gives nothing.
func between(points, most float64) float64 {
	if !(points > 0) {
		return 0
	}
	return min(points, most)
}

// class returns the points for what was done, and by whom.
func (r *Reader) class(i *schemas.Insight) float64 {
	d := &i.Details
	points := 0
	switch d.Type {
	case schemas.TrailConcealment:
		points = conceals
	case schemas.PolicyChange, schemas.PasswordChange:
		points = permits
	case schemas.AK:
		points = writes // it counts nothing else
	case schemas.APICallRate:
		if points = writes; d.EventName == "" { // all that a service has of destructive calls
			points = destroys
		}
	}
	if d.EventName != "" {
		points = max(points, r.operation(d.EventSource, d.EventName))
	}
	denied := false
	for _, a := range d.Context.Attributions {
		switch a.Attribute {
		case schemas.APIAttribute:
			for _, v := range a.Insight {
				service, name, _ := strings.Cut(v.Value, "/")
				points = max(points, r.operation(service, name))
			}
		case schemas.PrincipalAttribute, "userIdentityArn":
			for _, v := range a.Insight {
				if root(i, v.Value) {
					points = max(points, asRoot)
				}
			}
		case schemas.ErrorCodeAttribute:
			denied = failed(a.Insight)
		}
	}
	if o := d.Trailvane.Why.Operator; o != nil && o.Denied > 0 && o.Denied >= d.Context.Statistics.InsightCount {
		denied = true
	}
	switch {
	case catalog.ClassOf(d.ErrorCode) == catalog.ThrottledError:
		return reads
	case denied || d.Type == schemas.APIErrorRate:
		points -= classStep
	}
	return float64(max(points, reads))
}

// failed reports whether no call succeeded, as far as the codes tell.
func failed(codes []schemas.Attributed) bool {
	for _, v := range codes {
		if v.Value == "" || v.Value == schemas.NoError {
			return false
		}
	}
	return len(codes) > 0
}

// root reports whether a principal is the root of the insight's account. Alibaba Cloud gives it the account's number.
func root(i *schemas.Insight, principal string) bool {
	return principal == i.AccountID || strings.HasPrefix(principal, "arn:") && strings.HasSuffix(principal, ":root")
}

// operation returns the points for one call.
func (r *Reader) operation(service, name string) int {
	sensitive := r.catalog.Classify(service, name, "")
	switch {
	case sensitive.Counts(schemas.TrailClass):
		return conceals
	case sensitive.Counts(schemas.PolicyClass), sensitive.Counts(schemas.PasswordClass):
		return permits
	case !catalog.Writes(service, name):
		return reads
	case catalog.Destructive(name):
		return destroys
	}
	return writes
}
