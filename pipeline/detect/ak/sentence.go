package ak

import (
	"strings"

	"github.com/trailvane/trailvane/pipeline/model"
	"github.com/trailvane/trailvane/schemas"
)

// sentence says in words what the figures of a finding say; it uses nothing else.
func sentence(f *schemas.Finding) string {
	var b strings.Builder
	say := func(words ...string) {
		for _, w := range words {
			b.WriteString(w)
		}
	}
	st, w := &f.Statistics, f.Why.Rate
	subject := "the key"
	if who, ok := role(f.Key); ok {
		say("Temporary credentials of ", who)
		subject = "they"
	} else {
		say("Access key ", f.Key)
	}
	say(" made ", model.Plural(st.InsightCount, "write call", "write calls"))
	say(" in ", model.Plural(uint64(st.InsightDuration), "minute", "minutes"))
	if from := source(f); from != "" {
		say(" from ", from)
	}
	if w.Breadth > 1 {
		say(", ", model.Different(float64(w.Breadth)), " in that clock hour")
	}
	say("; normally ", normal(st, subject))
	if f.Why.Route == "breadth" && st.Baseline > 0 {
		say(", ", model.Different(w.BreadthExpected), " in an hour of work")
	}
	if w.DormantDays > 0 {
		say("; ", subject, " had not been used for ", model.Plural(uint64(w.DormantDays), "day", "days"))
	}
	say("; ", model.HowRare(f.Why.OneIn), ".")
	return b.String()
}

// source names the address with most of the calls, and how many others there are among the reported ones.
func source(f *schemas.Finding) string {
	first, others := "", uint64(0)
	for _, d := range f.Why.Drivers {
		switch {
		case d.Dimension != "sourceIPAddress":
		case first == "":
			first = d.Value
		default:
			others++
		}
	}
	if others > 0 {
		return first + " and " + model.Plural(others, "other", "others")
	}
	return first
}

// normal tells what is usual; a key without a past is told to have none.
func normal(st *schemas.Statistics, subject string) string {
	switch {
	case st.Baseline > 0:
		return model.PerTime(st.Baseline)
	case subject == "they":
		return "they make none"
	}
	return subject + " makes none"
}
