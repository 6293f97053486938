package catalog

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/trailvane/trailvane/pipeline/decode/field"
	"github.com/trailvane/trailvane/schemas"
)

// A Catalog knows the sensitive operations. It never changes, so that many goroutines may use one.
type Catalog struct {
	rules   []rule
	lookup  map[uint64][]operation // by hash of the pair
	version string
}

// A rule is one name of a line: what an operation is in one class, if the request is as the condition demands.
type rule struct {
	service, name string
	condition     condition
	class         schemas.Class
	grade         grade
}

// A grade is the tier of an operation, or that it switches logging on again.
type grade struct {
	tier     schemas.Tier
	restores bool
}

// An operation is what the rules say of one service and name.
type operation struct {
	service, name string
	always        schemas.Sensitive
	sometimes     []rule
}

//go:embed operations.txt
var operations string

// Default returns the catalogue that comes with the program. It is read anew, in about a millisecond: call it once.
func Default() *Catalog {
	c, err := new(Catalog).Extend(operations)
	if err != nil {
		panic("operations.txt: " + err.Error()) // it was read in a test
	}
	return c
}

// Extend returns a catalogue in which the lines of a file come before what this one says: what they say of an operation in a
// class stands instead of all that was said of it in that class. An error says which line is wrong, and why.
func (c *Catalog) Extend(file string) (*Catalog, error) {
	added, err := parse(file)
	if err != nil {
		return nil, err
	}
	said := make(map[rule]bool, len(added))
	for _, r := range added {
		said[r.subject()] = true
	}
	var rules []rule
	for _, r := range c.rules {
		if !said[r.subject()] {
			rules = append(rules, r)
		}
	}
	for _, r := range added {
		if r.grade != (grade{}) {
			rules = append(rules, r)
		}
	}
	return build(rules), nil
}

// subject returns what a rule is about, however it is spelled.
func (r rule) subject() rule {
	return rule{service: strings.ToLower(r.service), name: strings.ToLower(r.name), class: r.class}
}

func build(rules []rule) *Catalog {
	c := &Catalog{rules: rules, lookup: make(map[uint64][]operation)}
	lines := make([]string, len(rules))
	for i, r := range rules {
		lines[i] = strings.ToLower(r.String())
		o := c.operation(r.service, r.name)
		if r.condition == (condition{}) {
			o.always = r.grade.on(o.always, r.class)
		} else {
			o.sometimes = append(o.sometimes, r)
		}
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	c.version = hex.EncodeToString(sum[:6])
	return c
}

// operation returns the entry of a service and name, which it makes if there is none.
func (c *Catalog) operation(service, name string) *operation {
	h := hash(service, name)
	for i := range c.lookup[h] {
		if o := &c.lookup[h][i]; o.is(service, name) {
			return o
		}
	}
	c.lookup[h] = append(c.lookup[h], operation{service: service, name: name})
	return &c.lookup[h][len(c.lookup[h])-1]
}

func (o *operation) is(service, name string) bool {
	return strings.EqualFold(o.service, service) && strings.EqualFold(o.name, name)
}

// on adds the grade in a class to what else an operation is. Of two tiers the higher one counts.
func (g grade) on(s schemas.Sensitive, class schemas.Class) schemas.Sensitive {
	if g.restores {
		s |= schemas.RestoresTrail
	}
	return s.With(class, max(s.Tier(class), g.tier))
}

// Version identifies what the catalogue says: two that say the same have the same version, however their files were written.
func (c *Catalog) Version() string { return c.version }

// Classify says what a call is in every class. Service and name count together, because many services have a CreatePolicy;
// their case does not matter, nor does an API version behind the name. Request is the JSON object of the request's parameters
// and may be empty; it decides for the few operations that are sensitive with some parameters only.
func (c *Catalog) Classify(service, name, request string) schemas.Sensitive {
	name = BaseName(name)
	found := c.lookup[hash(service, name)]
	for i := range found {
		if found[i].is(service, name) {
			return found[i].classify(request)
		}
	}
	return 0
}

func (o *operation) classify(request string) schemas.Sensitive {
	s := o.always
	for i := range o.sometimes {
		if r := &o.sometimes[i]; r.condition.holds(request) {
			s = r.grade.on(s, r.class)
		}
	}
	return s
}

// A condition demands a parameter of the request, which may lie within another, and may have to have a value.
type condition struct {
	outer string // empty if the parameter stands at the top
	name  string
	value string // empty: any
}

func (c *condition) holds(request string) (holds bool) {
	if request == "" {
		return false
	}
	// What of a broken request can be read counts: the operation itself was read.
	_ = field.Each(request, func(key string, v field.Value) {
		switch {
		case c.outer == "":
			holds = holds || c.met(key, v)
		case strings.EqualFold(key, c.outer):
			if inner, ok := v.Object(); ok {
				_ = field.Each(inner, func(key string, v field.Value) { holds = holds || c.met(key, v) })
			}
		}
	})
	return holds
}

func (c *condition) met(key string, v field.Value) bool {
	if !strings.EqualFold(key, c.name) || !v.Present() {
		return false
	}
	if c.value == "" {
		return true
	}
	text, ok := v.Unquote()
	return ok && strings.EqualFold(text, c.value)
}

// hash is a hash of the pair that does not see the case of letters: it takes bit 5 as set in every byte. It reads eight bytes
// at a time, because it runs for every event that writes.
func hash(service, name string) uint64 {
	return mix(mix(uint64(len(service))<<32|uint64(len(name)), service), name)
}

const (
	lower = 0x2020202020202020
	prime = 0x9e3779b97f4a7c15 // odd, with its bits spread: 2^64 divided by the golden ratio
)

func mix(h uint64, s string) uint64 {
	for len(s) >= 8 {
		h = step(h, uint64(s[0])|uint64(s[1])<<8|uint64(s[2])<<16|uint64(s[3])<<24|
			uint64(s[4])<<32|uint64(s[5])<<40|uint64(s[6])<<48|uint64(s[7])<<56)
		s = s[8:]
	}
	var rest uint64
	for i := 0; i < len(s); i++ {
		rest |= uint64(s[i]) << (8 * i)
	}
	return step(h, rest)
}

func step(h, word uint64) uint64 {
	h = (h ^ (word | lower)) * prime
	return h ^ h>>32
}
