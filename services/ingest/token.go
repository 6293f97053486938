package ingest

import (
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
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, strip(err)
	}
	var tokens []Token
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
			return nil, fmt.Errorf("%s, line %d: a name and a token, or a token, are possible", file, i+1)
		case name != "" && !sourceName.MatchString(name):
			return nil, fmt.Errorf("%s, line %d: the name has letters, digits, dots, _ and -, at most 64", file, i+1)
		case len(secret) < minToken:
			return nil, fmt.Errorf("%s, line %d: the token has less than %d characters", file, i+1, minToken)
		case len(tokens) == maxTokens:
			return nil, fmt.Errorf("%s: more than %d tokens", file, maxTokens)
		}
		tokens = append(tokens, NewToken(name, secret))
	}
	if len(tokens) == 0 {
		return nil, fmt.Errorf("%s holds no token", file)
	}
	return tokens, nil
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
