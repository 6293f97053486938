package field

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/trailvane/trailvane/schemas"
)

// Limits of the strings that an event keeps, in bytes. Each is the longest that the vendors allow, rounded up, so that only a
// hostile or broken record is ever cut; the sum bounds what one event costs everything downstream.
const (
	IDLimit        = 128 // UUIDs have 36
	AccountLimit   = 64  // 12 and 16 digits
	RegionLimit    = 64
	NameLimit      = 256 // services, event names, error codes
	PrincipalLimit = 640 // the longest ARN of an IAM user: 31 + path 512 + name 64
	KeyLimit       = 128 // access key ids
	AddressLimit   = 256 // the longest host name has 253
	AgentLimit     = 512 // distinguishes tools; the rest is versions
)

// ID returns the id of an event. A record without one, or with one too long to keep, gets a hash of itself: two deliveries of
// the same bytes are still one event, and records that share a prefix are not.
func (r *Reader) ID(name string, v Value, record string) string {
	if id := r.Text(name, v, IDLimit+1); id != "" && len(id) <= IDLimit {
		return id
	}
	sum := sha256.Sum256([]byte(record))
	return "sha256-" + hex.EncodeToString(sum[:16])
}

// Failed returns the error code that a record names, or empty if it names none: in insights and exports the code of a call
// that succeeded is the text "null", and sign-ins may say "success".
func (r *Reader) Failed(name string, v Value) string {
	code := r.Text(name, v, NameLimit)
	if Success(code) {
		return ""
	}
	return code
}

// Success says whether an error code or message stands for none.
func Success(s string) bool {
	switch s {
	case "", "null", "success", "Success", "SUCCESS":
		return true
	}
	return false
}

// CodeOf makes an error code of a sign-in's error message, for records that fail without a code: "Failed authentication"
// becomes "FailedAuthentication". Messages are free text; those that are not a few plain words become fallback, so that
// codes stay few.
func CodeOf(message, fallback string) string {
	const longest = 64
	code := make([]byte, 0, longest)
	start := true // of a word
	for i := 0; i < len(message); i++ {
		switch c := message[i]; {
		case c == ' ':
			start = true
			continue
		case c == '.' && i == len(message)-1:
			continue
		case c >= 'a' && c <= 'z':
			if start {
				c -= 'a' - 'A'
			}
			code = append(code, c)
		case c >= 'A' && c <= 'Z':
			code = append(code, c)
		default:
			return fallback
		}
		start = false
		if len(code) > longest {
			return fallback
		}
	}
	if len(code) == 0 {
		return fallback
	}
	return string(code)
}

// Console returns how somebody signed in who came through the console.
func Console(mfa bool) schemas.Auth {
	if mfa {
		return schemas.ConsoleMFAAuth
	}
	return schemas.ConsoleAuth
}
