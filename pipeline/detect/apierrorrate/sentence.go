package apierrorrate

import (
	"strings"

	"github.com/trailvane/trailvane/pipeline/catalog"
	"github.com/trailvane/trailvane/pipeline/model"
	"github.com/trailvane/trailvane/schemas"
)

// sentence says in words what the figures of a finding say; it uses nothing else.
func sentence(f *schemas.Finding) string {
	var b strings.Builder
	st, w := &f.Statistics, &f.Why
	b.WriteString(f.Event)
	switch catalog.ClassOf(f.ErrorCode) {
	case catalog.DeniedError:
		b.WriteString(" was denied with ")
	case catalog.ThrottledError:
		b.WriteString(" was throttled with ")
	default:
		b.WriteString(" failed with ")
	}
	b.WriteString(code(f))
	b.WriteString(" ")
	b.WriteString(model.Plural(st.InsightCount, "time", "times"))
	b.WriteString(" in ")
	b.WriteString(model.Plural(uint64(st.InsightDuration), "minute", "minutes"))
	if who := model.Leader(f); who != "" {
		b.WriteString(" by ")
		b.WriteString(who)
	}
	if share := w.Rate.ErrorRatio; share > 0 {
		b.WriteString(", ")
		b.WriteString(model.Rough(100 * share))
		b.WriteString(" % of the calls")
	}
	b.WriteString("; normally ")
	if st.Baseline == 0 {
		b.WriteString("it never does so")
	} else {
		b.WriteString(model.PerTime(st.Baseline))
		if share := w.Rate.ErrorRatioBaseline; share > 0 {
			b.WriteString(", ")
			b.WriteString(model.Rough(100 * share))
			b.WriteString(" % of the calls")
		}
	}
	b.WriteString("; ")
	b.WriteString(model.HowRare(w.OneIn))
	b.WriteByte('.')
	return b.String()
}

// code names the error code as a person knows it.
func code(f *schemas.Finding) string {
	switch f.ErrorCode {
	case "", model.OtherOutcome:
		return "one of many other codes"
	}
	return f.ErrorCode
}
