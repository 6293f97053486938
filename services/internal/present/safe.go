package present

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Safe returns a text from outside as it may stand on a terminal, on one line, in at most width columns. What a terminal
// would obey or hide is shown escaped: control characters and with them all ANSI sequences, marks that turn the direction
// of writing, characters without width, line ends, bytes that are no UTF-8. A text that does not fit ends with "…".
func Safe(s string, width int) string {
	var b strings.Builder
	used, fits := 0, 0 // columns written; bytes of b that leave room for the "…"
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		piece, columns := s[:size], runeWidth(r)
		switch {
		case r == utf8.RuneError && size == 1:
			piece = fmt.Sprintf(`\x%02x`, s[0])
			columns = len(piece)
		case !unicode.IsPrint(r):
			piece = escape(r)
			columns = len(piece)
		}
		s = s[size:]
		if used+columns > width {
			if width <= 0 {
				return ""
			}
			return b.String()[:fits] + "…"
		}
		b.WriteString(piece)
		if used += columns; used < width {
			fits = b.Len()
		}
	}
	return b.String()
}

func escape(r rune) string {
	switch {
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r == '\t':
		return `\t`
	case r < 0x100:
		return fmt.Sprintf(`\x%02x`, r)
	case r < 0x10000:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return fmt.Sprintf(`\U%08x`, r)
}

// runeWidth returns the columns that a printable character takes. Marks that stand on the character before them count
// too, so that a pile of them is cut like a long text.
func runeWidth(r rune) int {
	if r >= 0x1100 && unicode.In(r, wide) {
		return 2
	}
	return 1
}

// wide are the blocks whose characters take two columns on a terminal: Korean, Chinese, Japanese, full-width forms and
// pictures.
var wide = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x1100, Hi: 0x115f, Stride: 1},
		{Lo: 0x2e80, Hi: 0xa4cf, Stride: 1},
		{Lo: 0xa960, Hi: 0xa97f, Stride: 1},
		{Lo: 0xac00, Hi: 0xd7a3, Stride: 1},
		{Lo: 0xf900, Hi: 0xfaff, Stride: 1},
		{Lo: 0xfe30, Hi: 0xfe6f, Stride: 1},
		{Lo: 0xff00, Hi: 0xff60, Stride: 1},
		{Lo: 0xffe0, Hi: 0xffe6, Stride: 1},
	},
	R32: []unicode.Range32{
		{Lo: 0x1f000, Hi: 0x1faff, Stride: 1},
		{Lo: 0x20000, Hi: 0x3fffd, Stride: 1},
	},
}

// columns returns the width of a text that is safe.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

// Fold breaks a safe text into lines of at most width columns, between words where it can.
func Fold(s string, width int, indent string) string {
	var b strings.Builder
	margin := columns(indent)
	used := 0
	for _, word := range strings.Fields(s) {
		for _, part := range split(word, max(width-margin, 2)) {
			n := columns(part)
			switch {
			case b.Len() == 0:
				b.WriteString(indent)
				used = margin
			case used+1+n > width:
				b.WriteString("\n" + indent)
				used = margin
			default:
				b.WriteByte(' ')
				used++
			}
			b.WriteString(part)
			used += n
		}
	}
	b.WriteByte('\n')
	return b.String()
}

// split cuts a word that is longer than a line.
func split(word string, width int) []string {
	var parts []string
	for columns(word) > width {
		n, used := 0, 0
		for i, r := range word {
			if used += runeWidth(r); used > width {
				n = i
				break
			}
		}
		parts, word = append(parts, word[:n]), word[n:]
	}
	return append(parts, word)
}
