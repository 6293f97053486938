package schemas

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// The few msgpack forms that the messages use, written and read by hand: a row of a batch has a budget of a
// third of a microsecond, and a reader that never allocates by a number it was told is easier to see here
// than to prove of a library. The tests hold every message against vmihailenco/msgpack.
//
// Writing uses the shortest form; reading takes any form of the same kind.

// First bytes of the msgpack forms. The fixed forms carry their length or value in the low bits.
const (
	fixMap, fixArray, fixString = 0x80, 0x90, 0xa0
	negFixInt                   = 0xe0

	codeNil, codeFalse, codeTrue            = 0xc0, 0xc2, 0xc3
	codeBin8, codeBin16, codeBin32          = 0xc4, 0xc5, 0xc6
	codeExt8, codeExt16, codeExt32          = 0xc7, 0xc8, 0xc9
	codeFloat32, codeFloat64                = 0xca, 0xcb
	codeUint8, codeUint16                   = 0xcc, 0xcd
	codeUint32, codeUint64                  = 0xce, 0xcf
	codeInt8, codeInt16                     = 0xd0, 0xd1
	codeInt32, codeInt64                    = 0xd2, 0xd3
	codeFixExt1, codeFixExt16               = 0xd4, 0xd8
	codeString8, codeString16, codeString32 = 0xd9, 0xda, 0xdb
	codeArray16, codeArray32                = 0xdc, 0xdd
	codeMap16, codeMap32                    = 0xde, 0xdf
)

func appendArray(b []byte, n int) []byte {
	switch {
	case n < 16:
		return append(b, fixArray|byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, codeArray16), uint16(n))
	default:
		return binary.BigEndian.AppendUint32(append(b, codeArray32), uint32(n))
	}
}

func appendUint(b []byte, v uint64) []byte {
	switch {
	case v < fixMap:
		return append(b, byte(v))
	case v <= math.MaxUint8:
		return append(b, codeUint8, byte(v))
	case v <= math.MaxUint16:
		return append(b, codeUint16, byte(v>>8), byte(v))
	case v <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, codeUint32), uint32(v))
	default:
		return binary.BigEndian.AppendUint64(append(b, codeUint64), v)
	}
}

func appendInt(b []byte, v int64) []byte {
	switch {
	case v >= 0:
		return appendUint(b, uint64(v))
	case v >= -32:
		return append(b, byte(v))
	case v >= math.MinInt8:
		return append(b, codeInt8, byte(v))
	case v >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(b, codeInt16), uint16(v))
	case v >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(b, codeInt32), uint32(v))
	default:
		return binary.BigEndian.AppendUint64(append(b, codeInt64), uint64(v))
	}
}

func appendFloat(b []byte, v float64) []byte {
	return binary.BigEndian.AppendUint64(append(b, codeFloat64), math.Float64bits(v))
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, codeTrue)
	}
	return append(b, codeFalse)
}

func appendString(b []byte, s string) []byte {
	switch n := len(s); {
	case n < 32:
		b = append(b, fixString|byte(n))
	case n <= math.MaxUint8:
		b = append(b, codeString8, byte(n))
	case n <= math.MaxUint16:
		b = append(b, codeString16, byte(n>>8), byte(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, codeString32), uint32(n))
	}
	return append(b, s...)
}

// appendBinHeader announces n bytes of binary, which the caller appends.
func appendBinHeader(b []byte, n int) []byte {
	switch {
	case n <= math.MaxUint8:
		return append(b, codeBin8, byte(n))
	case n <= math.MaxUint16:
		return append(b, codeBin16, byte(n>>8), byte(n))
	default:
		return binary.BigEndian.AppendUint32(append(b, codeBin32), uint32(n))
	}
}

// A reader takes a message apart. Its first error stays: every later read gives zero values, so that a
// decoder checks once, at the end. Nothing it allocates is larger than a small multiple of the message,
// whatever the message says.
type reader struct {
	b    []byte
	i    int
	err  error
	text strings.Builder // backing of the message's strings: see string
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: byte %d: %s", ErrMalformed, r.i, fmt.Sprintf(format, args...))
	}
	r.i = len(r.b)
}

