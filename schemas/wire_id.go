package schemas

// Event ids are the largest part of a row and nearly always UUIDs in one of two spellings. These travel as 16
// bytes in a msgpack extension whose type is the spelling; whatever else an id may be travels as a string.
// Either way it comes back byte for byte.
const (
	lowerUUID = 1 // extension type: "7b6e1d2c-0f55-4e0e-8c39-5a1d7f3b9e20"
	upperUUID = 2 // extension type: the same in capitals
)

const uuidText = 36 // length of a UUID as text

// What hexClass knows of a byte beside its value.
const (
	hexValid = 0x40
	hexLower = 0x10
	hexUpper = 0x20
)

var hexClass = [256]byte{
	'0': hexValid, '1': hexValid | 1, '2': hexValid | 2, '3': hexValid | 3, '4': hexValid | 4,
	'5': hexValid | 5, '6': hexValid | 6, '7': hexValid | 7, '8': hexValid | 8, '9': hexValid | 9,
	'a': hexValid | hexLower | 10, 'b': hexValid | hexLower | 11, 'c': hexValid | hexLower | 12,
	'd': hexValid | hexLower | 13, 'e': hexValid | hexLower | 14, 'f': hexValid | hexLower | 15,
	'A': hexValid | hexUpper | 10, 'B': hexValid | hexUpper | 11, 'C': hexValid | hexUpper | 12,
	'D': hexValid | hexUpper | 13, 'E': hexValid | hexUpper | 14, 'F': hexValid | hexUpper | 15,
}

// hexAt holds where in the text of a UUID the digits of each byte stand.
var hexAt = [16]byte{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34}

func appendID(b []byte, id string) []byte {
	if len(id) != uuidText || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return appendString(b, id)
	}
	var binary [16]byte
	seen, all := byte(0), byte(hexValid)
	for i, at := range hexAt {
		high, low := hexClass[id[at]], hexClass[id[at+1]]
		seen |= high | low
		all &= high & low
		binary[i] = high<<4 | low&0x0f
	}
	form := byte(lowerUUID)
	switch {
	case all&hexValid == 0, seen&(hexLower|hexUpper) == hexLower|hexUpper:
		return appendString(b, id)
	case seen&hexUpper != 0:
		form = upperUUID
	}
	b = append(b, codeFixExt16, form)
	return append(b, binary[:]...)
}

func (r *reader) id() string {
	if r.i >= len(r.b) || r.b[r.i] != codeFixExt16 {
		return r.string()
	}
	ext := r.take(18)
	if ext == nil {
		return ""
	}
	digits := "0123456789abcdef"
	switch ext[1] {
	case lowerUUID:
	case upperUUID:
		digits = "0123456789ABCDEF"
	default:
		r.fail("id in unknown form %d", ext[1])
		return ""
	}
	text := [uuidText]byte{8: '-', 13: '-', 18: '-', 23: '-'}
	for i, c := range ext[2:] {
		text[hexAt[i]] = digits[c>>4]
		text[hexAt[i]+1] = digits[c&0x0f]
	}
	return r.keep(text[:])
}
