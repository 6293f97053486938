package field

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/trailvane/trailvane/pipeline/decode"
)

func Example() {
	var name, age Value
	err := Each(`{"name": "zo\u00eb", "age": 41, "name": "Noor", "more": {"name": 7}}`, func(key string, v Value) {
		switch key {
		case "name":
			name = v
		case "age":
			age = v
		}
	})
	var r Reader
	fmt.Println(r.Text("name", name, 100), r.Text("age", age, 100), err, r.Err())
	r.Each("name", name, func(string, Value) {})
	fmt.Println(r.Err())
	// Output:
	// Noor 41 <nil> <nil>
	// malformed record: name is not an object
}

func TestEach(t *testing.T) {
	for _, c := range []struct{ json, want string }{
		{`{}`, ""},
		{" \t\r\n{ } \n", ""},
		{`{"a":1}`, "a=1"},
		{` { "a" : 1 , "b" : "x" } `, `a=1 b="x"`},
		{`{"a":true,"b":false,"c":null,"d":-1.5e+3,"e":"\"\\","f":{"g":["]}"]},"h":[{}]}`,
			`a=true b=false c=null d=-1.5e+3 e="\"\\" f={"g":["]}"]} h=[{}]`},
		{`{"a":1,"a":2}`, "a=1 a=2"},
		{`{"\u0061\n":1}`, "a\n=1"},
		{"\ufeff{\"a\":1}", "a=1"},
		{`{"a":"\\"}`, `a="\\"`},
		{`{"a":"\\\"}"}`, `a="\\\"}"`},
		{`{"a":{"b":"\\"}}`, `a={"b":"\\"}`},
	} {
		var got []string
		err := Each(c.json, func(key string, v Value) { got = append(got, key+"="+v.json) })
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %q, %v, want %q", c.json, got, err, c.want)
		}
	}
	for _, bad := range []string{
		``, ` `, `[]`, `1`, `"a"`, `null`, `x{}`, `{`, `{"`, `{"a`, `{"a"`, `{"a":`, `{"a":}`, `{"a":1`, `{"a":1,`,
		`{"a":1,}`, `{,}`,
		`{"a" 1}`, `{"a":1 "b":2}`, `{a:1}`, `{'a':1}`, `{"a":tru}`, `{"a":x}`, `{"a":"}`, `{"a":"\"}`, `{"a":[}`, `{"a":{}`,
		`{"a":1}}`, `{"a":1}x`, `{}{}`, `{"\q":1}`, `{"\u12":1}`, `{"a":nul}`, `{"a":1;"b":2}`, "{\"a\":1\x00}", `{"a":--}x`,
	} {
		if err := Each(bad, func(string, Value) {}); !errors.Is(err, decode.ErrMalformed) {
			t.Errorf("%s: error %v, want ErrMalformed", bad, err)
		}
	}
}

func TestUnquote(t *testing.T) {
	for _, c := range []struct{ json, want string }{
		{`""`, ""},
		{`"plain"`, "plain"},
		{`"\"\\\/\b\f\n\r\t"`, "\"\\/\b\f\n\r\t"},
		{`"\u00e9\u4E2D"`, "é中"},
		{`"\ud83d\ude00"`, "😀"},
		{`"\ud83d"`, "\uFFFD"},
		{`"\ud83dx"`, "\uFFFDx"},
		{`"\ude00\ud83d"`, "\uFFFD\uFFFD"},
		{`"\ud83d\u0041"`, "\uFFFDA"}, // the second half is a character of its own
		{`"\ud83d\n"`, "\uFFFD\n"},
		{`"\ud83d\ud83d\ude00"`, "\uFFFD😀"},
	} {
		if got, ok := (Value{text, c.json}).Unquote(); !ok || got != c.want {
			t.Errorf("%s: got %q, %v, want %q", c.json, got, ok, c.want)
		}
	}
	for _, bad := range []string{`"\q"`, `"\u12"`, `"\u123g"`, `"\ud83d\u12"`, `"\"`, `"a\x41"`} {
		if got, ok := (Value{text, bad}).Unquote(); ok {
			t.Errorf("%s: got %q, want none", bad, got)
		}
	}
}

func TestClean(t *testing.T) {
	const limit = 8
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"plain", "plain"},
		{"12345678", "12345678"},
		{"123456789", "12345678"},
		{"1234567é", "1234567"},  // é would end at byte 9
		{"123456é", "123456é"},   // at byte 8
		{"12345€", "12345€"},     // three bytes
		{"123456€", "123456"},    // three bytes, cut after two
		{"12345😀", "12345"},      // four bytes, cut after three
		{"a\x00b", "a\uFFFDb"},   // NUL
		{"a\x1bb", "a\uFFFDb"},   // what a terminal obeys
		{"a\u0085b", "a\uFFFDb"}, // also C1
		{"a\x7fb", "a\uFFFDb"},
		{"\xff\xfe", "\uFFFD\uFFFD"},         // one for each byte, as encoding/json has it
		{"\xff\xff\xff\xff", "\uFFFD\uFFFD"}, // grown beyond the limit
		{"1234567\xff", "1234567"},           // the replacement does not fit
		{"名前", "名前"},
	} {
		if got := Clean(c.in, limit); got != c.want {
			t.Errorf("Clean(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\xff\x00é😀", 5)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = limit & 0xff
		got := Clean(s, limit)
		if len(got) > limit || !utf8.ValidString(got) || strings.ContainsFunc(got, isControl) {
			t.Errorf("Clean(%q, %d) = %q", s, limit, got)
		}
		if again := Clean(got, limit); again != got {
			t.Errorf("Clean(%q) = %q, then %q", s, got, again)
		}
		if len(s) <= limit && utf8.ValidString(s) && !strings.ContainsFunc(s, isControl) && got != s {
			t.Errorf("Clean(%q) = %q, though nothing is wrong with it", s, got)
		}
	})
}

