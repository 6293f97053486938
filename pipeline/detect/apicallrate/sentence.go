package apicallrate

import (
	"strconv"
	"strings"

	"github.com/trailvane/trailvane/schemas"
)

// sentence says in words what the figures of a finding say; it uses nothing else.
func sentence(f *schemas.Finding) string {
	var b strings.Builder
	st, w := &f.Statistics, &f.Why
	b.WriteString(f.Event)
	b.WriteString(" was called ")
	b.WriteString(plural(st.InsightCount, "time", "times"))
	b.WriteString(" in ")
	b.WriteString(plural(uint64(st.InsightDuration), "minute", "minutes"))
	if who := leader(f); who != "" {
		b.WriteString(" by ")
		b.WriteString(who)
	}
	b.WriteString("; normally ")
	b.WriteString(normal(st))
	b.WriteString("; an hour like this happens once in ")
	b.WriteString(round2(w.OneIn))
	b.WriteString(" active key-hours.")
	return b.String()
}

// leader names the principal behind most of the calls, and how many others there are among the reported ones.
func leader(f *schemas.Finding) string {
	for _, a := range f.Attributions {
		if a.Attribute != "principalId" || len(a.Insight) == 0 {
			continue
		}
		if n := len(a.Insight) - 1; n > 0 {
			return a.Insight[0].Value + " and " + plural(uint64(n), "other", "others")
		}
		return a.Insight[0].Value
	}
	return ""
}

// normal tells a rate in a unit in which it is at least one, so that nobody has to read 0.0004 calls a minute.
func normal(st *schemas.Statistics) string {
	switch b := st.Baseline; {
	case b == 0:
		return "it is not called at all"
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
