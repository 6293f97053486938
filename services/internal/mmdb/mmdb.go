// Package mmdb answers from databases in the MaxMind DB format which network and which country an address is of. Vendors give
// such files away or sell them (GeoLite2 and GeoIP2, DB-IP, IPinfo, IPLocate); Trailvane brings none.
package mmdb

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
	"github.com/trailvane/trailvane/pipeline/normalize"
)

// Databases answer in the order in which they were named: the first that knows a network, or a country, is believed.
type Databases struct {
	readers []*maxminddb.Reader
	version string
}

var _ normalize.Resolver = (*Databases)(nil)

// Open reads the files into memory, so that one that is replaced meanwhile does no harm. It is an error if a file is broken, or
// knows neither networks nor countries.
func Open(files ...string) (*Databases, error) {
	d := new(Databases)
	var versions []string
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the database of addresses: %w", err)
		}
		r, err := maxminddb.OpenBytes(b)
		if err != nil {
			return nil, fmt.Errorf("%s is no database of addresses in the MaxMind DB format, or is broken: %w", file, err)
		}
		if err := useful(r); err != nil {
			return nil, fmt.Errorf("the database %s (%s): %w", filepath.Base(file), r.Metadata.DatabaseType, err)
		}
		d.readers = append(d.readers, r)
		built := time.Unix(int64(r.Metadata.BuildEpoch), 0).UTC().Format(time.DateTime)
		versions = append(versions, r.Metadata.DatabaseType+" "+built)
	}
	d.version = strings.Join(versions, ", ")
	return d, nil
}

// sampled is how many networks of a file are looked at: all of a file have the same fields, but some have no value.
const sampled = 1000

// useful reports why a file has nothing to say, if so.
func useful(r *maxminddb.Reader) error {
	n := 0
	for result := range r.Networks() {
		asn, country, err := read(result)
		if err != nil {
			return fmt.Errorf("it is broken: %w", err)
		}
		if asn != "" || country != "" {
			return nil
		}
		if n++; n == sampled {
			break
		}
	}
	return fmt.Errorf("it knows neither networks (ASN) nor countries")
}

// Version implements normalize.Resolver.
func (d *Databases) Version() string { return d.version }

// Resolve implements normalize.Resolver. A part of a file that cannot be read knows nothing.
func (d *Databases) Resolve(a netip.Addr) (asn, country string) {
	for _, r := range d.readers {
		if a.Is6() && r.Metadata.IPVersion == 4 {
			continue
		}
		n, c, err := read(r.Lookup(a))
		if err != nil {
			continue
		}
		if asn == "" {
			asn = n
		}
		if country == "" {
			country = c
		}
	}
	return asn, country
}

// read takes the network and the country from an entry, in the spellings of the vendors: autonomous_system_number and
// country.iso_code (MaxMind, DB-IP), asn and as_name or country_code (IPinfo, IPLocate).
func read(r maxminddb.Result) (asn, country string, err error) {
	if !r.Found() {
		return "", "", r.Err()
	}
	var e map[string]any
	if err := r.Decode(&e); err != nil {
		return "", "", err
	}
	return network(e), countryOf(e), nil
}

func network(e map[string]any) string {
	number := text(e, "autonomous_system_number", "asn")
	if number == "" || number == "0" {
		return ""
	}
	if number[0] >= '0' && number[0] <= '9' {
		number = "AS" + number
	}
	return strings.TrimSpace(number + " " + text(e, "autonomous_system_organization", "as_name", "name", "org"))
}

func countryOf(e map[string]any) string {
	for _, key := range [...]string{"country", "registered_country"} {
		switch c := e[key].(type) {
		case map[string]any:
			if code := text(c, "iso_code"); code != "" {
				return code
			}
		case string: // "DE", of files that have the name elsewhere
			if len(c) == 2 {
				return c
			}
		}
	}
	return text(e, "country_code")
}

// text returns the first of some fields that has a value.
func text(e map[string]any, keys ...string) string {
	for _, key := range keys {
		switch v := e[key].(type) {
		case string:
			if v != "" {
				return v
			}
		case uint64:
			return strconv.FormatUint(v, 10)
		}
	}
	return ""
}
