package present

import (
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
	{"SEVERITY", 3},
	{"WHEN (UTC)", 16}, // what is cut could be the hour
	{"FOR", 4},
	{"ACCOUNT", 4},
	{"REGION", 4},
	{"WHAT", 6},
	{"HOW UNUSUAL", 6},
	{"WHO", 6},
}

const (
	// mostCell bounds a cell where nothing else does: a name of which nobody needs more to recognize it.
	mostCell = 45

	// besides is how many columns stand on the first line where the others have a line of their own.
	besides = 5
)

// Margins, which show what belongs to one incident.
const (
	aloneMargin = "  "
	firstMargin = "┌ "
	innerMargin = "│ "
	lastMargin  = "└ "
)

// A row is one stretch of activity in the table, or the line above an incident.
type row struct {
	margin string
	cells  []string
	title  string // of an incident; it has no cells
}

// Table returns the insights as a table, one line for each stretch of activity: how severe, when, how long, account, region, what,
// how unusual, who. Stretches of one incident stand together, below a line about it, in the order of the first. The table is as
// wide as it needs if width is 0. If it is wider than width, what happened stands below when and where, on as many lines of width
// columns as it takes, but never of less than half a terminal. It is empty if there are no insights.
func Table(insights []schemas.Insight, width int) string {
	incidents := Incidents(Stretches(insights))
	if len(incidents) == 0 {
		return ""
	}
	rows := []row{titles(aloneMargin)}
	grouped := 0
	for _, n := range incidents {
		if len(n.Stretches) > 1 {
			grouped++
			rows = append(rows, row{margin: firstMargin, title: fmt.Sprintf("incident %d: %s", grouped, n.headline())})
		}
		for i, s := range n.Stretches {
			margin := innerMargin
			switch {
			case len(n.Stretches) == 1:
				margin = aloneMargin
			case i == len(n.Stretches)-1:
				margin = lastMargin
			}
			rows = append(rows, row{margin: margin, cells: s.cells()})
		}
	}
	if grouped == 0 {
		for i := range rows {
			rows[i].margin = ""
		}
	}
	widths := natural(rows)
	margin := columns(rows[0].margin)
	if width > 0 && margin+sum(widths) > width {
		width = max(width, leastWidth)
		return stacked(rows, fit(widths[:besides], width-margin), width)
	}
	most := mostTitle
	if width > 0 {
		most = max(width, leastWidth) - margin
	}
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(r.margin)
		if r.title != "" {
			b.WriteString(Safe(r.title, most))
		} else {
			writeCells(&b, r.cells, widths)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// titles returns the first row.
func titles(margin string) row {
	r := row{margin: margin}
	for _, c := range table {
		r.cells = append(r.cells, c.title)
	}
	return r
}

// leastWidth is half a terminal, columns, and a little: there is always room for the time.
const leastWidth = 44

// mostTitle bounds the line about an incident where the width does not.
const mostTitle = 200

// cells returns the cells of a stretch.
func (s Stretch) cells() []string {
	e := s.last()
	return []string{
		severity(e), when(s.began().Time()), s.lasted(), Safe(e.AccountID, mostCell), Safe(e.Region, mostCell),
		what(e), unusual(s), who(e),
	}
}

// stacked writes each row on two lines, or more where they are narrow; widths are those of the columns on the first.
func stacked(rows []row, widths []int, width int) string {
	margin := columns(rows[0].margin)
	var b strings.Builder
	for i, r := range rows {
		if r.title != "" {
			b.WriteString(r.margin + Safe(r.title, width-margin) + "\n")
			continue
		}
		last := r.margin
		if r.margin == lastMargin {
			r.margin = innerMargin
		}
		b.WriteString(r.margin)
		writeCells(&b, r.cells[:besides], widths)
		b.WriteByte('\n')
		if i == 0 {
			continue
		}
		text := Fold(Safe(r.cells[besides]+": "+r.cells[besides+1]+", by "+r.cells[besides+2], mostTitle), width-margin, "    ")
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		for n, line := range lines {
			if n == len(lines)-1 {
				r.margin = last
			}
			b.WriteString(r.margin + line + "\n")
		}
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
func natural(rows []row) []int {
	widths := make([]int, len(rows[0].cells))
	for _, r := range rows {
		for i, cell := range r.cells {
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