// What encoding/json reads as an object, Each reads to the same fields and texts; what Each refuses, encoding/json refuses.
func FuzzEach(f *testing.F) {
	for _, s := range []string{
		`{"a":1}`, `{"a":"\ud83d\ude00\ud800","b":[1,{"c":"\\\""}],"a":null}`, ` {"":{}} `, `{"a":"` + "\xff" + `"}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := map[string]Value{}
		err := Each(s, func(key string, v Value) { got[strings.ToValidUTF8(key, "\x00")] = v })
		var want map[string]any
		d := json.NewDecoder(strings.NewReader(s))
		d.UseNumber()
		if !json.Valid([]byte(s)) || d.Decode(&want) != nil || want == nil {
			return
		}
		if err != nil {
			t.Fatalf("%q: %v, encoding/json reads %v", s, err, want)
		}
		for key, w := range want {
			if !utf8.ValidString(key) || strings.Contains(key, "\uFFFD") {
				continue // names of two fields may have become one
			}
			v, ok := got[key]
			text, isText := v.Unquote()
			switch w := w.(type) {
			case nil:
				ok = ok && v.kind == null
			case bool:
				ok = v.kind == yes && w || v.kind == no && !w
			case json.Number:
				ok = v.kind == number && v.json == w.String()
			case string:
				ok = isText && string([]rune(text)) == w
			case map[string]any:
				ok = v.kind == object && json.Valid([]byte(v.json))
			case []any:
				ok = v.kind == array && json.Valid([]byte(v.json))
			}
			if !ok {
				t.Errorf("%q: field %q is %v, encoding/json reads %#v", s, key, v, w)
			}
		}
	})
}

func TestReaderTime(t *testing.T) {
	for _, c := range []struct {
		text string
		want int64 // 0: malformed
	}{
		{"2026-03-02T09:14:27Z", 1772442867},
		{"2026-03-02T09:14:27.123456789Z", 1772442867},
		{"2026-03-02T09:14:27+00:00", 1772442867},
		{"2026-03-02T01:14:27-08:00", 1772442867},
		{"2000-01-01T00:00:00Z", 946684800},
		{"2999-12-31T23:59:59Z", 32503679999},
		{"1999-12-31T23:59:59Z", 0},
		{"3000-01-01T00:00:00Z", 0},
		{"0000-01-01T00:00:00Z", 0},
		{"9999-12-31T23:59:59Z", 0},
		{"2999-12-31T23:59:59-23:00", 0}, // 3000 in UTC
		{"2016-12-31T23:59:60Z", 0},
		{"2026-02-30T00:00:00Z", 0},
		{"2026-03-02T09:14:27", 1772442867},
		{"2026-03-02 09:14:27", 1772442867},
		{"2026-03-02 09:14:27.000000000", 1772442867},
		{"2026-03-02 09:14:27Z", 1772442867},
		{"2026-03-02 17:14:27+08:00", 1772442867},
		{"2026-03-02", 0},
		{"2026-03-02 09:14", 0},
		{"20260302T091427Z", 0},
		{"1772442867", 0},
		{"", 0},
		{strings.Repeat("2026-03-02T09:14:27Z", 1000), 0},
	} {
		b, err := json.Marshal(c.text)
		if err != nil {
			t.Fatal(err)
		}
		var r Reader
		got := r.Time("t", Value{text, string(b)})
		if got != c.want || (r.Err() == nil) != (c.want != 0) {
			t.Errorf("%.50q: got %d, %v, want %d", c.text, got, r.Err(), c.want)
		}
	}
}

func TestCodeOf(t *testing.T) {
	for message, want := range map[string]string{
		"Failed authentication":     "FailedAuthentication",
		"Password wrong.":           "PasswordWrong",
		"failed  twice":             "FailedTwice",
		"MFA code is wrong":         "MFACodeIsWrong",
		"":                          "Else",
		" ":                         "Else",
		".":                         "Else",
		"user 7 is unknown":         "Else",
		"a.b":                       "Else",
		"é":                         "Else",
		"<script>":                  "Else",
		strings.Repeat("abc ", 100): "Else",
		strings.Repeat("a", 64):     "A" + strings.Repeat("a", 63),
		strings.Repeat("a", 65):     "Else",
	} {
		if got := CodeOf(message, "Else"); got != want {
			t.Errorf("CodeOf(%q) = %q, want %q", message, got, want)
		}
	}
}
