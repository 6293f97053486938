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
	switch {
	case a.PrincipalDays == 0:
		b.WriteString(": the account knew nothing " + beyond(a.AccountKnew) + ", and " + who + " has no habits yet")
	case a.AccountKnew == a.PrincipalKnew:
		b.WriteString(": neither the account nor " + who + " knew anything " + beyond(a.AccountKnew))
	default:
		b.WriteString(": the account knew nothing " + beyond(a.AccountKnew) + ", and " + who + " nothing " + beyond(a.PrincipalKnew))
	}
	b.WriteString("; " + usual(a))
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

// beyond says where what was known ends.
func beyond(knew string) string {
	if knew == "nothing" {
		return "near it"
	}
	return "of it but " + knew
}

// usual says how often something as new was seen before, and of whom.
func usual(a *schemas.AddressWhy) string {
	n := days(a.NoveltyDays)
	var of string
	switch a.BackOff {
	case "principal":
		if n == "0" {
			return "nothing as new was seen on its " + days(a.PrincipalDays) + " active days before"
		}
		return "something as new was seen on " + n + " of its " + days(a.PrincipalDays) + " active days before"
	case "kind":
		of = "of callers of its kind"
	case "account":
		of = "in the account"
	default:
		return "little is known yet of what is usual here"
	}
	switch n {
	case "0":
		return "nothing as new was seen " + of + " before"
	case "1":
		return "something as new was seen " + of + " on 1 day before"
	}
	return "something as new was seen " + of + " on " + n + " days before"
}

// days writes decayed days, small ones to a tenth.
func days(x float64) string {
	if x < 10 {
		return strings.TrimSuffix(strconv.FormatFloat(x, 'f', 1, 64), ".0")
	}
	return strconv.FormatFloat(x, 'f', 0, 64)
}
