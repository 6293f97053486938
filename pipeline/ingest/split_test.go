package ingest

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// split returns what the splitter finds, a record as it is, another part as reason and text.
func split(t testing.TB, r io.Reader) []string {
	t.Helper()
	var got []string
	s := NewSplitter(r)
	for {
		item, err := s.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text := string(item.Body)
		if item.Reason != "" {
			text = string(item.Reason) + ": " + text
		}
		got = append(got, text)
	}
	if s.Unclosed() {
		got = append(got, "unclosed")
	}
	return got
}

var splitTests = []struct {
	name, in string
	want     []string
}{
	{"empty", "", nil},
	{"white space", " \r\n\t", nil},
	{"byte order mark", "\xef\xbb\xbf{\"a\":1}", []string{`{"a":1}`}},
	{"only a byte order mark", "\xef\xbb\xbf", nil},
	{"one object", `{"a":1}`, []string{`{"a":1}`}},
	{"pretty-printed object", "{\n  \"a\": {\n    \"b\": [\n      1\n    ]\n  }\n}\n",
		[]string{"{\n  \"a\": {\n    \"b\": [\n      1\n    ]\n  }\n}"}},
	{"records", `{"Records":[{"a":1},{"a":2}]}`, []string{`{"a":1}`, `{"a":2}`}},
	{"records, pretty-printed", "{\n \"Records\" : [\n  {\n   \"a\": 1\n  },\n  {\n   \"a\": 2\n  }\n ]\n}\n",
		[]string{"{\n   \"a\": 1\n  }", "{\n   \"a\": 2\n  }"}},
	{"keys before the records", `{"v":"1","m":{"Records":[{"x":1}]},"Records":[{"a":1}]}`, []string{`{"a":1}`}},
	{"keys behind the records", `{"Records":[{"a":1}],"n":[{"x":1}],"m":{"y":"]}"}}{"a":2}`, []string{`{"a":1}`, `{"a":2}`}},
	{"two arrays of records", `{"Records":[{"a":1}],"Records":[{"a":2}]}`, []string{`{"a":1}`, `{"a":2}`}},
	{"several containers", `{"Records":[{"a":1}]}` + "\n" + `{"Records":[{"a":2}]}`, []string{`{"a":1}`, `{"a":2}`}},
	{"no records", `{"Records":[]}`, nil},
	{"records that are no array", `{"Records":null}`, []string{`{"Records":null}`}},
	{"records within a string", `{"x":",\"Records\":[{","a":1}`, []string{`{"x":",\"Records\":[{","a":1}`}},
	{"records at the end of another key", `{"x\"Records":[{"a":1}]}`, []string{`{"x\"Records":[{"a":1}]}`}},
	{"lookup of events", `{"Events":[{"EventId":"1"}],"NextToken":"x"}`, []string{`{"EventId":"1"}`}},
	{"logs in an array", `[{"LogType":"x","Logs":[{"a":1},{"a":2}]},{"Logs":[{"a":3}]}]`,
		[]string{`{"a":1}`, `{"a":2}`, `{"a":3}`}},
	{"records that are strings",
		`{"Events":["{\"a\":1}", "{ \"a\": \"]}\\\"\"}","{\n\"a\":3}"],"NextToken":"{\"x\"}"}`,
		[]string{`"{\"a\":1}"`, `"{ \"a\": \"]}\\\"\"}"`, `"{\n\"a\":3}"`}},
	{"lines that are strings", "\"{\\\"a\\\":1}\"\n\"{\\\"a\\\":2}\"\n", []string{`"{\"a\":1}"`, `"{\"a\":2}"`}},
	{"strings and objects", `["{\"a\":1}",{"a":2}]`, []string{`"{\"a\":1}"`, `{"a":2}`}},
	{"strings that are no records", `["{","{}","a","[{\"a\":1}]",{"a":2}]`,
		[]string{`malformed: "{"`, `malformed: "{}"`, `malformed: "a"`, `malformed: "[{\"a\":1}]"`, `{"a":2}`}},
	{"a string without its end", "\"{\\\"a\\\":1}\n\"{\\\"a\\\":2}\"\n", []string{`malformed: "{\"a\":1}`, `"{\"a\":2}"`}},
	{"a string that the end cuts", `["{\"a\":1}","{\"a\":`, []string{`"{\"a\":1}"`, `truncated: "{\"a\":`, "unclosed"}},
	{"a string cut behind a backslash", `"{\"a\`, []string{`truncated: "{\"a\`}},
	{"NUL byte in a string that is a record", "[\"{\\\"a\\\":\x00}\",{\"a\":2}]", []string{"malformed: \"{\\\"a\\\":\x00}\"", `{"a":2}`}},
	{"pages of an API's answers", `[{"RequestId":"r","Events":[{"a":1}],"NextToken":"t"},{"RequestId":"s","Events":["{\"a\":2}"]}]`,
		[]string{`{"a":1}`, `"{\"a\":2}"`}},
	{"array", `[{"a":1},{"a":[{}]}]`, []string{`{"a":1}`, `{"a":[{}]}`}},
	{"empty array", `[]`, nil},
	{"array of arrays", `[[{"a":1}],[{"a":2}]]`, []string{`{"a":1}`, `{"a":2}`}},
	{"lines", "{\"a\":1}\n{\"a\":2}\r\n\n{\"a\":3}", []string{`{"a":1}`, `{"a":2}`, `{"a":3}`}},
	{"one behind the other", `{"a":1}{"a":2} {"a":3}`, []string{`{"a":1}`, `{"a":2}`, `{"a":3}`}},
	{"pretty-printed objects", "{\n \"a\": 1\n}\n{\n \"a\": 2\n}\n", []string{"{\n \"a\": 1\n}", "{\n \"a\": 2\n}"}},
	{"brackets and quotes in strings", `{"a":"}\"{\\"}{"b":"[\\\""}`, []string{`{"a":"}\"{\\"}`, `{"b":"[\\\""}`}},
	{"object at the start of a line", "{\"a\":\n{\"b\":[\n{},\n{}]}}", []string{"{\"a\":\n{\"b\":[\n{},\n{}]}}"}},

	{"line without its end", "{\"a\":1}\n{\"a\":{\"b\n{\"a\":3}", []string{`{"a":1}`, `malformed: {"a":{"b`, `{"a":3}`}},
	{"line cut behind a bracket", "{\"a\":1}\n{\"a\":{\"b\":2}\n{\"a\":3}",
		[]string{`{"a":1}`, `malformed: {"a":{"b":2}`, `{"a":3}`}},
	{"line cut behind a colon", "{\"a\":1}\n{\"a\":\n{\"a\":3}\n{\"a\":4}",
		[]string{`{"a":1}`, `malformed: {"a":`, `{"a":3}`, `{"a":4}`}},
	{"line cut behind a colon, then the end", "{\"a\":\n{\"a\":3}\n", []string{`malformed: {"a":`, `{"a":3}`}},
	{"brackets that do not match", "{\"a\":[1}\n{\"a\":2}", []string{`malformed: {"a":[1}`, `{"a":2}`}},
	{"text between lines", "{\"a\":1}\noops\n{\"a\":2}", []string{`{"a":1}`, `malformed: oops`, `{"a":2}`}},
	{"text before a record", "Jan 1 host: {\"a\":1}", []string{`malformed: Jan 1 host: `, `{"a":1}`}},
	{"text within an array", `[{"a":1},oops,{"a":2},null]`,
		[]string{`{"a":1}`, `malformed: oops`, `{"a":2}`, `malformed: null`}},
	{"scalars", "1\n\"x\"\nnull", []string{"malformed: 1", `malformed: "x"`, "malformed: null"}},
	{"objects in strings", `["{",":1}",{"a":1},"\"{\""]`,
		[]string{`malformed: "{"`, `malformed: ":1}"`, `{"a":1}`, `malformed: "\"{\""`}},
	{"NUL bytes", "{\"a\":1}\n\x00\x00\n{\"a\":2}", []string{`{"a":1}`, "malformed: \x00\x00", `{"a":2}`}},
	{"NUL byte in a string", "{\"a\":1}\n{\"a\":\"\x00\"}\n{\"a\":2}",
		[]string{`{"a":1}`, "malformed: {\"a\":\"\x00\"}", `{"a":2}`}},
	{"quote missing in an array on one line", `{"Records":[{"a":"1"},{"a":"2},{"a":"3"},{"a":"4"}]}`,
		[]string{`{"a":"1"}`, `malformed: {"a":"2},`, `{"a":"3"}`, `{"a":"4"}`}},
	{"the same key deeper in a broken record", `{"Records":[{"a":1},{"a":[{"b":{"a":2},"c]}},{"a":3}]}`,
		[]string{`{"a":1}`, `malformed: {"a":[{"b":{"a":2},"c]}},`, `{"a":3}`}},
	{"bracket missing in a pretty-printed array", "[\n  {\n    \"a\": {\n  },\n  {\n    \"a\": 2\n  }\n]\n",
		[]string{"malformed: {\n    \"a\": {\n  },", "{\n    \"a\": 2\n  }"}},

	{"cut in a record", `{"Records":[{"a":1},{"a":"2`, []string{`{"a":1}`, `truncated: {"a":"2`, "unclosed"}},
	{"cut behind a record", `{"Records":[{"a":1},`, []string{`{"a":1}`, "unclosed"}},
	{"cut behind the array", `{"Records":[{"a":1}]`, []string{`{"a":1}`, "unclosed"}},
	{"cut before the array", `{"Records":`, []string{`truncated: {"Records":`}},
	{"cut behind a backslash", `{"a":"\`, []string{`truncated: {"a":"\`}},
	{"stray brackets", `]}{"a":1}]`, []string{`{"a":1}`}},
	{"broken behind the records", `{"Records":[{"a":1}],"x":]}` + "\n" + `{"a":2}`,
		[]string{`{"a":1}`, `malformed: ]}`, `{"a":2}`}},
}

func TestSplit(t *testing.T) {
	for _, tt := range splitTests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, split(t, strings.NewReader(tt.in))); diff != "" {
				t.Errorf("split %q (-want +got):\n%s", tt.in, diff)
			}
			if diff := cmp.Diff(tt.want, split(t, iotest.OneByteReader(strings.NewReader(tt.in)))); diff != "" {
				t.Errorf("split %q byte by byte (-want +got):\n%s", tt.in, diff)
			}
		})
	}
}

func TestSplitTextLongerThanARecord(t *testing.T) {
	long := `"{\"` + strings.Repeat("b", MaxRecord)
	got := split(t, strings.NewReader(`["{\"a\":1}",`+long+`\":1}","{\"a\":3}"]`))
	want := []string{`"{\"a\":1}"`, "too_large: " + long[:maxHead], `"{\"a\":3}"`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%.1000s", diff)
	}
}

// Wherever the buffer's end falls, the same is found.
func TestSplitInSmallBuffer(t *testing.T) {
	const longest = 100
	whole, small := newSplitter(nil, longest, bufferSize), newSplitter(nil, longest, longest+window+1)
	for _, tt := range splitTests {
		for pad := range longest + window + 1 {
			in := strings.Repeat(" ", pad) + strings.TrimPrefix(tt.in, "\xef\xbb\xbf")
			whole.Reset(strings.NewReader(in))
			small.Reset(strings.NewReader(in))
			if diff := cmp.Diff(items(t, whole), items(t, small)); diff != "" {
				t.Fatalf("%s behind %d spaces (-large buffer +small):\n%s", tt.name, pad, diff)
			}
		}
	}
}
