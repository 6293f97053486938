package apierrorrate

const (
	maxCode = 64 // bytes of a code; the longest of both clouds have about fifty

	// Words that are longer than a status and are digits only, or hexadecimal, or long and partly digits, tell one request from
	// another, and nothing about why it failed.
	minNumber = 4
	minHex    = 8
	minMixed  = 16
	mixed     = 4 // digits in it

	numbersOnly = "number" // a code that has nothing else
)

// appendCode appends a code without what differs from request to request: numbers of more than three digits, hexadecimal ids, and
// what separates them from the rest. What is left is letters, digits and ".:_-".
func appendCode(b []byte, code string) []byte {
	start := len(b)
	for i := 0; i < len(code) && len(b)-start < maxCode; {
		if !isWord(code[i]) { // the separator waits for a word that stays
			i++
			continue
		}
		if isUUID(code[i:]) {
			i += uuidLen
			continue
		}
		end := i
		for end < len(code) && isWord(code[end]) {
			end++
		}
		word := code[i:end]
		if !isID(word) {
			if len(b) > start {
				b = append(b, separator(code[i-1]))
			}
			b = append(b, withoutNumber(word)...)
		}
		i = end
	}
	if len(b) == start {
		return append(b, numbersOnly...)
	}
	return b[:min(len(b), start+maxCode)]
}

func isWord(c byte) bool { return isDigit(c) || isLetter(c) }

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

const uuidLen = 36

// isUUID says whether what is left of a code begins with a UUID, whose groups need not have digits.
func isUUID(s string) bool {
	if len(s) < uuidLen || len(s) > uuidLen && isWord(s[uuidLen]) {
		return false
	}
	for i := range uuidLen {
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (s[i] == '-') || !dash && !isHex(s[i]) {
			return false
		}
	}
	return true
}

func isHex(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

// isID says whether a word is a number or an id.
func isID(word string) bool {
	digits, hex := 0, 0
	for i := range len(word) {
		c := word[i]
		if isDigit(c) {
			digits++
		}
		if isHex(c) {
			hex++
		}
	}
	n := len(word)
	return digits == n && n >= minNumber ||
		digits > 0 && hex == n && n >= minHex ||
		digits >= mixed && n >= minMixed
}

// withoutNumber cuts a number from the end of a word.
func withoutNumber(word string) string {
	end := len(word)
	for end > 0 && isDigit(word[end-1]) {
		end--
	}
	if end > 0 && len(word)-end >= minNumber {
		return word[:end]
	}
	return word
}

// separator keeps what codes are written with.
func separator(c byte) byte {
	switch c {
	case '.', ':', '-':
		return c
	}
	return '_'
}
