package present

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/trailvane/trailvane/services/internal/dead"
)

// DeadList shows dead letters, one a line, the given ones of so many in all.
func DeadList(letters []dead.Letter, total int) string {
	if total == 0 {
		return "No dead letters.\n"
	}
	g := grid{{"LETTER", "WHEN (UTC)", "STAGE", "REASON", "BYTES", "OBJECT", "AT", "ERROR"}}
	for i := range letters {
		l := &letters[i]
		bytes := "?"
		if l.Size >= 0 {
			bytes = fmt.Sprint(l.Size)
		}
		g = append(g, []string{
			fmt.Sprint(l.Seq), when(l.Time), Safe(l.Stage, mostCell), Safe(l.Reason, mostCell), bytes,
			tail(l.Object), fmt.Sprint(l.Offset), Safe(l.Error, 80),
		})
	}
	text := g.String()
	if total > len(letters) {
		text += fmt.Sprintf("%s of %s; --limit shows more\n", count(len(letters)), count(total))
	}
	return text
}

// tail shortens the name of an object to its end, which tells objects apart.
func tail(name string) string {
	const most = 60
	if r := []rune(name); len(r) > most {
		return "…" + Safe(string(r[len(r)-most+1:]), most)
	}
	return Safe(name, most)
}

// DeadLetter shows all of a letter. Of the record it shows so many bytes at most, escaped.
func DeadLetter(l *dead.Letter, most int) string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-9s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("letter", "%d", l.Seq)
	line("stored", "%s UTC", l.Time.UTC().Format(time.DateTime))
	from := Safe(l.Stage, mostCell)
	if lane, ok := l.Lane(); ok {
		from += fmt.Sprintf(", lane %d", lane)
	}
	line("stage", "%s", from)
	line("reason", "%s", Safe(l.Reason, mostCell))
	line("error", "%s", Safe(l.Error, 4*mostLine))
	line("object", "%s", Safe(l.Object, 4*mostLine))
	line("offset", "byte %s of the uncompressed object", count(l.Offset))
	switch {
	case l.Size < 0:
		line("size", "unknown")
	case l.Whole():
		line("size", "%s", plural(l.Size, "byte"))
	default:
		line("size", "%s, of which the letter holds %s", plural(l.Size, "byte"), count(len(l.Raw)))
	}
	raw := l.Raw[:min(len(l.Raw), most)]
	for len(raw) > 0 && len(raw) < len(l.Raw) && !utf8.Valid(raw[len(raw)-min(len(raw), utf8.UTFMax):]) && !utf8.RuneStart(l.Raw[len(raw)]) {
		raw = raw[:len(raw)-1] // not within a character
	}
	line("record", "%s", Safe(string(raw), 1<<30))
	if len(raw) < len(l.Raw) {
		line("", "… %s more; --raw writes all of it", plural(len(l.Raw)-len(raw), "byte"))
	}
	return b.String()
}
