package normalize

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/trailvane/trailvane/pipeline/address"
)

// A Resolver knows networks and countries of addresses. Its answers are functions of the address until it is replaced together
// with the processor.
type Resolver interface {
	// Resolve returns the network, as "AS64500 Example Net", and the country, as "DE", of a public address; what it does not
	// know is empty.
	Resolve(a netip.Addr) (asn, country string)

	// Version names what the answers come from, as "GeoLite2-ASN 2026-03-01".
	Version() string
}

// A place is what is known of an address.
type place struct{ asn, country string }

// maxPlace bounds the name of a network: longer ones are cut by registries too.
const maxPlace = 64

// A resolver asks once for each address of a chunk. Most records of a chunk share a few.
type resolver struct {
	from   Resolver // nil if there is none
	places map[string]place
}

func newResolver(from Resolver) resolver { return resolver{from, make(map[string]place)} }

// begin forgets the chunk before, whose bytes the keys alias.
func (r *resolver) begin() { clear(r.places) }

func (r *resolver) of(source string) place {
	if r.from == nil {
		return place{}
	}
	p, ok := r.places[source]
	if !ok {
		if a, public := address.Parse(source); public {
			asn, country := r.from.Resolve(a)
			p = place{cut(asn), cut(country)}
		}
		r.places[source] = p
	}
	return p
}

func cut(s string) string {
	if len(s) > maxPlace {
		s = s[:maxPlace]
	}
	return strings.ToValidUTF8(s, "")
}

// maxDatabases bounds the versions in the counts: a year of weekly updates.
const maxDatabases = 52

// note keeps in the counts which databases the events were resolved with, the latest last. The version is not one of the
// constants of the stage: databases are replaced every week, and a store must go on with the new one.
func (s *Stats) note(version string) {
	if n := len(s.Databases); n > 0 && s.Databases[n-1] == version {
		return
	}
	s.Databases = append(s.Databases, version)
	s.Databases = slices.Delete(s.Databases, 0, max(0, len(s.Databases)-maxDatabases))
}
