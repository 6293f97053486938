// Package apicallrate finds unusual rates of write calls: ApiCallRateInsight.
//
// # Signal
//
// Write calls per minute of an account, region, service and event name, failed calls included, as both vendors count them.
// Calls that come after their minute was closed are left out. The insight object is the event name.
//
// Destructive calls (Delete, Terminate, Remove, Release, Stop, Destroy, Purge, Schedule…Deletion) are counted once more for each
// service, so that one call on each of forty APIs is seen. So that no burst is told twice, this roll-up leaves out keys that are suspect (p <
// 1e-4) and have not cooled, the busiest key of each minute, and what is beyond three calls of a key in a minute; its count is a
// lower bound. The insight object is the service, and there is no event name. It is fed when minutes are closed and judged, so
// it speaks later than a key does, by the lateness: were it fed before, its model would depend on how panes were cut.
//
// # Model
//
// The rate model of package model: level a/b with a half-life of seven days, windows of 5 and 60 minutes, hourly maxima of the
// standardised log-ratio z', p from their tail. An insight starts when p <= alpha, S-M >= 5 and (S+3) >= 3(M+3), not before
// the account's learning time is over; its Start minute is the first of the run that stands out. It ends when ten closed
// minutes were normal by themselves, at the minute after the last that was not, or after 24 hours. Calls that went on at a new
// level are the new normal. Hours in which the logs of a region were out do not count.
//
// # Defaults
//
// Budget: one false insight per account and month, over all its keys and roll-ups; alpha is the budget through the number of
// active key-hours in 30 days, at most 1e-3. 50,000 keys per account; what comes beyond is one key, "__other". Learning: 24
// hours.
//
// # Blind spots
//
// Less than five calls above the normal. A burst inside the habit of the same call: a caller whose deployments are as large as
// the attack hides it. A few calls on each of many APIs that are not destructive, or of many services, a slow
// increase over weeks, drops to zero: not seen by this detector.
// A burst on a call that was never made before must reach some two hundred calls in five minutes. In the first weeks of a
// call that is made once a day or less, the tail knows little, and only large bursts pass. A level that rises for good is told
// and stays open until the model has learned it, a day at most; a job of every few minutes that becomes many times as large
// is told anew at each run, up to some twenty times, because each is over before the next begins. Destructive calls that come one
// in a minute, whatever their kinds, are no more than the busiest key of each minute to the roll-up.
//
// # Sources
//
// ActionTrail, "Overview of Insights events" and "Insights event structure"; CloudTrail, "Insights event record contents".
// Neither documents a threshold, so the model is Trailvane's own. Siffer et al., KDD 2017 (peaks over threshold on streams);
// Metwally et al., ICDT 2005 (Space-Saving).
package apicallrate

import (
	"cmp"
	"strings"

	"github.com/trailvane/trailvane/pipeline/catalog"
	"github.com/trailvane/trailvane/pipeline/detect"
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
	return &Detector{model.NewMachine(model.Config{
		Type: Type, Counts: counts, ID: id, AppendKey: appendKey, Budget: Budget, RollUp: rollUp,
	})}
}

// Observe implements detect.Detector.
func (d *Detector) Observe(p *schemas.Pane, s schemas.Settings, emit func(*schemas.Finding)) {
	d.Machine.Observe(p, s, func(f *schemas.Finding) {
		f.Service, f.Event = name(f.Key)
		f.Object = cmp.Or(f.Event, f.Service)
		f.Why.Detector = "apicallrate"
		f.Why.Text = sentence(f)
		emit(f)
	})
}

// counts takes write events, failed ones included.
func counts(r *schemas.Row) bool { return r.Write }

func id(r *schemas.Row) uint64 { return uint64(r.Service)<<32 | uint64(r.Name) }

// appendKey appends service and event. A slash in a service's name, or before an event's, which no cloud has, must not make two
// keys one.
func appendKey(b []byte, p *schemas.Pane, r *schemas.Row) []byte {
	for _, c := range []byte(p.Strings[r.Service]) {
		if c == '/' {
			c = '|'
		}
		b = append(b, c)
	}
	b = append(b, '/')
	event := len(b)
	b = append(b, p.Strings[r.Name]...)
	if event < len(b) && b[event] == '/' {
		b[event] = '|'
	}
	return b
}

// destructive is what the key of a roll-up has for an event name. No event name begins so.
const destructive = "/destructive"

// rollUp counts destructive calls once more, by service.
func rollUp(key string) string {
	service, event, _ := strings.Cut(key, "/")
	if !catalog.Destructive(event) {
		return ""
	}
	return service + "/" + destructive
}

// name says what a key is of: the event is empty for a roll-up.
func name(key string) (service, event string) {
	service, event, _ = strings.Cut(key, "/")
	if event == destructive {
		event = ""
	}
	return service, event
}

// NearMisses implements detect.Explainer, in words where the machine has keys.
func (d *Detector) NearMisses() []detect.NearMiss {
	near := d.Machine.NearMisses()
	for i := range near {
		if service, event := name(near[i].Object); event == "" {
			near[i].Object = service + "/destructive calls"
		}
	}
	return near
}