// open begins a message of a version and of known fields, the version being the first, and returns the number
// of fields beyond.
func (r *reader) open(version uint64, known int) (more int) {
	n := r.arrayLen()
	if n < 1 {
		r.fail("message without a version")
		return 0
	}
	if v := r.uint(); r.err == nil && v != version {
		r.err = fmt.Errorf("%w %d, this program knows %d", ErrVersion, v, version)
		r.i = len(r.b)
		return 0
	}
	if n < known {
		r.fail("array of %d, want %d", n, known)
		return 0
	}
	return n - known
}

// close ends the message: it skips the fields beyond the known ones and returns the first error.
func (r *reader) close(more int) error {
	r.rest(more)
	if r.err == nil && r.i < len(r.b) {
		r.fail("%d bytes behind the message", len(r.b)-r.i)
	}
	return r.err
}

// take returns the next n bytes, which alias the message.
func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)-r.i) {
		r.fail("truncated")
		return nil
	}
	s := r.b[r.i : r.i+int(n) : r.i+int(n)]
	r.i += int(n)
	return s
}

// code returns the next first byte. 0xc1, which msgpack never uses, stands for the end.
func (r *reader) code() byte {
	if r.i >= len(r.b) {
		r.fail("truncated")
		return 0xc1
	}
	c := r.b[r.i]
	r.i++
	return c
}

// big returns the next n bytes as a big-endian number.
func (r *reader) big(n uint64) (v uint64) {
	for _, c := range r.take(n) {
		v = v<<8 | uint64(c)
	}
	return v
}

// array opens an array of at least known fields and returns the number of those beyond: fields of a later
// minor version, which the caller skips with rest when it has read its own.
func (r *reader) array(known int) (more int) {
	n := r.arrayLen()
	if n < known {
		r.fail("array of %d, want %d", n, known)
		return 0
	}
	return n - known
}

// list opens an array of elements of the same kind, each at least size bytes long, and returns their number,
// which the rest of the message is long enough to hold.
func (r *reader) list(size int) int {
	n := r.arrayLen()
	if n > (len(r.b)-r.i)/size {
		r.fail("list of %d is longer than the message", n)
		return 0
	}
	return n
}

func (r *reader) arrayLen() int {
	switch c := r.code(); {
	case c&0xf0 == fixArray:
		return int(c & 0x0f)
	case c == codeArray16:
		return int(r.big(2))
	case c == codeArray32:
		return int(r.big(4))
	default:
		r.fail("code %#x, want an array", c)
		return 0
	}
}

// rest skips n whole values of any kind. It counts instead of recursing, so that deep nesting costs no stack.
func (r *reader) rest(n int) {
	for left := uint64(n); left > 0 && r.err == nil; left-- {
		switch c := r.code(); {
		case c < fixMap, c >= negFixInt, c == codeNil, c == codeFalse, c == codeTrue:
		case c < fixArray:
			left += 2 * uint64(c&0x0f)
		case c < fixString:
			left += uint64(c & 0x0f)
		case c < codeNil:
			r.take(uint64(c & 0x1f))
		case c >= codeBin8 && c <= codeBin32:
			r.take(r.big(1 << (c - codeBin8)))
		case c >= codeExt8 && c <= codeExt32:
			r.take(r.big(1<<(c-codeExt8)) + 1)
		case c == codeFloat32, c == codeFloat64:
			r.take(4 << (c - codeFloat32))
		case c >= codeUint8 && c <= codeUint64:
			r.take(1 << (c - codeUint8))
		case c >= codeInt8 && c <= codeInt64:
			r.take(1 << (c - codeInt8))
		case c >= codeFixExt1 && c <= codeFixExt16:
			r.take(1<<(c-codeFixExt1) + 1)
		case c >= codeString8 && c <= codeString32:
			r.take(r.big(1 << (c - codeString8)))
		case c == codeArray16, c == codeArray32:
			left += r.big(2 << (c - codeArray16))
		case c == codeMap16, c == codeMap32:
			left += 2 * r.big(2<<(c-codeMap16))
		default:
			r.fail("code %#x is not msgpack", c)
		}
	}
}

