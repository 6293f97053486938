package present

import (
	"slices"
	"strings"

	"github.com/trailvane/trailvane/pipeline/view"
	"github.com/trailvane/trailvane/schemas"
)

// A Feed writes the table of insights row by row, as they come. Its columns are as wide whatever the rows are. The zero value
// writes without colours.
type Feed struct {
	Colours bool // on the severity; the reader's terminal understands ANSI sequences
	begun   bool
}

// usual are the widths of the columns: of the usual accounts, regions and times, and what there may be of the others.
var usual = []int{8, 16, 5, 16, 15, mostCell, mostCell, mostCell}

// oneLine is from which width on what happened stands beside when and where, in columns that tell enough.
const oneLine = 180

// Row returns the row of an insight event, and before the first one the titles, in lines of at most width columns, but never of
// less than half a terminal. It is one line, as wide as it needs, if width is 0.
func (f *Feed) Row(i *schemas.Insight, width int) string {
	if width <= 0 {
		width = sum(usual)
	}
	width = max(width, leastWidth)
	rows := []row{titles(""), {cells: Stretches([]schemas.Insight{*i})[0].cells()}}
	var text string
	if width < oneLine {
		text = stacked(rows, fit(slices.Clone(usual[:besides]), width), width)
	} else {
		widths := fit(slices.Clone(usual), width)
		var b strings.Builder
		for _, r := range rows {
			writeCells(&b, r.cells, widths)
			b.WriteByte('\n')
		}
		text = b.String()
	}
	head, text, _ := strings.Cut(text, "\n")
	if f.Colours {
		text = coloured(i, text)
	}
	if !f.begun {
		f.begun = true
		text = head + "\n" + text
	}
	return text
}

// coloured gives the first word of a row, its severity, a colour.
func coloured(i *schemas.Insight, text string) string {
	colour, ok := map[string]string{
		view.Medium.String(): "\x1b[33m", view.High.String(): "\x1b[31m", view.Critical.String(): "\x1b[1;31m",
	}[i.Details.Trailvane.Severity]
	if !ok {
		return text
	}
	word, rest, _ := strings.Cut(text, " ")
	return colour + word + "\x1b[0m " + rest
}
