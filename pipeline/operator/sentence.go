package operator

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/trailvane/trailvane/pipeline/model"
	"github.com/trailvane/trailvane/schemas"
)

// sentence says in words what the figures of a finding say, and who it was.
func sentence(f *schemas.Finding, who string) string {
	w := f.Why.Operator
	_, event, _ := strings.Cut(w.Operation, "/")
	if event == "" {
		event = "an operation without a name"
	}
	var b strings.Builder
	tried := w.Denied == f.Statistics.InsightCount // not one of the events succeeded
	switch {
	case len(w.Rules) > 0 && tried:
		fmt.Fprintf(&b, "%s; here tried by %s", ruleText(&w.Rules[0]), who)
	case len(w.Rules) > 0:
		fmt.Fprintf(&b, "%s; here by %s", ruleText(&w.Rules[0]), who)
	case tried:
		fmt.Fprintf(&b, "%s tried %s", who, event)
	default:
		fmt.Fprintf(&b, "%s called %s", who, event)
	}
	if w.FirstTime {
		b.WriteString(", for the first time")
	}
	for _, s := range w.Surprises {
		switch s.Attribute {
		case "network":
			b.WriteString(", from a new network")
		case "userAgent":
			b.WriteString(", with " + s.Value)
		}
	}
	start := f.Start.Time()
	fmt.Fprintf(&b, ", at %02d:%02d", start.Hour(), start.Minute())
	if n := f.Statistics.InsightCount; n > 1 {
		fmt.Fprintf(&b, ", %d events in %s", n, model.Plural(uint64(f.Statistics.InsightDuration), "minute", "minutes"))
		if w.Denied > 0 && !tried {
			fmt.Fprintf(&b, ", %d of them denied", w.Denied)
		}
	}
	for _, d := range f.Why.Drivers {
		if d.Dimension == dimensionNames[indirect] {
			b.WriteString(", and " + d.Value)
			break
		}
	}
	if f.Why.Route == "root" {
		b.WriteString("; what the root does is always told.")
	} else {
		fmt.Fprintf(&b, "; of the days on which somebody does such things, one in %s is like this.", model.Rough(f.Why.OneIn))
	}
	return b.String()
}

func ruleText(r *schemas.Rule) string { return r.Text + " (at least " + percent(r.Lower) + " %)" }

func percent(x float64) string { return strconv.FormatFloat(schemas.Round(x*100), 'f', 1, 64) }

// text says in a sentence what was seen and why it was not told.
func (n *nearMiss) text() string {
	first := ""
	if n.first {
		first = ", for the first time"
	}
	const text = "%s called %s%s: a score of %s. " +
		"Of the days on which somebody does such things, one in %s is like this; one in %s would have been told."
	return fmt.Sprintf(text,
		n.who, n.event, first, model.Rough(n.score), model.Rough(model.Exp(-n.lnP)), model.Rough(model.Exp(-n.line)))
}
