package ip

import (
	"net/netip"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// levels are the steps of novelty: what of an address may be known, from the address itself to its country. Depth is the first
// level that is known, [levels] if none is.
const levels = 5

// A path is an address at every level, as fingerprints of 40 bits.
type path [levels]fingerprint

// A fingerprint stands for a prefix, a network or a country. Of a million prefixes in memory and as many that are
// not, one in a million is taken for known.
type fingerprint uint64

const fingerprintMask = 1<<40 - 1

// The lengths of prefixes at each level. Without a database the last two stand for network and country: an IPv4 /12 is what
// large providers hold together, an IPv6 /32 what one provider has; /8 and /12 are what a registry has.
var (
	bits4 = [levels]int{32, 24, 16, 12, 8}
	bits6 = [levels]int{128, 64, 48, 32, 12}
)

// pathOf returns the path of an address with the network and country that a database has for it, if there is one. What it
// does not know is told by prefixes.
func pathOf(a netip.Addr, asn, country string) (p path) {
	bits := bits6
	if a.Is4() {
		bits = bits4
	}
	for level, n := range bits {
		switch {
		case level == 3 && asn != "":
			p[level] = hash('n', asn)
		case level == 4 && country != "":
			p[level] = hash('c', country)
		default:
			p[level] = prefix(a, level, n)
		}
	}
	// A principal remembers its /24 only, and must see from it whether the /16 is known: its upper half is that of the /16.
	p[1] = p[2]&^halfMask | p[1]&halfMask
	return p
}

const halfMask = 1<<20 - 1

// network returns the number by which networks are compared: "AS64500" of "AS64500 Example Net", whose name may change.
func network(asn string) string {
	number, _, _ := strings.Cut(asn, " ")
	return number
}

func prefix(a netip.Addr, level, bits int) fingerprint {
	p, err := a.Prefix(bits)
	if err != nil {
		panic(err) // the lengths above fit their families
	}
	bytes := p.Addr().As16()
	var b [17]byte
	b[0] = byte(level)
	if a.Is4() {
		b[0] |= 0x80
	}
	copy(b[1:], bytes[:])
	return fingerprint(xxhash.Sum64(b[:]) & fingerprintMask)
}

func hash(kind byte, text string) fingerprint {
	var b [1 + maxWord]byte
	b[0] = kind
	n := copy(b[1:], text)
	return fingerprint(xxhash.Sum64(b[:1+n]) & fingerprintMask)
}

// family returns what a user agent begins with, which stays when versions change: "aws-cli" of "aws-cli/2.15.0 Python/3".
func family(agent string) string {
	if i := strings.IndexAny(agent, "/ ;(,"); i > 0 {
		agent = agent[:i]
	}
	return agent[:min(len(agent), 64)]
}

// denied reports whether an error code says that the caller was not let in. Somebody who only knocks teaches nothing about who
// lives here. The codes of both clouds have one of these words in them.
func denied(code string) bool {
	if code == "" {
		return false
	}
	for _, word := range [...]string{
		"denied", "unauthorized", "notauthorized", "forbid", "forbbid", "nopermission", "authfailure", "failedauthentication",
		"failed authentication", "invalidaccesskey", "invalidclienttoken", "unrecognizedclient", "signature", "invalidsecuritytoken",
		"invalidauthorization", "accessforbidden", "expiredtoken",
	} {
		if containsFold(code, word) {
			return true
		}
	}
	return false
}

// containsFold is strings.Contains for a word in lower case, whatever the case of the text, without a copy.
func containsFold(text, word string) bool {
	for i := 0; i+len(word) <= len(text); i++ {
		if strings.EqualFold(text[i:i+len(word)], word) {
			return true
		}
	}
	return false
}
