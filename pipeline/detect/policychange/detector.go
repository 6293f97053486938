// Package policychange finds permissions that are changed by an operator who does not do such things: PolicyChangeInsight.
//
// # Signal
//
// Events of the class "policy" of the catalogue, core and adjacent, that succeeded or were denied: attaching, detaching and
// writing policies, trust policies, group memberships, resource policies. Indirect operations only support an insight that is
// open. The key is operator and service, per region; the insight object is the service.
//
// # Model
//
// The operator model of package operator: S = who + the surprise of network, program, hour, way to sign in and target, p from
// the account's operator-days mixed with shipped ones, and an alarm when p <= budget · min(5e-3, 1/N30). The root of an account
// is always told; what the operator or its group did on three days of the last ninety from a usual network with a usual program
// never is.
//
// # Defaults
//
// Budget: one false insight per account and month; never above p = 5e-3, which is a score of 6.9 in an account without a past.
// First times are shipped as one in 500 principal-days. Learning: 24 hours. An insight ends after an hour without such an event.
//
// # Blind spots
//
// Somebody's first permission change from the usual network, with the usual program, at a usual hour is not told in a young
// account: its score is 6.2, and one operator-day in 120 is shipped with as much. It is after some two thousand principal-days
// in which nobody did so. An attacker at an habitual administrator's own machine is not seen at all, and one who has only
// the key, and uses it with the same program in office hours, not always. What is changed is not read beyond whether it is
// oneself, an administrator's policy or open to everybody. How many targets are changed in an hour does not matter, nor what a
// new key does afterwards. An operator without a name is one operator.
//
// # Sources
//
// ActionTrail, "Overview of Insights events": a permission change by an abnormal operator. Neither cloud documents a
// threshold, so the model is Trailvane's own. Teh 2006 (the mass left to somebody new); Cormode et al., ICDE 2009 (forward
// decay).
package policychange

import (
	"github.com/trailvane/trailvane/pipeline/operator"
	"github.com/trailvane/trailvane/schemas"
)

// Type is the insight type that this detector finds.
const Type = schemas.PolicyChange

// Budget is the number of false insights that an account may have in a month.
const Budget = 1

// A Detector implements detect.Detector and detect.Explainer.
type Detector struct {
	*operator.Machine
}

// New returns a detector without state.
func New() *Detector {
	return &Detector{operator.NewMachine(operator.Config{
		Type: Type, Class: schemas.PolicyClass, Detector: "policychange", Things: "permission changes",
		Budget: Budget, Cap: 5e-3, Hazard: 2e-3,
	})}
}
