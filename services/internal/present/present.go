// Package present shows results to people: a table of insights, what explains them, what was read, why nothing was found,
// and a progress bar. Everything but the bar is a pure function of its arguments.
//
// Times are UTC. Every text that comes from a log goes through [Safe], because whoever can write an audit log's user
// agent could otherwise write to the terminal of whoever reads it.
package present

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/trailvane/trailvane/schemas"
)

// A Stretch is one stretch of unusual activity: its Start and its End, either of which may be missing.
type Stretch struct {
	Start *schemas.Insight
	End   *schemas.Insight
}

// Stretches pairs insight events by their shared id, in the order in which they began, then of their ids.
func Stretches(insights []schemas.Insight) []Stretch {
	var all []Stretch
	place := make(map[string]int)
	for i := range insights {
		e := &insights[i]
		n, ok := place[e.SharedEventID]
		if !ok {
			n = len(all)
			place[e.SharedEventID] = n
			all = append(all, Stretch{})
		}
		if e.Details.State == schemas.EndState {
			all[n].End = e
		} else {
			all[n].Start = e
		}
	}
	slices.SortStableFunc(all, func(a, b Stretch) int {
		return cmp.Or(cmp.Compare(a.began(), b.began()),
			strings.Compare(a.first().SharedEventID, b.first().SharedEventID))
	})
	return all
}

// An Incident is one or more stretches that belong together, in the order in which they began.
type Incident struct {
	ID        string
	Stretches []Stretch
}

// Incidents groups stretches by their incident, in the order of the first of each. A stretch without a view is an
// incident of its own.
func Incidents(stretches []Stretch) []Incident {
	var all []Incident
	place := make(map[string]int)
	for _, s := range stretches {
		id := cmp.Or(s.last().Details.Trailvane.IncidentID, s.last().SharedEventID)
		n, ok := place[id]
		if !ok {
			n = len(all)
			place[id] = n
			all = append(all, Incident{ID: id})
		}
		all[n].Stretches = append(all[n].Stretches, s)
	}
	return all
}

func (s Stretch) first() *schemas.Insight {
	if s.Start != nil {
		return s.Start
	}
	return s.End
}

// began is when the activity began; the End knows it also where the Start is not shown.
func (s Stretch) began() schemas.Minute {
	if s.Start != nil {
		return s.Start.EventTime
	}
	return s.End.EventTime - schemas.Minute(min(s.End.Details.Context.Statistics.InsightDuration, uint32(schemas.Day)))
}

// last is the event that knows most: the End, as soon as there is one.
func (s Stretch) last() *schemas.Insight {
	if s.End != nil {
		return s.End
	}
	return s.Start
}

// NDJSON writes insight events as lines of JSON in a vendor's shape; strict leaves out what the vendor does not have.
func NDJSON(w io.Writer, insights []schemas.Insight, shape schemas.Shape, strict bool) error {
	for i := range insights {
		if _, err := w.Write(append(insights[i].Render(shape, strict), '\n')); err != nil {
			return err
		}
	}
	return nil
}

// when formats a time to the minute.
func when(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

// lasted formats whole minutes: "12m", "3h05m", "2d04h".
func lasted(m schemas.Minute) string {
	switch {
	case m < schemas.Hour:
		return fmt.Sprintf("%dm", m)
	case m < schemas.Day:
		return fmt.Sprintf("%dh%02dm", m/schemas.Hour, m%schemas.Hour)
	}
	return fmt.Sprintf("%dd%02dh", m/schemas.Day, m%schemas.Day/schemas.Hour)
}

// count formats a whole number with its thousands apart: "75,450".
func count[N int | int64 | uint64](n N) string {
	digits := fmt.Sprint(n)
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// large formats a number of which only the size matters: "556", "12,300", "567 billion".
func large(x float64) string {
	switch {
	case !(x >= 0):
		return "?"
	case x < 10:
		return fmt.Sprintf("%.2g", x)
	case x < 1e6:
		return count(int64(x + 0.5))
	case x < 1e9:
		return fmt.Sprintf("%.3g million", x/1e6)
	case x < 1e12:
		return fmt.Sprintf("%.3g billion", x/1e9)
	}
	return "over a trillion"
}

// plural returns "1 file" or "2 files".
func plural[N int | int64 | uint64](n N, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return count(n) + " " + word + "s"
}

// short is the name of an insight type without what all of them end with.
func short(t schemas.InsightType) string { return strings.TrimSuffix(string(t), "Insight") }
