package present

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/trailvane/trailvane/schemas"
)

// A column of the table: its title, and how narrow it may become when the table does not fit.
type column struct {
	title string
	least int
}

var table = []column{
	{"WHEN (UTC)", 16},
	{"FOR", 4},
	{"ACCOUNT", 6},
	{"REGION", 6},
	{"WHAT", 6},
	{"HOW UNUSUAL", 6},
	{"WHO", 6},
}

const (
	// mostCell bounds a cell where nothing else does: a name of which nobody needs more to recognize it.
	mostCell = 45

	// besides is how many columns stand on the first line where the others have a line of their own.
	besides = 4
)

// Table returns the insights as a table, one line for each stretch of activity: when, how long, account, region, what, how
// unusual, who. It is as wide as it needs if width is 0. If it is wider than width, each stretch has two lines, and they are
// cut to width columns, but never below half a terminal. It is empty if there are none.
func Table(insights []schemas.Insight, width int) string {
	stretches := Stretches(insights)
	if len(stretches) == 0 {
		return ""
	}
	rows := make([][]string, 1, 1+len(stretches))
	for _, c := range table {
		rows[0] = append(rows[0], c.title)
	}
	for _, s := range stretches {
		e := s.last()
		rows = append(rows, []string{
			when(s.first().EventTime.Time()), s.lasted(), Safe(e.AccountID, mostCell), Safe(e.Region, mostCell),
			short(e.Details.Type) + " " + Safe(e.Details.Object, mostCell), unusual(e), who(e),
		})
	}
	widths := natural(rows)
	if width > 0 && sum(widths) > width {
		return stacked(rows, max(width, 40))
	}
	var b strings.Builder
	for _, row := range rows {
		writeCells(&b, row, widths)
		b.WriteByte('\n')
	}
	return b.String()
}

// stacked writes each row on two lines.
func stacked(rows [][]string, width int) string {
	head := make([][]string, len(rows))
	for i := range rows {
		head[i] = rows[i][:besides]
	}
	widths := fit(natural(head), width)
	var b strings.Builder
	for i, row := range rows {
		writeCells(&b, head[i], widths)
		b.WriteByte('\n')
		if i == 0 {
			continue
		}
		b.WriteString("    " + Safe(row[besides]+": "+row[besides+1]+", by "+row[besides+2], width-4) + "\n")
	}
	return b.String()
}

func writeCells(b *strings.Builder, row []string, widths []int) {
	for i, cell := range row {
		cell = Safe(cell, widths[i])
		b.WriteString(cell)
		if i < len(row)-1 {
			b.WriteString(strings.Repeat(" ", widths[i]-columns(cell)+2))
		}
	}
}

// natural returns the widths that the columns need.
func natural(rows [][]string) []int {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], columns(cell))
		}
	}
	return widths
}

// sum returns the width of a line.
func sum(widths []int) int {
	total := 2 * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	return total
}

// fit makes columns narrower until they fit: each time the widest that may still shrink.
func fit(widths []int, width int) []int {
	for total := sum(widths); total > width; total-- {
		widest := -1
		for i, w := range widths {
			if w > table[i].least && (widest < 0 || w > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	return widths
}

// lasted says how long the activity went on.
func (s Stretch) lasted() string {
	if s.End == nil {
		return "open"
	}
	// The End knows it also where the Start is not shown.
	return lasted(schemas.Minute(min(s.End.Details.Context.Statistics.InsightDuration, 1<<30)))
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

// unusual compares the activity with the normal.
func unusual(e *schemas.Insight) string {
	st := &e.Details.Context.Statistics
	text := plural(st.InsightCount, "call")
	switch {
	case st.Baseline > 0:
		text += ", " + large(st.Insight/st.Baseline) + "x normal"
	case st.BaselineDuration > 0:
		text += ", normally none"
	}
	return text
}

// who names whoever made most of the calls, and from where.
func who(e *schemas.Insight) string {
	text := "?"
	for _, a := range e.Details.Context.Attributions {
		if (a.Attribute != "principalId" && a.Attribute != "userIdentityArn") || len(a.Insight) == 0 {
			continue
		}
		text = Safe(person(a.Insight[0].Value), mostCell)
		if n := len(a.Insight) - 1; n > 0 {
			text += fmt.Sprintf(" +%d", n)
		}
		break
	}
	if from := driver(e, "sourceIPAddress"); from != "" {
		text += " from " + Safe(from, mostCell)
	}
	return text
}

// person shortens an ARN to what follows the account: "user/ci-deploy".
func person(principal string) string {
	if strings.HasPrefix(principal, "arn:") {
		if parts := strings.SplitN(principal, ":", 6); len(parts) == 6 {
			return cmp.Or(parts[5], principal)
		}
	}
	return cmp.Or(principal, "?")
}

// driver returns the first value that stands out in a dimension.
func driver(e *schemas.Insight, dimension string) string {
	for _, d := range e.Details.Trailvane.Why.Drivers {
		if d.Dimension == dimension {
			return d.Value
		}
	}
	return ""
}

// Explain tells one stretch of activity in words, in lines of at most width columns, or 100 if width is 0.
func Explain(s Stretch, width int) string {
	if width <= 0 {
		width = 100
	}
	width = max(width, 40)
	e := s.last()
	why := &e.Details.Trailvane.Why
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s in account %s, %s\n", when(s.first().EventTime.Time()),
		short(e.Details.Type), Safe(e.AccountID, mostCell), Safe(e.Region, mostCell))
	b.WriteString(Fold(Safe(why.Text, 1000), width, "  "))
	st := &e.Details.Context.Statistics
	line := func(name, text string) {
		fmt.Fprintf(&b, "  %-11s %s\n", name, Safe(text, width-14))
	}
	line("rate", fmt.Sprintf("%s a minute for %s; normally %s, learned from %s", large(st.Insight), s.howLong(),
		normally(st.Baseline), lasted(schemas.Minute(min(st.BaselineDuration, 1<<30)))))
	for _, d := range why.Drivers {
		text := fmt.Sprintf("%s: %s a minute, ", Safe(d.Value, mostCell), large(d.Insight))
		if d.Baseline > 0 {
			text += large(d.Baseline) + " in the seven days before"
		} else {
			text += "never in the seven days before"
		}
		line(name(d.Dimension), text)
	}
	for _, a := range e.Details.Context.Attributions {
		var values []string
		for _, v := range a.Insight {
			values = append(values, Safe(value(a.Attribute, v.Value), mostCell)+" "+large(v.Average))
		}
		if len(values) > 0 {
			line(name(a.Attribute), strings.Join(values, ", "))
		}
	}
	if len(why.SampleEventIDs) > 0 {
		line("look at", "event "+why.SampleEventIDs[0])
	}
	line("ended", ended(s, why.EndReason))
	return b.String()
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
