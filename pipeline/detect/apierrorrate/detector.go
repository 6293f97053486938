// Package apierrorrate finds unusual rates of failed calls: ApiErrorRateInsight.
//
// # Signal
//
// Failed calls per minute, reads and writes, of an account, region, service, event name and error code. Codes are stripped of
// request ids and numbers, so that "InvalidParameter.12345" is "InvalidParameter"; an event has at most 64 codes, later ones are
// one code, "__other". Calls that come after their minute was closed are left out. The insight object is the event name.
//
// # Model
//
// Two questions must both say yes. How many failed: the rate model of package model. What share failed: with e the failed calls
// of this code and n these and the successful calls of the same event, both decayed in the window that stands out, and pi the
// share as it was, decayed with a half-life of seven days,
//
//	(e - n·pi) >= 3.1·sqrt(n·pi·(1-pi)·(1 + (n-1)·0.02))
//
// so that twice the calls with twice the errors is no news. A code that most calls fail with, pi >= 0.8, is judged by its count
// alone. So is one that nobody has called without failing.
//
// The share is known from the minute after the first failure of a code. Before it, successes are not counted: most calls never
// fail, and to keep count of them all would cost as much as the call rates do. The price is that the first minute of a code
// that the account has never seen is judged by its count alone, on the line of new keys, which asks for some hundred failures;
// a call of which so many fail in a way that it never did is worth a look even if thousands succeed.
//
// What fails with other codes is not in n. A minute's rows come in order of their codes, success first, so that n is complete
// when the first row of a code comes, and a part of a pane never alarms where the whole would not.
//
// Fan-out: a principal that is denied, or throttled, one call each on many APIs. For each principal and class of error, the
// number of different calls (service and event, read or write) in a clock hour, against the mean of its active hours, as
// package model counts breadth; nothing else of them is judged. The insight object is the error code that came most often; there
// is no one service or event.
//
// # Defaults
//
// Budget: one false insight per account and month, over all its keys. 50,000 keys per account; what comes beyond is one key,
// "__other". Learning: 24 hours. A quarter of the budget is that of fan-outs, which need 8 different calls more, and 2.5 times as
// many, as in an hour of the principal.
//
// # Blind spots
//
// Less than five failures above the normal. A call that never failed in this way must do so some hundred times within the hour,
// even if nobody succeeds with it any more. Failures that grow with the calls. A caller that is denied once on each of many APIs
// is seen by none of their keys, and by the fan-out only if he is known or it is dozens. Codes that an attacker makes up fill the
// 64 places of an event until they have been idle for a hundred days; failures with codes that come later are seen as one. A
// deployment that breaks is as unusual as an attack: the
// sentence says when the calls were throttled or denied.
//
// # Sources
//
// ActionTrail, "Overview of Insights events"; CloudTrail, "Insights event record contents": read and write calls with an error
// code, for each call and code. Neither documents a threshold.
package apierrorrate

import (
	"strings"

	"github.com/trailvane/trailvane/pipeline/model"
	"github.com/trailvane/trailvane/schemas"
)

// Type is the insight type that this detector finds.
const Type = schemas.APIErrorRate

// Budget is the number of false insights that an account may have in a month.
const Budget = 1

// MaxCodes bounds the codes of an event. The calls of both clouds document some thirty at most.
const MaxCodes = 64

// A Detector implements detect.Detector.
type Detector struct {
	*model.Several
	fanOut fanOut
}

// New returns a detector without state.
func New() *Detector {
	d := new(Detector)
	d.Several = model.NewSeveral(
		model.Part{Prefix: "code.", Tell: tell, Machine: model.NewMachine(model.Config{
			Type: Type, Budget: Budget - fanOutBudget, Counts: failed, ID: id, AppendKey: appendKey,
			Trials: succeeded, Family: family, MaxFamily: MaxCodes,
		})},
		model.Part{Prefix: "fan.", Tell: tellFanOut, Machine: model.NewMachine(d.fanOut.config())},
	)
	return d
}

// Observe implements detect.Detector.
func (d *Detector) Observe(p *schemas.Pane, s schemas.Settings, emit func(*schemas.Finding)) {
	d.fanOut.begin(p)
	d.Several.Observe(p, s, emit)
}

func failed(r *schemas.Row) bool    { return r.ErrorCode != 0 }
func succeeded(r *schemas.Row) bool { return r.ErrorCode == 0 }

// id has 21 bits for each: a pane travels in a message of 512 KiB, so it has fewer strings.
func id(r *schemas.Row) uint64 {
	return uint64(r.Service)<<42 | uint64(r.Name)<<21 | uint64(r.ErrorCode)
}

// The parts of a key have less than model.MaxKey bytes together, so that none is cut.
const (
	maxService = 60
	maxEvent   = 120
)

// appendKey appends service, event and code, with slashes between them; the code of a success is empty. Neither service nor code
// has a slash.
func appendKey(b []byte, p *schemas.Pane, r *schemas.Row) []byte {
	service := p.Strings[r.Service]
	for _, c := range []byte(service[:min(len(service), maxService)]) {
		if c == '/' {
			c = '|'
		}
		b = append(b, c)
	}
	event := p.Strings[r.Name]
	b = append(b, '/')
	b = append(b, event[:min(len(event), maxEvent)]...)
	b = append(b, '/')
	if r.ErrorCode == 0 {
		return b
	}
	return appendCode(b, p.Strings[r.ErrorCode])
}

// family is the part of a key that its successes have too.
func family(key string) string {
	return key[:max(strings.LastIndexByte(key, '/'), 0)]
}

// tell adds names and words to a finding.
func tell(f *schemas.Finding) {
	service, rest, _ := strings.Cut(f.Key, "/")
	f.Service, f.Event = service, rest
	if i := strings.LastIndexByte(rest, '/'); i >= 0 { // not in the key of what is beyond all bounds
		f.Event, f.ErrorCode = rest[:i], rest[i+1:]
	}
	f.Object = f.Event
	f.Why.Detector = "apierrorrate"
	f.Why.Text = sentence(f)
}
