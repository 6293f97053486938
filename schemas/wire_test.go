package schemas

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
)

// Numbers take the shortest form, as the msgpack library writes it, and come back.
func TestNumbers(t *testing.T) {
	for _, v := range []int64{
		0, 1, 127, 128, 255, 256, 65535, 65536, math.MaxUint32, math.MaxUint32 + 1, math.MaxInt64,
		-1, -31, -32, -33, -127, -128, -129, -32768, -32769, math.MinInt32, math.MinInt32 - 1, math.MinInt64,
	} {
		b := appendInt(nil, v)
		if want := pack(t, v, true); !bytes.Equal(b, want) {
			t.Errorf("appendInt(%d) = %x, want %x", v, b, want)
		}
		for _, form := range [][]byte{b, pack(t, v, false)} {
			r := reader{b: form}
			if got := r.int(); got != v || r.err != nil || r.i != len(form) {
				t.Errorf("int of %x = %d, %v, want %d", form, got, r.err, v)
			}
			r = reader{b: form}
			if got := r.uint(); v >= 0 && (got != uint64(v) || r.err != nil) || v < 0 && !errors.Is(r.err, ErrMalformed) {
				t.Errorf("uint of %x = %d, %v", form, got, r.err)
			}
			r = reader{b: form}
			r.rest(1)
			if r.err != nil || r.i != len(form) {
				t.Errorf("rest of %x stops at %d, %v", form, r.i, r.err)
			}
		}
	}
	b := appendUint(nil, math.MaxUint64)
	r := reader{b: b}
	if got := r.uint(); got != math.MaxUint64 || r.err != nil {
		t.Errorf("uint of %x = %d, %v", b, got, r.err)
	}
	r = reader{b: b}
	if got := r.int(); !errors.Is(r.err, ErrMalformed) {
		t.Errorf("int of %x = %d, %v", b, got, r.err)
	}
}

// rest skips whole values of every form, also those that no message of ours uses.
func TestRestSkipsEveryForm(t *testing.T) {
	for form, size := range map[string]int{
		"\xc0": 0, "\xc2": 0, "\xc3": 0, "\x7f": 0, "\xe0": 0, "\xca": 4, "\xcb": 8,
		"\xc4\x03": 3, "\xc5\x01\x00": 256, "\xc6\x00\x01\x00\x00": 65536,
		"\xd9\x03": 3, "\xda\x01\x00": 256, "\xdb\x00\x01\x00\x00": 65536, "\xbf": 31,
		"\xd4": 2, "\xd5": 3, "\xd6": 5, "\xd7": 9, "\xd8": 17,
		"\xc7\x03": 4, "\xc8\x01\x00": 257, "\xc9\x00\x01\x00\x00": 65537,
		"\x9f": 15, "\xdc\x01\x00": 256, "\xdd\x00\x01\x00\x00": 65536,
		"\x8f": 30, "\xde\x01\x00": 512, "\xdf\x00\x01\x00\x00": 131072,
	} {
		body := form + strings.Repeat("\x05", size)
		r := reader{b: []byte(body + "\x05")}
		r.rest(1)
		if r.err != nil || r.i != len(body) {
			t.Errorf("rest of %x… stops at %d, %v, want %d", form, r.i, r.err, len(body))
		}
		r = reader{b: []byte(body[:len(body)-1])}
		r.rest(1)
		if !errors.Is(r.err, ErrMalformed) {
			t.Errorf("rest of %x…, truncated: %v, want ErrMalformed", form, r.err)
		}
	}
	r := reader{b: []byte{0xc1}}
	r.rest(1)
	if !errors.Is(r.err, ErrMalformed) {
		t.Errorf("rest of c1: %v, want ErrMalformed", r.err)
	}
}

func TestStringsAndLists(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536} {
		s := strings.Repeat("s", n)
		b := appendString(nil, s)
		if want := pack(t, s, true); !bytes.Equal(b, want) {
			t.Errorf("string of %d: %.6x…, want %.6x…", n, b, want)
		}
		r := reader{b: b}
		if got := r.string(); got != s || r.err != nil {
			t.Errorf("string of %d comes back with %d, %v", n, len(got), r.err)
		}

		bin := append(appendBinHeader(nil, n), s...)
		if want := pack(t, []byte(s), true); !bytes.Equal(bin, want) {
			t.Errorf("binary of %d: %.6x…, want %.6x…", n, bin, want)
		}
		r = reader{b: bin}
		if got := r.bin(); string(got) != s || r.err != nil {
			t.Errorf("binary of %d comes back with %d, %v", n, len(got), r.err)
		}

		list := append(appendArray(nil, n), bytes.Repeat([]byte{codeNil}, n)...)
		if want := pack(t, make([]any, n), true); !bytes.Equal(list, want) {
			t.Errorf("list of %d: %.6x…, want %.6x…", n, list, want)
		}
		r = reader{b: list}
		if got := r.list(1); got != n || r.err != nil {
			t.Errorf("list of %d comes back with %d, %v", n, got, r.err)
		}
	}
}

func TestValuesOutOfRange(t *testing.T) {
	chunk := []any{1, "o", "a", []any{0, 2, 1}, []byte("ab")}
	var c Chunk
	err := c.Decode(pack(t, chunk, true))
	if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "without a length") || len(c.Records) != 0 {
		t.Errorf("a record without a length: %v, %d records", err, len(c.Records))
	}

	finding := generic(t, samples()["finding"].Append(nil)).([]any)
	finding[8] = uint64(math.MaxUint32 + 1)
	if err := new(Finding).Decode(pack(t, finding, true)); !errors.Is(err, ErrMalformed) {
		t.Errorf("an ordinal of 33 bits: %v, want ErrMalformed", err)
	}

	pane := samples()["pane_batch"].(*PaneBatch)
	for _, beyond := range []int64{math.MaxInt32, math.MinInt32 - 29462725 - 1, math.MaxInt64, math.MinInt64} {
		v := edit(t, generic(t, pane.Append(nil)), "2.0.7.0", func(row []any) []any { row[0] = beyond; return row })
		var p PaneBatch
		if err := p.Decode(pack(t, v, true)); !errors.Is(err, ErrMalformed) {
			t.Errorf("a row %d minutes after the watermark: %v, want ErrMalformed", beyond, err)
		}
	}
}
