package ip

import (
	"strconv"
	"strings"

	"github.com/trailvane/trailvane/schemas"
)

// sentence says in words what the figures of a finding say; it uses nothing else.
func sentence(object, who string, w *schemas.Why) string {
	a := w.Address
	if who == "" {
		who = "its caller"
	}
	var b strings.Builder
	b.WriteString(object)
	b.WriteString(" made its first request, as ")
	b.WriteString(who)
	b.WriteString(": the account had never seen ")
	b.WriteString(unseen(a.AccountKnew))
	if a.PrincipalDays > 0 || a.BackOff == "principal" {
		b.WriteString(", and ")
		b.WriteString(who)
		b.WriteString(" had never used ")
		b.WriteString(unseen(a.PrincipalKnew))
	}
	switch a.BackOff {
	case "principal":
		b.WriteString("; on " + days(a.NoveltyDays) + " of " + days(a.PrincipalDays) + " active days it was as new a place as this")
	case "kind", "account":
		b.WriteString("; something as new as this was seen on " + days(a.NoveltyDays) + " principal-days")
	default:
		b.WriteString("; little is known yet of what is usual here")
	}
	for i, m := range a.Modifiers {
		if i == 0 {
			b.WriteString("; also: ")
		} else {
			b.WriteString(", ")
		}
		b.WriteString(m.Name)
	}
	if a.More > 0 {
		b.WriteString("; " + strconv.FormatUint(a.More, 10) + " further addresses of that day were as suspicious")
	}
	b.WriteByte('.')
	return b.String()
}

// unseen turns what was known into what was not.
func unseen(knew string) string {
	switch {
	case knew == "nothing":
		return "anything near it"
	case knew == "the address itself":
		return "it before"
	}
	return "more than " + knew
}

// days writes decayed days, small ones to a tenth.
func days(x float64) string {
	if x < 10 {
		return strings.TrimSuffix(strconv.FormatFloat(x, 'f', 1, 64), ".0")
	}
	return strconv.FormatFloat(x, 'f', 0, 64)
}
