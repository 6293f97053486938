package ingest

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// fataler is what *testing.T and *rapid.T have in common.
type fataler interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// items returns copies of all items.
func items(t fataler, s *Splitter) []Item {
	t.Helper()
	var all []Item
	for {
		item, err := s.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatalf("next: %v", err)
		}
		item.Body = bytes.Clone(item.Body)
		all = append(all, item)
	}
}

// checkItems checks what holds for any input.
func checkItems(t fataler, in []byte, all []Item) {
	t.Helper()
	end := int64(0)
	for i, item := range all {
		if item.Offset < end || item.Size <= 0 || item.End() > int64(len(in)) {
			t.Fatalf("item %d is at %d to %d, the one before ends at %d, the input at %d",
				i, item.Offset, item.End(), end, len(in))
		}
		end = item.End()
		whole := in[item.Offset:item.End()]
		if item.Reason != "" {
			whole = whole[:min(len(whole), maxHead)]
		}
		if !bytes.Equal(item.Body, whole) {
			t.Fatalf("item %d %q: body %.100q, want %.100q", i, item.Reason, item.Body, whole)
		}
		first, last := item.Body[0], item.Body[len(item.Body)-1]
		if item.Reason == "" && (first != '{' || last != '}') && (first != '"' || last != '"') {
			t.Fatalf("item %d is no record: %.100q", i, item.Body)
		}
	}
}

// checkValid checks what holds for valid JSON in addition: records are valid, and what is none is a scalar or too large.
func checkValid(t fataler, all []Item) {
	t.Helper()
	for i, item := range all {
		switch {
		case item.Reason == "" && !json.Valid(item.Body):
			t.Errorf("record %d of valid JSON is not: %.100q", i, item.Body)
		case item.Reason == Truncated:
			t.Errorf("item %d of valid JSON is %s: %.100q", i, item.Reason, item.Body)
		case item.Reason == Malformed && item.Body[0] == '{':
			t.Errorf("object %d of valid JSON is %s: %.100q", i, item.Reason, item.Body)
		}
	}
}

func FuzzSplitter(f *testing.F) {
	for _, tt := range splitTests {
		f.Add([]byte(tt.in), uint8(1))
	}
	f.Add([]byte(strings.Repeat(`{"a":`, 600)), uint8(7))
	f.Add([]byte(recordsOf(3)), uint8(100))
	const longest = 100
	whole, short := NewSplitter(nil), newSplitter(nil, longest, bufferSize)
	f.Fuzz(func(t *testing.T, in []byte, size uint8) {
		whole.Reset(bytes.NewReader(in))
		all := items(t, whole)
		checkItems(t, in, all)
		if json.Valid(in) {
			checkValid(t, all)
		}
		short.Reset(bytes.NewReader(in))
		all = items(t, short)
		checkItems(t, in, all)
		small := newSplitter(&pieceReader{bytes.NewReader(in), int(size)}, longest, longest+window+1+int(size)/4)
		if diff := cmp.Diff(all, items(t, small)); diff != "" {
			t.Fatalf("read in pieces of %d, in a small buffer (-whole +pieces):\n%s", size, diff)
		}
	})
}

// A pieceReader returns at most so many bytes at a time.
type pieceReader struct {
	r    io.Reader
	size int
}

func (p *pieceReader) Read(b []byte) (int, error) { return p.r.Read(b[:min(len(b), p.size+1)]) }

// document draws JSON as logs have it, cut and mutilated as they sometimes are.
func document(t *rapid.T) []byte {
	value := rapid.SampledFrom([]string{
		`1`, `"x"`, `null`, `"}\"{"`, `"\\"`, `[]`, `{}`, `{"b":[1,{"c":"]"}]}`, `[[{"d":1}],"[{"]`, `"` + strings.Repeat("z", 70) + `"`,
	})
	space := rapid.SampledFrom([]string{"", "", " ", "\n", "\n  "})
	record := rapid.Custom(func(t *rapid.T) string {
		s := "{" + space.Draw(t, "space") + `"a":` + value.Draw(t, "value")
		for range rapid.IntRange(0, 3).Draw(t, "keys") {
			s += "," + space.Draw(t, "space") + `"k":` + space.Draw(t, "space") + value.Draw(t, "value")
		}
		return s + space.Draw(t, "space") + "}"
	})
	records := rapid.SliceOfN(record, 0, 6).Draw(t, "records")
	var s string
	switch rapid.IntRange(0, 4).Draw(t, "container") {
	case 0:
		s = strings.Join(records, "\n")
	case 1:
		s = "[" + strings.Join(records, ","+space.Draw(t, "space")) + "]"
	case 2:
		s = `{"m":1,"Records":` + space.Draw(t, "space") + "[" + strings.Join(records, ",") + `],"n":{}}`
	case 3:
		s = strings.Join(records, "")
	case 4:
		s = `[{"Logs":[` + strings.Join(records, ",") + "]}]"
	}
	b := []byte(s)
	for range rapid.IntRange(0, 3).Draw(t, "damages") {
		if len(b) == 0 {
			break
		}
		at := rapid.IntRange(0, len(b)-1).Draw(t, "at")
		switch rapid.IntRange(0, 2).Draw(t, "damage") {
		case 0:
			b = b[:at]
		case 1:
			b[at] = rapid.SampledFrom([]byte("\x00\"\\{}[]\n,:x")).Draw(t, "byte")
		case 2:
			b = append(b[:at:at], b[at+1:]...)
		}
	}
	return b
}

// What is found depends on the bytes, not on how they are read.
func TestSplitAnyReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := document(t)
		all := items(t, NewSplitter(bytes.NewReader(in)))
		checkItems(t, in, all)
		if json.Valid(in) {
			checkValid(t, all)
		}
		longest := rapid.IntRange(1, 200).Draw(t, "longest")
		extra := rapid.IntRange(1, 30).Draw(t, "extra")
		all = items(t, newSplitter(bytes.NewReader(in), longest, bufferSize))
		checkItems(t, in, all)
		for name, r := range map[string]io.Reader{
			"bytes":  iotest.OneByteReader(bytes.NewReader(in)),
			"halves": iotest.HalfReader(bytes.NewReader(in)),
			"pieces": &pieceReader{bytes.NewReader(in), rapid.IntRange(1, 20).Draw(t, "size")},
			"errors": iotest.DataErrReader(bytes.NewReader(in)),
		} {
			if diff := cmp.Diff(all, items(t, newSplitter(r, longest, longest+window+extra))); diff != "" {
				t.Fatalf("%q read in %s (-whole +%s):\n%s", in, name, name, diff)
			}
		}
	})
}
