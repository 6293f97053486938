package ingest

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"os"
	"strings"
)

const (
	// minToken is the shortest token, bytes: 16 random characters cannot be guessed.
	minToken = 16

	// maxTokens bounds those that each request is compared with.
	maxTokens = 1000
)

// A Token lets a client send events.
type Token struct {
	Name string // of the source that it sends, unless the request names one; may be empty
	hash [sha256.Size]byte
}

// NewToken returns a token.
func NewToken(name, secret string) Token { return Token{name, sha256.Sum256([]byte(secret))} }

// ReadTokens reads a file of tokens, one a line, each behind its name and a space or alone. Empty lines and those that begin with
// "#" are none.
func ReadTokens(file string) ([]Token, error) {
	var tokens []Token
	err := eachToken(file, func(name, secret string) { tokens = append(tokens, NewToken(name, secret)) })
	return tokens, err
}

// ReadToken returns the first token of such a file, for a client.
func ReadToken(file string) (secret string, err error) {
	err = eachToken(file, func(_, s string) { secret = cmp.Or(secret, s) })
	return secret, err
}

// eachToken gives out what a file of tokens holds, at least one.
func eachToken(file string, each func(name, secret string)) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return strip(err)
	}
	n := 0
	for i, line := range strings.Split(string(content), "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		name, secret := "", fields[len(fields)-1]
		if len(fields) > 1 {
			name = fields[0]
		}
		switch { // without telling what stands there
		case len(fields) > 2:
			return fmt.Errorf("%s, line %d: a name and a token, or a token, are possible", file, i+1)
		case name != "" && !sourceName.MatchString(name):
			return fmt.Errorf("%s, line %d: the name has letters, digits, dots, _ and -, at most 64", file, i+1)
		case len(secret) < minToken:
			return fmt.Errorf("%s, line %d: the token has less than %d characters", file, i+1, minToken)
		case n == maxTokens:
			return fmt.Errorf("%s: more than %d tokens", file, maxTokens)
		}
		each(name, secret)
		n++
	}
	if n == 0 {
		return fmt.Errorf("%s holds no token", file)
	}
	return nil
}

// match returns the token with a secret, in a time that does not depend on how much of it is right.
func match(tokens []Token, secret string) (Token, bool) {
	hash := sha256.Sum256([]byte(secret))
	found := -1
	for i := range tokens {
		if subtle.ConstantTimeCompare(tokens[i].hash[:], hash[:]) == 1 {
			found = i
		}
	}
	if found < 0 {
		return Token{}, false
	}
	return tokens[found], true
}
