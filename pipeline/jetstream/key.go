package jetstream

import (
	"fmt"
	"strings"
)

// escape writes a state key as tokens that a KV bucket takes: letters, digits, "_", "-" and "/" stand for themselves, any other
// byte becomes "=" and two hexadecimal digits. A key named like the checkpoint is escaped too.
func escape(key string) string {

	clean := key != checkpointKey && key != ""
	for i := 0; clean && i < len(key); i++ {
		clean = plain(key[i])
	}
	if clean {
		return key
	}
	if key == "" {
		return "=" // no other key begins with a lone "="
	}
	var b strings.Builder
	for i := range len(key) {
		if c := key[i]; plain(c) && !(key == checkpointKey && i == 0) {
			b.WriteByte(c)
		} else {
			b.WriteByte('=')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}

func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '/'
}

// unescape is the inverse of escape.
func unescape(name string) (string, error) {
	if name == "=" {
		return "", nil
	}
	if strings.IndexByte(name, '=') < 0 {
		return name, nil
	}
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] != '=' {
			b.WriteByte(name[i])
			continue
		}
		if i+2 >= len(name) {
			return "", fmt.Errorf("state key %q ends within an escape", name)
		}
		hi, lo := strings.IndexByte(hexDigits, name[i+1]), strings.IndexByte(hexDigits, name[i+2])
		if hi < 0 || lo < 0 {
			return "", fmt.Errorf("state key %q has a bad escape", name)
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	return b.String(), nil
}

const hexDigits = "0123456789ABCDEF"
