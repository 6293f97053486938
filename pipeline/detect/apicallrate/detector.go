// Package apicallrate finds unusual rates of write calls: ApiCallRateInsight.
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
	return &Detector{model.NewMachine(model.Config{Counts: counts, ID: id, AppendKey: appendKey, Budget: Budget})}
}

// Type implements detect.Detector.
func (*Detector) Type() schemas.InsightType { return Type }

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
