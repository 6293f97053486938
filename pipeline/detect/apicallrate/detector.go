// Package apicallrate finds unusual rates of write calls: ApiCallRateInsight.
//
// # Signal
//
// Write calls per minute of an account, region, service and event name, failed calls included, as both vendors count them.
// Calls that come after their minute was closed are left out. The insight object is the event name.
//
// # Model
//
// The rate model of package model: level a/b with a half-life of seven days, windows of 5 and 60 minutes, hourly maxima of the
// standardised log-ratio z', p from their tail. An insight starts when p <= alpha, S-M >= 5 and (S+3) >= 3(M+3), not before
// the account's learning time is over; its Start minute is the first of the run that stands out. It ends when ten closed
// minutes were normal by themselves, at the minute after the last that was not, or after 24 hours.
//
// # Defaults
//
// Budget: one false insight per account and month, over all its keys; alpha is the budget through the number of active key-hours
// in 30 days, at most 1e-3. 50,000 keys per account; what comes beyond is one key, "__other". Learning: 24 hours.
//
// # Blind spots
//
// Less than five calls above the normal. A burst inside the habit of the same call: a caller whose deployments are as large as
// the attack hides it. A few calls on each of many APIs, a slow increase over weeks, drops to zero: not seen by this detector.
// A burst on a call that was never made before must reach some two hundred calls in five minutes. In the first weeks of a
// call that is made once a day or less, the tail knows little, and only large bursts pass. A level that rises for good is told
// once and stays open until the model has learned it, a day at most.
//
// # Sources
//
// ActionTrail, "Overview of Insights events" and "Insights event structure"; CloudTrail, "Insights event record contents".
// Neither documents a threshold, so the model is Trailvane's own. Siffer et al., KDD 2017 (peaks over threshold on streams);
// Metwally et al., ICDT 2005 (Space-Saving).
package apicallrate

import (
	"strings"

	"github.com/trailvane/trailvane/pipeline/model"
	"github.com/trailvane/trailvane/schemas"
)

// Type is the insight type that this detector finds.
const Type = schemas.APICallRate

// Budget is the number of false insights that an account may have in a month.
const Budget = 1

// A Detector implements detect.Detector.
type Detector struct {
	*model.Machine
}

// New returns a detector without state.
func New() *Detector {
	return &Detector{model.NewMachine(model.Config{Type: Type, Counts: counts, ID: id, AppendKey: appendKey, Budget: Budget})}
}

// Observe implements detect.Detector.
func (d *Detector) Observe(p *schemas.Pane, s schemas.Settings, emit func(*schemas.Finding)) {
	d.Machine.Observe(p, s, func(f *schemas.Finding) {
		f.Service, f.Event = split(f.Key)
		f.Object = f.Event
		f.Why.Detector = "apicallrate"
		f.Why.Text = sentence(f)
		emit(f)
	})
}

// counts takes write events, failed ones included.
func counts(r *schemas.Row) bool { return r.Write }

func id(r *schemas.Row) uint64 { return uint64(r.Service)<<32 | uint64(r.Name) }

// appendKey appends service and event. A slash in a service's name, which no cloud has, must not make two keys one.
func appendKey(b []byte, p *schemas.Pane, r *schemas.Row) []byte {
	for _, c := range []byte(p.Strings[r.Service]) {
		if c == '/' {
			c = '|'
		}
		b = append(b, c)
	}
	b = append(b, '/')
	return append(b, p.Strings[r.Name]...)
}

func split(key string) (service, event string) {
	service, event, _ = strings.Cut(key, "/")
	return service, event
}
