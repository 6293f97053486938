package present

import (
	"fmt"
	"strings"

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
	x.line("rate", fmt.Sprintf("%s a minute for %s; normally %s, learned from %s", large(st.Insight), s.howLong(),
		normally(st.Baseline), lasted(schemas.Minute(min(st.BaselineDuration, 1<<30)))))
	r := s.last().Details.Trailvane.Why.Rate
	if r == nil {
		return
	}
	if r.ErrorRatio > 0 {
		x.line("failed", fmt.Sprintf("%s of the calls, normally %s", percent(r.ErrorRatio), percent(r.ErrorRatioBaseline)))
	}
	if r.Breadth > 0 {
		x.line("breadth", fmt.Sprintf("%s, normally %s", plural(uint64(r.Breadth), "different call"), large(r.BreadthExpected)))
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
	if a.PrincipalDays > 0 {
		x.fact("habit", fmt.Sprintf("%s of the %s days on which the caller was active had something as new; judged by %s",
			large(a.NoveltyDays), large(a.PrincipalDays), habit(a.BackOff)))
	} else {
		x.fact("habit", "the caller was never seen before; judged by "+habit(a.BackOff))
	}
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

// habit tells whose habits decided.
func habit(backOff string) string {
	switch backOff {
	case "principal":
		return "its own habits"
	case "kind":
		return "the habits of its kind in the account"
	case "account":
		return "the habits of the account"
	case "shipped":
		return "what is usual everywhere"
	}
	return Safe(backOff, mostCell)
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
		x.fact("first time", "the operator never did such a thing; in the account somebody does once in "+large(1/o.Hazard)+" days of activity")
	case o.FirstTime:
		x.fact("first time", "the operator never did such a thing")
	default:
		x.line("habit", "the operator did it on "+plural(uint64(o.HabitualDays), "day")+" before")
	}
	for _, u := range o.Surprises {
		x.fact("surprise", fmt.Sprintf("%s %s, one in %s", Safe(u.Attribute, mostCell), Safe(u.Value, mostCell),
			oneIn(-u.Nats/nats)))
	}
	for _, r := range o.Rules {
		x.fact("rule", fmt.Sprintf("%s, on %s of %s days (at least %s)", Safe(r.Text, mostFact/2), count(uint64(r.Hits)),
			count(uint64(r.Days)), percent(r.Lower)))
	}
}

// nats is the natural logarithm of ten, which turns nats into powers of ten.
const nats = 2.302585092994045684

func percent(share float64) string { return fmt.Sprintf("%.3g %%", 100*share) }

// drivers tells what stands out.
func (x *explanation) drivers(e *schemas.Insight) {
	for _, d := range e.Details.Trailvane.Why.Drivers {
		text := fmt.Sprintf("%s: %s a minute, ", Safe(d.Value, mostCell), large(d.Insight))
		if d.Baseline > 0 {
			text += large(d.Baseline) + " in the seven days before"
		} else {
			text += "never in the seven days before"
		}
		x.line(name(d.Dimension), text)
	}
}

// attributions tells what the calls were made of.
func (x *explanation) attributions(e *schemas.Insight) {
	for _, a := range e.Details.Context.Attributions {
		var values []string
		for _, v := range a.Insight {
			values = append(values, Safe(value(a.Attribute, v.Value), mostCell)+" "+large(v.Average))
		}
		if len(values) > 0 {
			x.line(name(a.Attribute), strings.Join(values, ", "))
		}
	}
}

func (s Stretch) howLong() string {
	if s.End == nil {
		return lasted(schemas.Minute(min(s.Start.Details.Context.Statistics.InsightDuration, 1<<30))) + " so far"
	}
	return s.lasted()
}

func normally(rate float64) string {
	if rate > 0 {
		return large(rate) + " a minute"
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
