package operator

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/trailvane/trailvane/pipeline/model"
	"github.com/trailvane/trailvane/schemas"
)

const (
	maxPrincipal = 640 // bytes of a principal in a key: the longest ARN has less
	maxShown     = 64  // bytes of a name that is remembered for explanations only
)

// operatorName returns the name of an operator in keys: type and principal. What is too long for any cloud is cut, and told
// apart by its hash.
func operatorName(kind schemas.PrincipalType, principal string) string {
	if len(principal) > maxPrincipal {
		sum := strconv.FormatUint(xxhash.Sum64String(principal), 16)
		principal = strings.ToValidUTF8(principal[:maxPrincipal-20], "") + "#" + sum
	}
	return model.PrincipalKind(kind) + ":" + principal
}

// Hashes of operators, item sets and pairs have 48 bits, to save a quarter of their state: of ten thousand, two are equal once
// in five million accounts.
const hashBits = 1<<48 - 1

// operatorHash tells operators apart. It is part of saved state.
func operatorHash(kind schemas.PrincipalType, principal string) uint64 {
	return mix(xxhash.Sum64String(principal), uint64(kind)+1) & hashBits
}

// mix joins two hashes into one, in order.
func mix(a, b uint64) uint64 {
	h := a*0x9e3779b97f4a7c15 ^ (b + 0x632be59bd9b4e019)
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	return h ^ h>>29
}

// shown returns the name of an operator as people say it.
func shown(kind schemas.PrincipalType, principal string) string {
	name := principal
	if strings.HasPrefix(name, "arn:") || strings.HasPrefix(name, "acs:") {
		name = name[strings.LastIndexByte(name, '/')+1:]
	}
	if len(name) > maxShown {
		name = strings.ToValidUTF8(name[:maxShown-3], "") + "…"
	}
	switch {
	case kind == schemas.RootPrincipal:
		return "the root of the account"
	case name == "":
		return "somebody without a name"
	case kind == schemas.RolePrincipal:
		return "role " + name
	}
	return name
}

// groupOf returns the path of a user, as in "arn:aws:iam::123456789012:user/admins/alice", or nothing. A role is an operator
// by itself, whoever takes it, and needs no group.
func groupOf(kind schemas.PrincipalType, principal string) string {
	const marker = ":user/"
	if kind != schemas.UserPrincipal {
		return ""
	}
	_, name, ok := strings.Cut(principal, marker)
	if !ok {
		return ""
	}
	slash := strings.LastIndexByte(name, '/')
	if slash <= 0 {
		return ""
	}
	path := name[:slash]
	if len(path) > maxShown {
		path = strings.ToValidUTF8(path[:maxShown], "")
	}
	return "users of /" + path + "/"
}

// network returns the network of an address: its /24, its /48 in IPv6, or the text itself, which names a service.
func network(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return ip
	}
	a = a.Unmap()
	bits := 24
	if a.Is6() {
		bits = 48
	}
	p, err := a.WithZone("").Prefix(bits)
	if err != nil {
		return ip
	}
	return p.String()
}

// families are the programs that call clouds, by what their user agents begin with or hold; first match wins.
var families = [...]struct{ part, name string }{
	{"terraform", "terraform"}, {"pulumi", "pulumi"}, {"cloudformation", "cloudformation"}, {"aws-cdk", "cdk"},
	{"ansible", "ansible"}, {"aws-cli", "aws-cli"}, {"aliyun-cli", "aliyun-cli"}, {"boto", "boto"},
	{"aws-sdk-java", "java sdk"}, {"aws-sdk-go", "go sdk"}, {"aws-sdk-js", "js sdk"}, {"alibabacloud", "alibaba sdk"},
	{"console", "console"}, {"signin.", "console"}, {"mozilla", "console"}, {"amazonaws.com", "a service"},
}

const otherPrograms = 16 // bits for programs that are not in the list, by hash of their first word

// program returns the family of a user agent, and its bit.
func program(agent string) (name string, bit uint32) {
	if agent == "" {
		return "", 0
	}
	agent = strings.ToLower(agent[:min(len(agent), 256)])
	for i, f := range families {
		if strings.Contains(agent, f.part) {
			if f.name == "console" {
				i = 12 // one bit for its three forms
			}
			return f.name, 1 << i
		}
	}
	word := agent
	if i := strings.IndexAny(agent, "/ ;("); i > 0 {
		word = agent[:i]
	}
	if len(word) > maxShown {
		word = word[:maxShown]
	}
	return strings.ToValidUTF8(word, ""), 1 << (len(families) + int(xxhash.Sum64String(word)%otherPrograms))
}

// A memo remembers what addresses and user agents mean: the same few come in every pane. It is no state, it only saves work.
type memo struct {
	nets     map[string]uint32
	programs map[string]uint32
}

const (
	maxMemo   = 8192 // then it is begun anew
	memorable = 256  // bytes; longer ones are rare
)

func (w *memo) network(ip string) uint32 {
	return remember(&w.nets, ip, func(s string) uint32 { return placeHash(network(s)) })
}

func (w *memo) program(agent string) uint32 {
	return remember(&w.programs, agent, func(s string) uint32 {
		_, bit := program(s)
		return bit
	})
}

func remember(m *map[string]uint32, s string, f func(string) uint32) uint32 {
	if v, ok := (*m)[s]; ok {
		return v
	}
	v := f(s)
	if len(s) > memorable {
		return v
	}
	if *m == nil || len(*m) >= maxMemo {
		*m = make(map[string]uint32)
	}
	(*m)[strings.Clone(s)] = v
	return v
}

// hourBit is the bit of a four-hour block of working days or of weekends, UTC.
func hourBit(m schemas.Minute) uint16 {
	day := m.Day()
	block := (int64(m) - int64(day)*int64(schemas.Day)) / (4 * int64(schemas.Hour))
	if weekday := ((int64(day)+4)%7 + 7) % 7; weekday == 0 || weekday == 6 { // the epoch was a Thursday
		block += 6
	}
	return 1 << block
}
