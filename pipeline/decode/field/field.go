// Package field reads the fields of one JSON record, in one pass and without copying, for the decoders of JSON formats.
//
// [Each] walks an object; a decoder keeps the values that it knows, the last of equal keys winning, and asks a [Reader]
// for their text, flags and times when the walk is over. The reader remembers the first thing that was wrong, so that a
// decoder asks for everything and checks once.
//
// What is strict and what is not: the object has to be closed and followed by nothing; a value that is kept has to have the
// right type. Values that nobody asks for are skipped, balanced but unchecked, at any depth and without recursion.
package field

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"github.com/trailvane/trailvane/pipeline/decode"
)

// A Value is one value of an object. The zero Value stands for a field that is null or not there.
type Value struct {
	kind gjson.Type
	text string // what a string says; the JSON text of anything else
}

// String makes the Value of a JSON string.
func String(s string) Value { return Value{gjson.String, s} }

func (v Value) isString() bool { return v.kind == gjson.String }

// Present says whether the field is there and not null.
func (v Value) Present() bool { return v.kind != gjson.Null }

// Object returns the JSON text of an object, and whether the value is one.
func (v Value) Object() (json string, ok bool) {
	return v.text, v.kind == gjson.JSON && strings.HasPrefix(v.text, "{")
}

// Each calls visit for every field of the object in json, in order, repeated keys included. Key and value alias json, except
// where an escape had to be undone. An error says that json is not one whole object; visit may have been called by then.
func Each(json string, visit func(key string, v Value)) error {
	json = strings.TrimPrefix(json, "\ufeff")
	object := gjson.Parse(json)
	if !object.IsObject() {
		return fmt.Errorf("%w: not a JSON object", decode.ErrMalformed)
	}
	end := object.Index + 1
	object.ForEach(func(key, v gjson.Result) bool {
		end = v.Index + len(v.Raw)
		text := v.Raw
		if v.Type == gjson.String {
			text = v.Str
		}
		visit(key.Str, Value{v.Type, text})
		return true
	})
	// gjson stops silently at what it cannot read. Where it stopped tells whether the object was whole.
	if strings.TrimSpace(json[end:]) != "}" {
		return fmt.Errorf("%w: JSON is broken or cut off near byte %d", decode.ErrMalformed, end)
	}
	return nil
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
	case gjson.Null:
		return ""
	case gjson.String, gjson.Number:
		return Clean(v.text, limit)
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
	switch {
	case !v.Present(), v.kind == gjson.String && v.text == "":
		return false, false
	case v.kind == gjson.True, v.kind == gjson.String && strings.EqualFold(v.text, "true"):
		return true, true
	case v.kind == gjson.False, v.kind == gjson.String && strings.EqualFold(v.text, "false"):
		return false, true
	}
	r.Fail(name, "is neither true nor false")
	return false, false
}

// Clean returns s in a form that is safe to keep, to print and to send: at most limit bytes, cut between runes, with every
// byte that is not UTF-8 and every control character replaced by U+FFFD. Plain text is returned as it is, uncopied.
func Clean(s string, limit int) string {
	s = cut(s, limit) // first: what is cut off is never looked at
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c > '~' {
			return cleanSlow(s, limit)
		}
	}
	return s
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
