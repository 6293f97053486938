package ak

import (
	"strconv"
	"strings"

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
	say(" made ", plural(st.InsightCount, "write call", "write calls"))
	say(" in ", plural(uint64(st.InsightDuration), "minute", "minutes"))
	if from := source(f); from != "" {
		say(" from ", from)
	}
	if w.Breadth > 1 {
		say(", ", strconv.FormatUint(uint64(w.Breadth), 10), " different ones within an hour")
	}
	say("; normally ", normal(st, subject))
	if f.Why.Route == "breadth" && st.Baseline > 0 {
		say(", ", round2(w.BreadthExpected), " different ones in an hour of work")
	}
	if w.DormantDays > 0 {
		say("; ", subject, " had not been used for ", plural(uint64(w.DormantDays), "day", "days"))
	}
	say("; an hour like this happens once in ", round2(f.Why.OneIn), " active key-hours.")
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
		return first + " and " + plural(others, "other", "others")
	}
	return first
}

// normal tells a rate in a unit in which it is at least one, so that nobody has to read 0.0004 calls a minute.
func normal(st *schemas.Statistics, subject string) string {
	switch b := st.Baseline; {
	case b == 0 && subject == "they":
		return "they make none"
	case b == 0:
		return subject + " makes none"
	case b >= 1:
		return round2(b) + " a minute"
	case b*60 >= 1:
		return round2(b*60) + " an hour"
	case b*1440 >= 1:
		return round2(b*1440) + " a day"
	default:
		return round2(b*10080) + " a week"
	}
}

func plural(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatUint(n, 10) + " " + many
}

// round2 writes two significant digits below a hundred, whole numbers below a million, and powers above.
func round2(x float64) string {
	switch {
	case x < 100:
		y, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 2, 64), 64)
		if err != nil {
			return "many"
		}
		return strconv.FormatFloat(y, 'f', -1, 64)
	case x < 1e6:
		return strconv.FormatFloat(x, 'f', 0, 64)
	case x < 1e9:
		return strconv.FormatFloat(x/1e6, 'f', 0, 64) + " million"
	case x < 1e12:
		return strconv.FormatFloat(x/1e9, 'f', 0, 64) + " billion"
	}
	return "more than a trillion"
}
