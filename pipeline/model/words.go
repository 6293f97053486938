package model

import (
	"strconv"

	"github.com/trailvane/trailvane/schemas"
)

// Words for sentences about a finding. They say what its figures say, and use nothing else.

// Leader names the principal behind most of the calls, and how many others there are among the reported ones; empty if no
// record says.
func Leader(f *schemas.Finding) string {
	for _, a := range f.Attributions {
		if a.Attribute != schemas.PrincipalAttribute || len(a.Insight) == 0 {
			continue
		}
		if n := len(a.Insight) - 1; n > 0 {
			return a.Insight[0].Value + " and " + Plural(uint64(n), "other", "others")
		}
		return a.Insight[0].Value
	}
	return ""
}

// PerTime tells calls per minute in a unit in which they are at least one, so that nobody has to read 0.0004 calls a minute.
func PerTime(perMinute float64) string {
	switch b := perMinute; {
	case b >= 1:
		return Rough(b) + " a minute"
	case b*60 >= 1:
		return Rough(b*60) + " an hour"
	case b*1440 >= 1:
		return Rough(b*1440) + " a day"
	default:
		return Rough(b*10080) + " a week"
	}
}

// Plural writes a number and its noun.
func Plural(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(strconv.FormatUint(n, 10)) + " " + many
}

// HowRare tells the probability of an hour as a share of the hours in which something of the kind happens.
func HowRare(oneIn float64) string { return "one in " + Rough(oneIn) + " active hours is so unusual" }

// Rough writes two significant digits below a hundred, whole numbers below a million, and powers above.
func Rough(x float64) string {
	switch {
	case x < 100:
		y, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 2, 64), 64)
		if err != nil {
			return "many"
		}
		return strconv.FormatFloat(y, 'f', -1, 64)
	case x < 1e6:
		return grouped(strconv.FormatFloat(x, 'f', 0, 64))
	case x < 1e9:
		return strconv.FormatFloat(x/1e6, 'f', 0, 64) + " million"
	case x < 1e12:
		return strconv.FormatFloat(x/1e9, 'f', 0, 64) + " billion"
	}
	return "more than a trillion"
}

// grouped sets the thousands of a whole number apart: "43,009".
func grouped(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// PrincipalKind names a kind of principal, in keys and sentences.
func PrincipalKind(t schemas.PrincipalType) string {
	names := [...]string{"principal", "root", "user", "role", "federated", "service"}
	if int(t) < len(names) {
		return names[t]
	}
	return names[schemas.UnknownPrincipal]
}

// Different tells how many different calls there are.
func Different(n float64) string {
	if r := Rough(n); r != "1" {
		return r + " different ones"
	}
	return "1 different one"
}
