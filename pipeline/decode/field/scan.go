package field

import (
	"fmt"
	"math/bits"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/trailvane/trailvane/pipeline/decode"
)

// Each calls visit for every field of the object in json, in order, repeated keys included. Key and value alias json, except
// that a key with escapes is copied. An error says that json is not one whole object; visit may have been called by then.
func Each(json string, visit func(key string, v Value)) error {
	json = strings.TrimPrefix(json, "\ufeff")
	i := skipSpace(json, 0)
	if i == len(json) || json[i] != '{' {
		return fmt.Errorf("%w: not a JSON object", decode.ErrMalformed)
	}
	i = skipSpace(json, i+1)
	if i < len(json) && json[i] == '}' {
		return ended(json, i+1)
	}
	for {
		if i == len(json) || json[i] != '"' {
			return broken(i)
		}
		start := i
		if i = endOfString(json, i+1); i < 0 {
			return broken(start)
		}
		key := json[start+1 : i-1]
		if strings.IndexByte(key, '\\') >= 0 {
			var ok bool
			if key, ok = unescape(key); !ok {
				return broken(start)
			}
		}
		if i = skipSpace(json, i); i == len(json) || json[i] != ':' {
			return broken(i)
		}
		i = skipSpace(json, i+1)
		start = i
		kind, end := endOfValue(json, i)
		if end < 0 {
			return broken(start)
		}
		visit(key, Value{kind, json[start:end]})
		i = skipSpace(json, end)
		switch {
		case i < len(json) && json[i] == ',':
			i = skipSpace(json, i+1)
		case i < len(json) && json[i] == '}':
			return ended(json, i+1)
		default:
			return broken(i)
		}
	}
}

// EachElement calls visit for every element of the array in json, in order. An error says that json is not one whole array;
// visit may have been called by then.
func EachElement(json string, visit func(v Value)) error {
	i := skipSpace(json, 0)
	if i == len(json) || json[i] != '[' {
		return fmt.Errorf("%w: not a JSON array", decode.ErrMalformed)
	}
	i = skipSpace(json, i+1)
	if i < len(json) && json[i] == ']' {
		return ended(json, i+1)
	}
	for {
		kind, end := endOfValue(json, i)
		if end < 0 {
			return broken(i)
		}
		visit(Value{kind, json[i:end]})
		i = skipSpace(json, end)
		switch {
		case i < len(json) && json[i] == ',':
			i = skipSpace(json, i+1)
		case i < len(json) && json[i] == ']':
			return ended(json, i+1)
		default:
			return broken(i)
		}
	}
}

func ended(json string, i int) error {
	if end := skipSpace(json, i); end < len(json) {
		return fmt.Errorf("%w: something follows the JSON at byte %d", decode.ErrMalformed, end)
	}
	return nil
}

func broken(i int) error {
	return fmt.Errorf("%w: JSON is broken or cut off at byte %d", decode.ErrMalformed, i)
}

func skipSpace(json string, i int) int {
	for i < len(json) && (json[i] == ' ' || json[i] == '\n' || json[i] == '\r' || json[i] == '\t') {
		i++
	}
	return i
}

// endOfValue returns the kind of the value that begins at i, and where it ends; -1 if it does not end or is none.
func endOfValue(json string, i int) (kind, int) {
	if i == len(json) {
		return null, -1
	}
	switch c := json[i]; c {
	case '"':
		return text, endOfString(json, i+1)
	case '{':
		return object, endOfComposite(json, i)
	case '[':
		return array, endOfComposite(json, i)
	case 't':
		return yes, endOfLiteral(json, i, "true")
	case 'f':
		return no, endOfLiteral(json, i, "false")
	case 'n':
		return null, endOfLiteral(json, i, "null")
	default:
		if c != '-' && (c < '0' || c > '9') {
			return null, -1
		}
		for i++; i < len(json) && inNumber[json[i]]; i++ {
		}
		return number, i
	}
}

var inNumber = [256]bool{
	'0': true, '1': true, '2': true, '3': true, '4': true, '5': true, '6': true, '7': true, '8': true, '9': true,
	'+': true, '-': true, '.': true, 'e': true, 'E': true,
}

func endOfLiteral(json string, i int, literal string) int {
	if !strings.HasPrefix(json[i:], literal) {
		return -1
	}
	return i + len(literal)
}

// endOfString returns the index behind the quote that closes the string whose content begins at i, behind a quote, or -1.
func endOfString(json string, i int) int {
	for {
		if i = nextQuote(json, i); i < 0 {
			return -1
		}
		i++
		escapes := 0
		for j := i - 2; json[j] == '\\'; j-- { // ends at the opening quote at the latest
			escapes++
		}
		if escapes%2 == 0 {
			return i
		}
	}
}

// nextQuote returns the index of the first quote from i on, or -1.
func nextQuote(json string, i int) int {
	// Eight bytes at a time: most strings are short, and calling IndexByte costs as much as a few words.
	const short = 32
	for near := min(len(json), i+short); i+8 <= near; i += 8 {
		x := load64(json, i) ^ each*'"'
		if m := (x - each) &^ x & (each << 7); m != 0 {
			return i + bits.TrailingZeros64(m)>>3 // the lowest bit is exact, higher ones may come from a borrow
		}
	}
	n := strings.IndexByte(json[i:], '"')
	if n < 0 {
		return -1
	}
	return i + n
}

// endOfComposite returns the index behind the object or array that begins at i, or -1. It counts brackets of both kinds as
// one and looks at nothing else but strings, so that what nobody asks for costs little, and depth costs nothing.
func endOfComposite(json string, i int) int {
	depth := 0
	for i < len(json) {
		switch json[i] {
		case '"':
			if i = endOfString(json, i+1); i < 0 {
				return -1
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return -1
}

// unescape returns what a JSON string says whose content is s, and false if an escape is none that JSON has. Half a surrogate
// pair becomes U+FFFD, as everywhere in Go.
func unescape(s string) (string, bool) {
	var b strings.Builder
	b.Grow(len(s)) // an escape is never shorter than what it stands for
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 {
			b.WriteString(s)
			return b.String(), true
		}
		if i+1 == len(s) {
			return "", false
		}
		b.WriteString(s[:i])
		c := s[i+1]
		s = s[i+2:]
		switch c {
		case '"', '\\', '/':
			b.WriteByte(c)
		case 'b':
			b.WriteByte('\b')
		case 'f':
			b.WriteByte('\f')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'u':
			r, ok := hex4(s)
			if !ok {
				return "", false
			}
			s = s[4:]
			if utf16.IsSurrogate(r) {
				low, ok := rune(0), false
				if strings.HasPrefix(s, `\u`) {
					low, ok = hex4(s[2:])
				}
				if r = utf16.DecodeRune(r, low); ok && r != utf8.RuneError {
					s = s[6:]
				}
			}
			b.WriteRune(r)
		default:
			return "", false
		}
	}
}

func hex4(s string) (r rune, ok bool) {
	if len(s) < 4 {
		return 0, false
	}
	for i := range 4 {
		r <<= 4
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			r |= rune(c - '0')
		case c >= 'a' && c <= 'f':
			r |= rune(c-'a') + 10
		case c >= 'A' && c <= 'F':
			r |= rune(c-'A') + 10
		default:
			return 0, false
		}
	}
	return r, true
}
