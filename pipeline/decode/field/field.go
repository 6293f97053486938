// Package field reads the fields of one JSON record, in one pass and without copying, for the decoders of JSON formats.
//
// [Each] walks an object; a decoder keeps the values that it knows, the last of equal keys winning, and asks a [Reader]
// for their text, flags and times when the walk is over. The reader remembers the first thing that was wrong, so that a
// decoder asks for everything and checks once.
//
// What is strict and what is not: an object that is walked has to be JSON in its punctuation, closed, and followed by
// nothing; a value that is kept has to have the right type and whole escapes. Raw control characters and bytes that are not
// UTF-8 are replaced, not refused. Values that nobody asks for are skipped: their strings and brackets have to close, the
// rest goes unchecked, at any depth and without recursion.
//
// It is a scanner of its own because the records of both clouds are mostly what nobody asks for, some of it JSON in JSON
// text: gjson's ForEach undoes the escapes of every string that it passes, and accepts what is no JSON.
package field

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/trailvane/trailvane/pipeline/decode"
)

// A Value is one value of an object. The zero Value stands for a field that is null or not there.
type Value struct {
	kind kind
	json string
}

type kind uint8

const (
	null kind = iota
	no
	yes
	number
	text
	object
	array
)

// Present says whether the field is there and not null.
func (v Value) Present() bool { return v.kind != null }

// JSON returns the value as it stands in the record, empty if the field is not there.
func (v Value) JSON() string { return v.json }

// Object returns the JSON text of an object, and whether the value is one.
func (v Value) Object() (json string, ok bool) { return v.json, v.kind == object }

// Unquote returns what a string says, and whether the value is one, with whole escapes. It aliases the record unless there are
// escapes to undo.
func (v Value) Unquote() (s string, ok bool) {
	if v.kind != text {
		return "", false
	}
	s = v.json[1 : len(v.json)-1]
	if strings.IndexByte(s, '\\') < 0 {
		return s, true
	}
	return unescape(s)
}

// Array returns the JSON text of an array, and whether the value is one.
func (v Value) Array() (json string, ok bool) { return v.json, v.kind == array }

// Is says whether the value is that text, written without escapes.
func (v Value) Is(s string) bool {
	return v.kind == text && v.json[1:len(v.json)-1] == s
}

// True says whether the value is true, or the text "true" in any case. It is for what is good to know, and whose wrong type
// is no reason to refuse the record; otherwise see [Reader.Flag].
func (v Value) True() bool {
	s, isText := v.Unquote()
	return v.kind == yes || isText && strings.EqualFold(s, "true")
}

// Within returns the value under a path of keys, the zero Value if there is none. As True, it is for what is good to know.
func (v Value) Within(path ...string) Value {
	for _, key := range path {
		json, ok := v.Object()
		v = Value{}
		if !ok {
			break
		}
		_ = Each(json, func(k string, inner Value) { // what of it can be read counts
			if k == key {
				v = inner
			}
		})
	}
	return v
}

// A Reader turns values into what a decoder needs and remembers the first error.
type Reader struct{ err error }

// Err returns the first error, which wraps [decode.ErrMalformed] and names the field.
func (r *Reader) Err() error { return r.err }

// Fail records that the field is wrong; why completes the sentence "<name> …".
func (r *Reader) Fail(name, why string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s %s", decode.ErrMalformed, name, why)
	}
}

// Each is the function of that name for a field that has to be an object or absent.
func (r *Reader) Each(name string, v Value, visit func(key string, v Value)) {
	if !v.Present() {
		return
	}
	json, ok := v.Object()
	if !ok {
		r.Fail(name, "is not an object")
		return
	}
	if Each(json, visit) != nil {
		r.Fail(name, "is broken")
	}
}

// Text returns the field as text, empty if it is absent: a string's content, a number as it is written, because account
// numbers and versions come in both forms. It is cleaned and at most limit bytes long, see [Clean].
func (r *Reader) Text(name string, v Value, limit int) string {
	switch v.kind {
	case null:
		return ""
	case number:
		return Clean(v.json, limit)
	case text:
		s, ok := v.Unquote()
		if !ok {
			r.Fail(name, "has a broken escape")
		}
		return Clean(s, limit)
	}
	r.Fail(name, "is not text")
	return ""
}

// Demand fails if the text, which is that of the field, is empty.
func (r *Reader) Demand(name, text string) {
	if text == "" {
		r.Fail(name, "is missing")
	}
}

// Required is Text for a field without which an event means nothing.
func (r *Reader) Required(name string, v Value, limit int) string {
	s := r.Text(name, v, limit)
	if s == "" {
		r.Fail(name, "is missing")
	}
	return s
}

// Flag returns a bool, also when it is written as the text "true" or "false" in any case. Not known: absent or empty.
func (r *Reader) Flag(name string, v Value) (flag, known bool) {
	s, isText := v.Unquote()
	switch {
	case v.kind == null, isText && s == "":
		return false, false
	case v.kind == yes, isText && strings.EqualFold(s, "true"):
		return true, true
	case v.kind == no, isText && strings.EqualFold(s, "false"):
		return false, true
	}
	r.Fail(name, "is neither true nor false")
	return false, false
}

// Clean returns s in a form that is safe to keep, to print and to send: at most limit bytes, cut between runes, with every
// byte that is not UTF-8 and every control character replaced by U+FFFD. Plain text is returned as it is, uncopied.
func Clean(s string, limit int) string {
	s = cut(s, limit) // first: what is cut off is never looked at
	i := 0
	for ; i+8 <= len(s); i += 8 {
		// Eight bytes at a time: the top bit of a byte remains where it is below ' ' or above '~'.
		x := load64(s, i)
		if ((x-each*' ')&^x|(x+each)|x)&(each<<7) != 0 {
			return cleanSlow(s, limit)
		}
	}
	for ; i < len(s); i++ {
		if c := s[i]; c < ' ' || c > '~' {
			return cleanSlow(s, limit)
		}
	}
	return s
}

// each is 1 in every byte of a word.
const each = 0x0101010101010101

// load64 returns the eight bytes of s from i on, the first one lowest. The compiler makes one load of it.
func load64(s string, i int) uint64 {
	s = s[i : i+8]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func cleanSlow(s string, limit int) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, isControl) {
		return s
	}
	return cut(strings.Map(func(r rune) rune {
		if isControl(r) {
			return utf8.RuneError
		}
		return r // strings.Map writes U+FFFD for each byte that is not UTF-8
	}, s), limit)
}

// cut returns at most limit bytes of s, without the beginning of a rune at the end.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	s = s[:limit]
	for i := 1; i < utf8.UTFMax && i <= len(s); i++ {
		if tail := s[len(s)-i:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRuneInString(tail) {
				return s[:len(s)-i]
			}
			break
		}
	}
	return s
}

// isControl covers C0, DEL and C1: terminals obey all of them.
func isControl(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }
