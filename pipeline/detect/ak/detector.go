// Package ak finds access keys that are used as never before: AkInsight. To whoever gets one it says that a key may have been
// stolen, or that a program has begun to do something else.
//
// # Signal
//
// Write calls that were made with an access key, failed ones included, per minute of an account, region and key. A long-lived
// key is judged by its id. Temporary credentials (ids that begin with ASIA or STS.) live for hours, so those of a role, or of
// whoever else they were issued to, are judged together; the insight object is then the id with most of the calls. Calls
// without a key, as from the console, do not count, nor do reads, nor calls that come after their minute was closed.
//
// # Model
//
// The rate model of package model, and breadth beside it: D, the number of different calls (service and event) in a clock hour,
// against the mean D of the key's active hours, on half of the budget each. Either opens an insight; it ends when for ten closed
// minutes neither was abnormal, which for breadth means that nothing new was called, or after 24 hours. A new key begins with
// a copy of the model of the key that its principal used last in the region, with half of its history: so changing a key is
// silent, and a thief who makes himself a key is seen at once. The first hour of a key that was not used for 32 days, longer
// than a job of every month is idle, is judged as that of a new key, by the first hours of the account's other keys.
//
// # Defaults
//
// Budget: half a false insight per account and month. 50,000 keys per account; what comes beyond is one key, "__other". A
// breadth insight needs 8 different calls more, and 2.5 times as many, as in an hour of the key. Learning: 24 hours.
//
// # Blind spots
//
// A thief who does what the owner does, as often as he does. Reads: who only looks around with a stolen key is seen by the
// address (IpInsight) or when he is denied. A new key of a principal that had none in the region, in its first hour: it must
// make some hundred calls, or some dozens of kinds. Copies of a key that is always busy in many ways. Few kinds an hour: eight
// more than usual are needed, so that one every ten minutes is slow enough. A session name is no key: what one session of a busy
// role does is lost among the others. Different calls are counted in 128 bits, so that beyond five hundred they are "many".
//
// # Sources
//
// ActionTrail, "Overview of Insights events" (write events, the insight object is the AccessKey id); neither vendor tells a
// threshold. AWS, "IAM unique identifiers" (AKIA, ASIA); Alibaba Cloud, "What is STS" (STS.). Whang et al., TODS 1990 (linear
// counting); for the rest see package apicallrate.
package ak

import (
	"strings"

	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/pipeline/model"
	"github.com/trailvane/trailvane/schemas"
)

// Type is the insight type that this detector finds.
const Type = schemas.AK

// Budget is the number of false insights that an account may have in a month.
const Budget = 0.5

// dormant is how long a key is idle before it is judged as a new one: longer than a job of every month.
const dormant = 32 * schemas.Day

// A Detector implements detect.Detector.
type Detector struct {
	*model.Machine

	pane *schemas.Pane // that is observed
	kind []keyKind     // of its strings
}

// New returns a detector without state.
func New() *Detector {
	d := new(Detector)
	d.Machine = model.NewMachine(model.Config{
		Type: Type, Counts: counts, ID: d.id, AppendKey: appendKey, Budget: Budget,
		Breadth: model.RateAndBreadth, API: true, Inherit: true, Dormant: dormant,
	})
	return d
}

// Observe implements detect.Detector.
func (d *Detector) Observe(p *schemas.Pane, s schemas.Settings, emit func(*schemas.Finding)) {
	d.pane = p
	d.kind = append(d.kind[:0], make([]keyKind, len(p.Strings))...)
	d.Machine.Observe(p, s, func(f *schemas.Finding) {
		f.Object = object(f)
		f.Why.Detector = "ak"
		f.Why.Text = sentence(f)
		emit(f)
	})
	d.pane = nil
}

// NearMisses implements detect.Explainer.
func (d *Detector) NearMisses() []detect.NearMiss {
	all := d.Machine.NearMisses()
	for i := range all {
		if r, ok := role(all[i].Object); ok {
			all[i].Object = r
		}
	}
	return all
}

// counts takes write events with a key, failed ones included.
func counts(r *schemas.Row) bool { return r.Write && r.AccessKey != 0 }

// A keyKind says what kind of access key a string is.
type keyKind uint8

const (
	unknown keyKind = iota
	longLived
	temporary
)

func kindOf(key string) keyKind {
	if strings.HasPrefix(key, "ASIA") || strings.HasPrefix(key, sts) {
		return temporary
	}
	return longLived
}

// id tells the keys of a pane apart: by the string of a long-lived key, by the principal of temporary ones.
func (d *Detector) id(r *schemas.Row) uint64 {
	if int(r.AccessKey) < len(d.kind) {
		k := &d.kind[r.AccessKey]
		if *k == unknown {
			*k = kindOf(d.pane.Strings[r.AccessKey])
		}
		if *k == temporary {
			return 1<<63 | uint64(r.PrincipalType)<<32 | uint64(r.Principal)
		}
	}
	return uint64(r.AccessKey)
}

// sts begins the ids of temporary credentials in Alibaba Cloud, and the keys of all of them here: no long-lived one has it.
const sts = "STS."

// appendKey appends the id of a long-lived key, or "STS.kind/principal".
func appendKey(b []byte, p *schemas.Pane, r *schemas.Row) []byte {
	if id := p.Strings[r.AccessKey]; kindOf(id) != temporary {
		return append(b, id...)
	}
	b = append(b, sts...)
	b = append(b, model.PrincipalKind(r.PrincipalType)...)
	b = append(b, '/')
	return append(b, p.Strings[r.Principal]...)
}

// role returns the principal of the temporary credentials that a key stands for.
func role(key string) (string, bool) {
	_, name, ok := strings.Cut(key, "/")
	return name, ok && strings.HasPrefix(key, sts)
}

// object is the key's id; of temporary credentials the one with most of the calls.
func object(f *schemas.Finding) string {
	name, ok := role(f.Key)
	if !ok {
		return f.Key
	}
	for _, d := range f.Why.Drivers {
		if d.Dimension == "accessKeyId" {
			return d.Value
		}
	}
	if name == "" {
		return f.Key
	}
	return name
}
