// Package passwordchange finds passwords and second factors that are changed by an operator who does not do such things:
// PasswordChangeInsight.
//
// # Signal
//
// Events of the class "password" of the catalogue, core and adjacent, that succeeded or were denied: login profiles,
// passwords, password policies, second factors, on Alibaba Cloud the secrets of KMS. The key is operator and service, per
// region; the insight object is the service.
//
// # Model
//
// The operator model of package operator: S = who + the surprise of network, program, hour, way to sign in and target, p from
// the account's operator-days mixed with shipped ones, and an alarm when p <= budget · min(5e-3, 1/N30). First times of those
// who change their own are counted apart, because everybody does it some day. The root of an account is always told; a habit
// never is.
//
// # Defaults
//
// Budget: one false insight per account and month; never above p = 5e-3. First times are shipped as one in 333 principal-days,
// of one's own password as one in 50. Learning: 24 hours. An insight ends after an hour without such an event.
//
// # Blind spots
//
// A thief who changes the password of the user whose key he has, from that user's network. A help desk member who resets
// for himself what he resets for others. Resets of many users in an hour by somebody who does that every day. Passwords of
// databases, unless the catalogue knows the operation.
//
// # Sources
//
// ActionTrail, "Overview of Insights events": a password change by an abnormal operator. Neither cloud documents a threshold, so
// the model is Trailvane's own. Teh 2006 (the mass left to somebody new); Cormode et al., ICDE 2009 (forward decay).
package passwordchange

import (
	"github.com/trailvane/trailvane/pipeline/operator"
	"github.com/trailvane/trailvane/schemas"
)

// Type is the insight type that this detector finds.
const Type = schemas.PasswordChange

// Budget is the number of false insights that an account may have in a month.
const Budget = 1

// A Detector implements detect.Detector and detect.Explainer.
type Detector struct {
	*operator.Machine
}

// New returns a detector without state.
func New() *Detector {
	return &Detector{operator.NewMachine(operator.Config{
		Type: Type, Class: schemas.PasswordClass, Detector: "passwordchange", Things: "password changes",
		Budget: Budget, Cap: 5e-3, Hazard: 3e-3, SelfHazard: 2e-2,
	})}
}
