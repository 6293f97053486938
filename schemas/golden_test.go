package schemas

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Every wire message has a valid and an invalid sample in testdata/wire: the bytes in hexadecimal, behind
// lines of "#" that say what they mean. The meaning is read by vmihailenco/msgpack, not by the code under
// test.

func TestGoldenMessages(t *testing.T) {
	for name, m := range samples() {
		t.Run(name, func(t *testing.T) {
			body := m.Append(nil)
			path := filepath.Join("testdata", "wire", name+".valid.golden")
			compareGolden(t, path, wireGolden(explain(generic(t, body)), body))

			golden := readWire(t, path)
			got := fresh(m)
			if err := got.Decode(golden); err != nil {
				t.Fatalf("Decode(%s): %v", path, err)
			}
			if again := got.Append(nil); !bytes.Equal(again, golden) {
				t.Errorf("Append(Decode(%s)) = %x", path, again)
			}
		})
	}
}

func TestGoldenInvalidMessages(t *testing.T) {
	// What is done to the valid sample, and how the answer begins behind ErrMalformed.
	for name, invalid := range map[string]struct {
		what  string
		spoil func(b []byte) []byte
		want  string
	}{
		"chunk":       {"a record longer than the blob", replace("\x0c\x1c", "\x0c\x1d"), "62 bytes of records, want 63"},
		"event_batch": {"a word that is not in the dictionary", replace("\x01\x02\x00\x04", "\x01\x07\x00\x04"), "word 7 of 7"},
		"pane_batch":  {"a dictionary without the empty word", replace("\x94\xa0\xb1", "\x93\xb1"), "the dictionary does not begin"},
		"metrics":     {"a minute behind the hour", replace("\x39\x46", "\x3a\x46"), "minute 60 of an hour"},
		"finding":     {"a string in place of a rate", replace("\xcb\x40\x23", "\xa8\x40\x23"), "code 0xa8, want a float"},
		"tick":        {"a time of more than 32 bits", replace("\xce", "\xcf\x00\x00\x00\x01"), "number 4324430036 is not in"},
		"end":         {"bytes behind the message", func(b []byte) []byte { return append(b, 0) }, "1 bytes behind"},
		"settings":    {"a field is missing", func(b []byte) []byte { b[0]--; return b[:len(b)-9] }, "array of 4, want 5"},
		"dead_letter": {"truncated", func(b []byte) []byte { return b[:len(b)-1] }, "truncated"},
		"checkpoint":  {"a list longer than the message", replace("\x91\x93\xa5", "\xdd\xff\xff\xff\xff\x93\xa5"), "list of 4294967295"},
	} {
		t.Run(name, func(t *testing.T) {
			m := samples()[name]
			path := filepath.Join("testdata", "wire", name+".invalid.golden")
			compareGolden(t, path, wireGolden("Malformed: "+invalid.what+".\n", invalid.spoil(m.Append(nil))))
			err := fresh(m).Decode(readWire(t, path))
			if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), invalid.want) {
				t.Errorf("Decode(%s) = %v, want ErrMalformed and %q", path, err, invalid.want)
			}
		})
	}
}

func replace(old, new string) func(b []byte) []byte {
	return func(b []byte) []byte {
		if bytes.Count(b, []byte(old)) == 0 {
			panic(fmt.Sprintf("sample %x has no %x", b, old))
		}
		return bytes.Replace(b, []byte(old), []byte(new), 1)
	}
}

func compareGolden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; -update writes it anew, but stored messages stay as they are\ngot:\n%s", path, got)
	}
}

func wireGolden(meaning string, body []byte) []byte {
	var out bytes.Buffer
	for line := range strings.Lines(meaning) {
		out.WriteString("# " + line)
	}
	for len(body) > 0 {
		n := min(32, len(body))
		fmt.Fprintf(&out, "%x\n", body[:n])
		body = body[n:]
	}
	return out.Bytes()
}

func readWire(t testing.TB, path string) []byte {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var body []byte
	for line := range strings.Lines(string(file)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		b, err := hex.DecodeString(strings.TrimSpace(line))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		body = append(body, b...)
	}
	return body
}

// A uuid is what the msgpack library knows of our extensions.
type (
	lowerID [16]byte
	upperID [16]byte
)

func (id lowerID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
func (id upperID) String() string { return strings.ToUpper(lowerID(id).String()) }

func TestMain(m *testing.M) {
	for form, value := range map[int8]any{lowerUUID: lowerID{}, upperUUID: upperID{}} {
		msgpack.RegisterExtEncoder(form, value, func(_ *msgpack.Encoder, v reflect.Value) ([]byte, error) {
			return binary.Append(nil, binary.BigEndian, v.Interface())
		})
		msgpack.RegisterExtDecoder(form, value, func(d *msgpack.Decoder, v reflect.Value, _ int) error {
			return d.ReadFull(v.Slice(0, 16).Bytes())
		})
	}
	os.Exit(m.Run())
}

// generic reads a message by the msgpack library.
func generic(t testing.TB, body []byte) any {
	t.Helper()
	var v any
	if err := msgpack.Unmarshal(body, &v); err != nil {
		t.Fatalf("msgpack: %v\n%x", err, body)
	}
	return v
}

// explain writes one line for each field of the message; rows and the like get lines of their own.
func explain(v any) string {
	var out strings.Builder
	write(&out, v, 0)
	return out.String()
}

func write(out *strings.Builder, v any, depth int) {
	indent := strings.Repeat("  ", depth)
	list, ok := v.([]any)
	if !ok || flat(list) {
		out.WriteString(indent + word(v) + "\n")
		return
	}
	out.WriteString(indent + "[\n")
	for _, e := range list {
		write(out, e, depth+1)
	}
	out.WriteString(indent + "]\n")
}

func flat(list []any) bool {
	for _, e := range list {
		if _, ok := e.([]any); ok {
			return false
		}
	}
	return true
}

func word(v any) string {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("%q", v)
	case []byte:
		return fmt.Sprintf("bytes %q", v)
	case []any:
		words := make([]string, len(v))
		for i, e := range v {
			words[i] = word(e)
		}
		return "[" + strings.Join(words, " ") + "]"
	}
	return fmt.Sprint(v)
}
