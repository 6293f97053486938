package jetstream

import (
	"fmt"
	"strings"
)

// A state key may hold any bytes, a bucket's key may not. Letters, digits, "_", "-", "/" and single dots inside stand for
// themselves; any other byte is written as "=" and two hexadecimal digits, and the empty key as a lone "=".

const hexDigits = "0123456789ABCDEF"

// escape writes a state key as a bucket's key.
func escape(key string) string {
	if key == "" {
		return "="
	}
	clean := true
	for i := 0; clean && i < len(key); i++ {
		clean = plainAt(key, i)
	}
	if clean {
		return key
	}
	b := make([]byte, 0, len(key)+16)
	for i := range len(key) {
		if c := key[i]; plainAt(key, i) {
			b = append(b, c)
		} else {
			b = append(b, '=', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return string(b)
}

// plainAt reports whether the byte of a key stands for itself.
func plainAt(key string, i int) bool {
	switch c := key[i]; {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-', c == '/':
		return true
	case c == '.': // tokens must not be empty
		return i > 0 && i < len(key)-1 && key[i-1] != '.'
	}
	return false
}

// unescape is the inverse of escape. What escape cannot have written is an error.
func unescape(name string) (string, error) {
	if name == "=" {
		return "", nil
	}
	if strings.IndexByte(name, '=') < 0 {
		return name, nil
	}
	b := make([]byte, 0, len(name))
	for i := 0; i < len(name); i++ {
		if name[i] != '=' {
			b = append(b, name[i])
			continue
		}
		if i+2 >= len(name) {
			return "", fmt.Errorf("state key %q ends within an escape", name)
		}
		hi, lo := strings.IndexByte(hexDigits, name[i+1]), strings.IndexByte(hexDigits, name[i+2])
		if hi < 0 || lo < 0 {
			return "", fmt.Errorf("state key %q has a bad escape", name)
		}
		b = append(b, byte(hi<<4|lo))
		i += 2
	}
	return string(b), nil
}
