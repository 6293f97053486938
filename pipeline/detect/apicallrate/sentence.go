package apicallrate

import (
	"strings"

	"github.com/trailvane/trailvane/pipeline/model"
	"github.com/trailvane/trailvane/schemas"
)

// sentence says in words what the figures of a finding say; it uses nothing else.
func sentence(f *schemas.Finding) string {
	var b strings.Builder
	st, w := &f.Statistics, &f.Why
	if f.Event == "" {
		b.WriteString("Destructive calls of ")
		b.WriteString(f.Service)
		b.WriteString(", none of them unusual by itself, were made ")
	} else {
		b.WriteString(f.Event)
		b.WriteString(" was called ")
	}
	b.WriteString(model.Plural(st.InsightCount, "time", "times"))
	b.WriteString(" in ")
	b.WriteString(model.Plural(uint64(st.InsightDuration), "minute", "minutes"))
	if who := model.Leader(f); who != "" {
		b.WriteString(" by ")
		b.WriteString(who)
	}
	b.WriteString("; normally ")
	switch {
	case st.Baseline > 0:
		b.WriteString(model.PerTime(st.Baseline))
	case f.Event == "":
		b.WriteString("there are none")
	default:
		b.WriteString("it is not called at all")
	}
	b.WriteString("; ")
	b.WriteString(model.HowRare(w.OneIn))
	b.WriteByte('.')
	return b.String()
}
