package decodetest

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/decode"
)

// hole stands where a hostile value goes.
const hole = "@@hole@@"

// hostile values are JSON text, or nearly.
var hostile = []struct{ name, json string }{
	{"null", `null`},
	{"true", `true`},
	{"a number", `7`},
	{"a number beyond all", `-1e999999`},
	{"digits without end", strings.Repeat("9", 10_000)},
	{"empty text", `""`},
	{"text", `"text"`},
	{"an array", `[1, "two", {"three": []}]`},
	{"an object", `{"type": {"type": 7}, "arn": [], "x": null}`},
	{"NUL", `"a\u0000b"`},
	{"a raw NUL", "\"a\x00b\""},
	{"a terminal's escape", `"\u001b]0;title\u0007"`},
	{"invalid UTF-8", "\"a\xff\xc3\x28\xf0\x9f\x92b\""},
	{"half a surrogate pair", `"\ud83d \udc00"`},
	{"a broken escape", `"\q \u12"`},
	{"10 KB of text", `"` + strings.Repeat("é", 5_000) + `"`},
	{"10 KB of invalid UTF-8", `"` + strings.Repeat("\xff", 10_000) + `"`},
	{"10 KB of escapes", `"` + strings.Repeat(`\"`, 5_000) + `"`},
	{"nested 10,000 deep", strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)},
	{"nested objects 10,000 deep", strings.Repeat(`{"type":`, 10_000) + "1" + strings.Repeat("}", 10_000)},
	{"year 0", `"0000-01-01T00:00:00Z"`},
	{"year 9999", `"9999-12-31T23:59:59Z"`},
	{"year 2099", `"2099-01-01T00:00:00Z"`},
	{"a leap second", `"2016-12-31T23:59:60Z"`},
}

// testHostile puts every hostile value into every field of a JSON record, two levels deep. The record decodes or the error
// names the field.
func testHostile(t *testing.T, d decode.Decoder) {
	var typical map[string]any
	if json.Unmarshal([]byte(readTypical(t)), &typical) != nil {
		return // not a JSON format: the samples are what there is
	}
	each := func(object map[string]any, path string) {
		for _, key := range slices.Sorted(maps.Keys(object)) {
			good := object[key]
			object[key] = hole
			b, err := json.Marshal(typical)
			if err != nil {
				t.Fatal(err)
			}
			object[key] = good
			for _, v := range hostile {
				raw := strings.Replace(string(b), `"`+hole+`"`, v.json, 1)
				if _, err := Decode(t, d, raw); err != nil && !strings.Contains(err.Error(), key) {
					t.Errorf("%s in %s%s: error %q does not name the field", v.name, path, key, err)
				}
			}
		}
	}
	each(typical, "")
	for _, key := range slices.Sorted(maps.Keys(typical)) {
		if object, ok := typical[key].(map[string]any); ok {
			each(object, key+".")
		}
	}
}

// testNotRecords feeds what is no record at all.
func testNotRecords(t *testing.T, d decode.Decoder) {
	const largest = 768 << 10 // the bound of a record
	for name, raw := range map[string]string{
		"nothing":                 "",
		"space":                   " \t\r\n",
		"NULs":                    "\x00\x00\x00",
		"a byte order mark":       "\ufeff",
		"null":                    "null",
		"text":                    `"text"`,
		"an array":                `[{}]`,
		"an empty object":         "{}",
		"an object of nothing":    `{"":""}`,
		"brackets":                strings.Repeat("[", largest),
		"braces":                  strings.Repeat("{", largest),
		"objects":                 strings.Repeat(`{"a":`, largest/5),
		"wrapped for ever":        strings.Repeat(`{"event":`, largest/9) + "1" + strings.Repeat("}", largest/9),
		"quotes":                  strings.Repeat(`"`, largest),
		"backslashes in a string": `{"a":"` + strings.Repeat(`\`, largest),
		"escaped quotes":          `{"a":"` + strings.Repeat(`\"`, largest/2),
		"keys":                    "{" + strings.Repeat(`"a":1,`, largest/6),
		"commas":                  "{" + strings.Repeat(",", largest),
		"two records":             readTypical(t) + readTypical(t),
		"a record and a bracket":  readTypical(t) + "]",
		"gzip":                    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff",
		"random bytes":            "\xde\xad\xbe\xef{\"\xff",
	} {
		if events, err := Decode(t, d, raw); err == nil {
			t.Errorf("%s decodes to %d events", name, len(events))
		}
	}
}
