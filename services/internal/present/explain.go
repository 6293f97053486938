package present

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trailvane/trailvane/pipeline/model"
	"github.com/trailvane/trailvane/schemas"
)

// An explanation is the lines below the title of a stretch: the name of a fact, and the fact.
type explanation struct {
	b     strings.Builder
	width int
}

// indent is the width of the names of facts.
const indent = 14

// line adds a fact on one line.
func (x *explanation) line(name, text string) {
	fmt.Fprintf(&x.b, "  %-11s %s\n", name, Safe(text, x.width-indent))
}

// fact adds a fact on as many lines as it takes.
func (x *explanation) fact(name, text string) {
	folded := Fold(Safe(text, mostFact), x.width, strings.Repeat(" ", indent))
	fmt.Fprintf(&x.b, "  %-11s %s", name, folded[min(indent, len(folded)):])
}

// mostFact bounds a fact, columns: a sentence or two.
const mostFact = 400

// Explain tells one stretch of activity in words, in lines of at most width columns, or 100 if width is 0.
func Explain(s Stretch, width int) string {
	if width <= 0 {
		width = 100
	}
	x := explanation{width: max(width, 40)}
	e := s.last()
	why := &e.Details.Trailvane.Why
	fmt.Fprintf(&x.b, "%s  %s in account %s, %s\n", when(s.began().Time()),
		short(e.Details.Type), Safe(e.AccountID, mostCell), Safe(e.Region, mostCell))
	x.b.WriteString(Fold(Safe(why.Text, 1000), x.width, "  "))
	if t := &e.Details.Trailvane; t.Severity != "" {
		x.line("severity", fmt.Sprintf("%s, %d points", Safe(t.Severity, 8), t.Score))
	}
	switch {
	case why.Address != nil:
		x.address(s, why.Address)
	case why.Operator != nil:
		x.operator(s, why.Operator)
	default:
		x.rate(s)
	}
	x.drivers(e)
	x.attributions(e)
	if len(why.SampleEventIDs) > 0 {
		x.line("look at", "event "+why.SampleEventIDs[0])
	}
	x.line("ended", ended(s, why.EndReason))
	return x.b.String()
}

// rate tells the facts of a type that counts calls.
func (x *explanation) rate(s Stretch) {
	st := &s.last().Details.Context.Statistics
	x.fact("rate", fmt.Sprintf("%s in %s; normally %s, learned from %s", plural(st.InsightCount, noun(s.last())), s.howLong(),
		normally(st.Baseline), lasted(schemas.Minute(min(st.BaselineDuration, 1<<30)))))
	r := s.last().Details.Trailvane.Why.Rate
	if r == nil {
		return
	}
	if r.ErrorRatio > 0 {
		text := percent(r.ErrorRatio) + " of the calls"
		if st.Baseline > 0 { // else the share is an assumption of the model
			text += ", normally " + percent(r.ErrorRatioBaseline)
		}
		x.line("failed", text)
	}
	if r.Breadth > 0 {
		x.line("breadth", fmt.Sprintf("%s in an hour, normally %s",
			plural(uint64(r.Breadth), "different call"), large(r.BreadthExpected)))
	}
	if r.DormantDays > 0 {
		x.line("dormant", "not used for "+plural(uint64(r.DormantDays), "day")+" before")
	}
}

// address tells the facts of a suspicious address.
func (x *explanation) address(s Stretch, a *schemas.AddressWhy) {
	st := &s.last().Details.Context.Statistics
	x.line("requests", fmt.Sprintf("%s in %s", count(st.InsightCount), s.howLong()))
	x.fact("known", fmt.Sprintf("the account knew %s, the caller %s", known(a.AccountKnew), known(a.PrincipalKnew)))
	x.fact("habit", habit(a))
	for _, m := range a.Modifiers {
		x.fact("also", Safe(m.Name, mostCell)+", "+likelihood(m.Ratio))
	}
	if a.ASN != "" || a.Country != "" {
		x.line("network", strings.Trim(Safe(a.ASN, mostCell)+", "+Safe(a.Country, mostCell), ", "))
	}
	if a.More > 0 {
		x.line("more", "new addresses of that day that are told by this one: "+count(a.More))
	}
}

// known tells a prefix that the detector names.
func known(prefix string) string {
	if prefix == "" {
		return "nothing"
	}
	return Safe(prefix, mostCell)
}

// habit tells whose habits decided, and what they are. Days fade with time, so that there are parts of them.
func habit(a *schemas.AddressWhy) string {
	text := "the caller was active on " + days(a.PrincipalDays) + " before"
	if !(a.PrincipalDays > 0) {
		text = "the caller was never seen before"
	}
	often := "on " + days(a.NoveltyDays)
	switch a.BackOff {
	case "principal":
		return text + ", and had something as new " + often
	case "kind":
		return text + "; callers of its kind in the account had something as new " + often
	case "account":
		return text + "; all callers of the account had something as new " + often
	case "shipped":
		return text + "; judged by what is usual everywhere"
	}
	return text + "; " + Safe(a.BackOff, mostCell)
}

// days tells days that have faded, to a tenth.
func days(n float64) string {
	text := large(n)
	if n < 10 {
		text = strings.TrimSuffix(fmt.Sprintf("%.1f", n), ".0")
	}
	if text == "1" {
		return "1 day"
	}
	return text + " days"
}

// likelihood tells a likelihood ratio.
func likelihood(ratio float64) string {
	switch {
	case ratio > 1:
		return large(ratio) + " times as likely in an attack"
	case ratio > 0 && ratio < 1:
		return large(1/ratio) + " times as likely without one"
	}
	return "which says nothing"
}