func (r *reader) uint() uint64 {
	if r.i < len(r.b) && r.b[r.i] < fixMap { // nearly all numbers of a row
		r.i++
		return uint64(r.b[r.i-1])
	}
	return r.longUint()
}

func (r *reader) longUint() uint64 {
	switch c := r.code(); {
	case c < fixMap:
		return uint64(c)
	case c >= codeUint8 && c <= codeUint64:
		return r.big(1 << (c - codeUint8))
	case c >= codeInt8 && c <= codeInt64:
		v := r.signed(1 << (c - codeInt8))
		if v < 0 {
			r.fail("negative number")
		}
		return uint64(v)
	default:
		r.fail("code %#x, want a number", c)
		return 0
	}
}

// max returns a number that is at most limit.
func (r *reader) max(limit uint64) uint64 {
	v := r.uint()
	if v > limit {
		r.fail("number %d is larger than %d", v, limit)
		return 0
	}
	return v
}

func (r *reader) uint32() uint32 { return uint32(r.max(math.MaxUint32)) }

func (r *reader) int() int64 {
	switch c := r.code(); {
	case c < fixMap, c >= negFixInt:
		return int64(int8(c))
	case c >= codeUint8 && c <= codeUint64:
		v := r.big(1 << (c - codeUint8))
		if v > math.MaxInt64 {
			r.fail("number %d is too large", v)
		}
		return int64(v)
	case c >= codeInt8 && c <= codeInt64:
		return r.signed(1 << (c - codeInt8))
	default:
		r.fail("code %#x, want a number", c)
		return 0
	}
}

// signed returns the next n bytes as a number in two's complement.
func (r *reader) signed(n uint64) int64 {
	shift := 64 - 8*n
	return int64(r.big(n)<<shift) >> shift
}

// between returns a number of [low, high].
func (r *reader) between(low, high int64) int64 {
	v := r.int()
	if v < low || v > high {
		r.fail("number %d is not in [%d, %d]", v, low, high)
		return 0
	}
	return v
}

func (r *reader) minute() Minute { return Minute(r.between(math.MinInt32, math.MaxInt32)) }

// lane is bounded by 32 bits, so that a program on any machine reads the same.
func (r *reader) lane() int { return int(r.between(math.MinInt32, math.MaxInt32)) }

func (r *reader) float() float64 {
	switch c := r.code(); c {
	case codeFloat64:
		return math.Float64frombits(r.big(8))
	case codeFloat32:
		return float64(math.Float32frombits(uint32(r.big(4))))
	default:
		r.fail("code %#x, want a float", c)
		return 0
	}
}

func (r *reader) bool() bool {
	switch c := r.code(); c {
	case codeTrue:
		return true
	case codeFalse:
		return false
	default:
		r.fail("code %#x, want a boolean", c)
		return false
	}
}

// nil reports whether the next value is nil, and skips it then.
func (r *reader) nil() bool {
	if r.i < len(r.b) && r.b[r.i] == codeNil {
		r.i++
		return true
	}
	return false
}

// raw returns the bytes of a string, which alias the message.
func (r *reader) raw() []byte {
	switch c := r.code(); {
	case c&0xe0 == fixString:
		return r.take(uint64(c & 0x1f))
	case c >= codeString8 && c <= codeString32:
		return r.take(r.big(1 << (c - codeString8)))
	default:
		r.fail("code %#x, want a string", c)
		return nil
	}
}

// string returns a copy of a string. All strings of a message stand in one backing array, as long as it was
// grown enough before: one allocation instead of hundreds. So one of them keeps all alive.
func (r *reader) string() string { return r.keep(r.raw()) }

func (r *reader) keep(s []byte) string {
	at := r.text.Len()
	r.text.Write(s)
	return r.text.String()[at:]
}

// strings returns a list of strings, nil when it is empty.
func (r *reader) strings() []string {
	n := r.list(1)
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = r.string()
	}
	return list
}

// bin returns binary, which aliases the message.
func (r *reader) bin() []byte {
	c := r.code()
	if c < codeBin8 || c > codeBin32 {
		r.fail("code %#x, want binary", c)
		return nil
	}
	return r.take(r.big(1 << (c - codeBin8)))
}
