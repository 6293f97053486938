// Package trailconcealment finds trails that are switched off or narrowed: TrailConcealmentInsight.
//
// # Signal
//
// Events of the class "trail" of the catalogue, core and adjacent, that succeeded or were denied: stopping and deleting trails
// and event data stores, narrowing what they record. Operations that reach the same through another service (the bucket's
// lifecycle, the key) are named in an insight of the same operator that is open, and open none. The key is operator and
// service, per region; the insight object is the service.
//
// # Model
//
// The operator model of package operator, in which somebody is new here until it is a habit: that alone is a score of 10.8 and
// a p of 2.5e-4. An event alarms when p <= budget · min(0.2, 0.25/N30), so everybody is told but those who did the same on three
// days of the last ninety, from a usual network with a usual program; and the root is always.
//
// Not concealment: changing what a trail records within half an hour of having created or started one, which is setting it up;
// stopping or deleting a trail within half an hour of having created one, from a network and with a program that are usual for
// the operator, which is what test rigs and infrastructure tools do. TrailNotFoundException is half as surprising.
//
// An insight ends an hour after the last such event, or when anybody switches logging on again in the region: Restored.
//
// # Defaults
//
// Budget: a quarter of a false insight per account and month. Learning: 24 hours.
//
// # Blind spots
//
// The account's own trail is silent after it was stopped; what follows is seen only through another trail or the event
// history, and an End may wait for the next event. An intruder on the machine of somebody who sets up trails may create one and
// then stop another. A bucket's lifecycle or a disabled key that hides everything without touching a trail opens no insight.
//
// # Sources
//
// ActionTrail, "Overview of Insights events": a trail is disabled or deleted by an abnormal operator. Neither cloud documents
// a threshold, so the model is Trailvane's own. The set-up that looks like concealment was met in a real archive.
package trailconcealment

import (
	"github.com/trailvane/trailvane/pipeline/operator"
	"github.com/trailvane/trailvane/schemas"
)

// Type is the insight type that this detector finds.
const Type = schemas.TrailConcealment

// Budget is the number of false insights that an account may have in a month.
const Budget = 0.25

// A Detector implements detect.Detector and detect.Explainer.
type Detector struct {
	*operator.Machine
}

// New returns a detector without state.
func New() *Detector {
	return &Detector{operator.NewMachine(operator.Config{
		Type: Type, Class: schemas.TrailClass, Detector: "trailconcealment", Things: "changes of trails",
		Budget: Budget, Cap: 0.2, Hazard: 2e-5,
	})}
}