// operator tells the facts of an unusual operator.
func (x *explanation) operator(s Stretch, o *schemas.OperatorWhy) {
	st := &s.last().Details.Context.Statistics
	text := fmt.Sprintf("%s in %s", plural(st.InsightCount, "call"), s.howLong())
	switch {
	case o.Denied > 0 && o.Denied >= st.InsightCount:
		text += ", all denied"
	case o.Denied > 0:
		text += ", " + count(o.Denied) + " denied"
	}
	x.line("calls", text)
	if o.Operation != "" {
		text := Safe(o.Operation, 2*mostCell)
		if o.Target != "" {
			text += " on " + Safe(o.Target, mostCell)
		}
		x.fact("most odd", text)
	}
	switch {
	case o.FirstTime && o.Hazard > 0:
		x.fact("first time", "the operator never did such a thing; in the account somebody begins to once in "+
			large(1/o.Hazard)+" days of work")
	case o.FirstTime:
		x.fact("first time", "the operator never did such a thing")
	default:
		x.line("habit", "the operator did it on "+plural(uint64(o.HabitualDays), "day")+" before")
	}
	for _, u := range o.Surprises {
		x.fact("surprise", fmt.Sprintf("%s %s, one in %s", name(u.Attribute), Safe(u.Value, mostCell),
			oneIn(-u.Nats/nats)))
	}
	for _, r := range o.Rules {
		x.fact("rule", fmt.Sprintf("%s (at least %s)", Safe(r.Text, mostFact/2), percent(r.Lower))) // the text has its days
	}
}

// nats is the natural logarithm of ten, which turns nats into powers of ten.
const nats = 2.302585092994045684

func percent(share float64) string { return fmt.Sprintf("%.3g %%", 100*share) }

// drivers tells what stands out: how many of the calls it made, and what it made before, where that is known.
func (x *explanation) drivers(e *schemas.Insight) {
	known := e.Details.Trailvane.Why.Rate != nil && remembered(e)
	for _, d := range e.Details.Trailvane.Why.Drivers {
		if d.Value == e.Details.Object { // the title has it
			continue
		}
		word := noun(e)
		text := fmt.Sprintf("%s: %s", Safe(d.Value, mostCell), plural(calls(e, d.Insight), word))
		switch {
		case d.Baseline > 0:
			text += ", normally " + model.PerTime(d.Baseline)
		case known:
			text += ", no such " + word + " in the seven days before"
		}
		x.fact(name(d.Dimension), text)
	}
}

// remembered reports whether it is known who made the calls of the seven days before. Where nothing is remembered of calls that
// there were, nobody may be said to have made none.
func remembered(e *schemas.Insight) bool {
	return e.Details.Context.Statistics.Baseline == 0 ||
		slices.ContainsFunc(e.Details.Context.Attributions, func(a schemas.Attribution) bool { return len(a.Baseline) > 0 })
}

// attributions tells what the calls were made of: each value with its calls, unless there is only one.
func (x *explanation) attributions(e *schemas.Insight) {
	for _, a := range e.Details.Context.Attributions {
		var values []string
		for _, v := range a.Insight {
			text := Safe(value(a.Attribute, v.Value), mostCell)
			if len(a.Insight) > 1 {
				text += " " + count(calls(e, v.Average))
			}
			values = append(values, text)
		}
		if len(values) > 0 {
			x.line(name(a.Attribute), strings.Join(values, ", "))
		}
	}
}

// calls turns calls a minute back into calls.
func calls(e *schemas.Insight, perMinute float64) uint64 {
	n := perMinute * float64(e.Details.Context.Statistics.InsightDuration)
	if !(n > 0) {
		return 0
	}
	return uint64(min(n, 1<<53) + 0.5)
}

// noun is what an insight counts.
func noun(e *schemas.Insight) string {
	switch {
	case e.Details.Trailvane.Why.Address != nil:
		return "request"
	case e.Details.Type == schemas.APIErrorRate:
		return "error"
	}
	return "call"
}

func (s Stretch) howLong() string {
	if s.End == nil {
		return lasted(schemas.Minute(min(s.Start.Details.Context.Statistics.InsightDuration, 1<<30))) + " so far"
	}
	return s.lasted()
}

func normally(rate float64) string {
	if rate > 0 {
		return model.PerTime(rate)
	}
	return "never"
}

// name says what a dimension is.
func name(dimension string) string {
	switch dimension {
	case "sourceIPAddress":
		return "address"
	case "accessKeyId":
		return "key"
	case "userAgent":
		return "agent"
	case "principalId", "userIdentityArn":
		return "who"
	case "errorCode":
		return "result"
	case "apiRelated":
		return "calls"
	}
	return Safe(dimension, 11)
}

func value(attribute, v string) string {
	switch {
	case attribute == "errorCode" && v == schemas.NoError:
		return "success"
	case attribute == "principalId" || attribute == "userIdentityArn":
		return person(v)
	}
	return v
}

// ended says why the activity counts as over.
func ended(s Stretch, reason schemas.EndReason) string {
	if s.End == nil {
		return "not yet"
	}
	at := when(s.End.EventTime.Time())
	switch reason {
	case schemas.Cooled:
		return at + ", the activity is normal again"
	case schemas.NewNormal:
		return at + ", it stayed and is the normal now"
	case schemas.MaxDuration:
		return at + ", after the longest time an insight may last"
	case schemas.Silence:
		return at + ", nothing more came"
	case schemas.DayEnd:
		return at + ", with the day"
	case schemas.Restored:
		return at + ", the trail was switched on again"
	case schemas.InputEnd:
		return at + ", with the logs: it may have gone on"
	case schemas.ModelChanged:
		return at + ", because the detector was changed"
	}
	return at + ", " + Safe(string(reason), 40)
}
