package normalize_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/trailvane/trailvane/pipeline/normalize"
)

// atlas is a resolver that remembers what it was asked.
type atlas struct {
	version string
	asked   []string
}

func (a *atlas) Version() string { return a.version }

func (a *atlas) Resolve(ip netip.Addr) (asn, country string) {
	a.asked = append(a.asked, ip.String())
	switch ip.String() {
	case "198.51.100.7":
		return "AS64500 Example Net", "DE"
	case "203.0.113.1":
		return "AS64501 " + strings.Repeat("ü", 100), ""
	}
	return "", ""
}

func located(a *atlas) *normalize.Processor {
	return normalize.New(normalize.Config{Lane: 2, Partitions: 1, Decoders: decoders(), Resolver: a})
}

// Rows have the network and the country of their address, in the sorted dictionary like all words. An address is asked for once in a chunk;
// what is no public address never.
func TestPlaces(t *testing.T) {
	a := &atlas{version: "1"}
	body := chunk("", record(), record("eventName", `"A"`), record("sourceIPAddress", `"203.0.113.1"`),
		record("sourceIPAddress", `"192.0.2.1"`), record("sourceIPAddress", `"10.0.0.1"`), record("sourceIPAddress", `"AWS Internal"`))
	section := apply(t, located(a), raw, body)[0].batch.Sections[0]
	if !slices.IsSorted(section.Strings) {
		t.Errorf("dictionary %q is not sorted", section.Strings)
	}
	var got []string
	for _, r := range section.Rows {
		asn := section.Strings[r.ASN]
		if len(asn) > 64 {
			t.Errorf("a network of %d bytes", len(asn))
		}
		got = append(got, fmt.Sprintf("%s %.10s %s", section.Strings[r.SourceIP], asn, section.Strings[r.Country]))
	}
	want := []string{
		"198.51.100.7 AS64500 Ex DE", "198.51.100.7 AS64500 Ex DE", "203.0.113.1 AS64501 üü ", "192.0.2.1  ", "10.0.0.1  ", "AWS Internal  ",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"198.51.100.7", "203.0.113.1", "192.0.2.1"}, a.asked); d != "" {
		t.Errorf("asked (-want +got):\n%s", d)
	}
}

// A database that was replaced is used from the next start on, and the state tells which there were.
func TestReplacedDatabase(t *testing.T) {
	p := processor(1)
	apply(t, p, raw, chunk("", record()))
	for _, version := range []string{"GeoLite2-ASN 2026-03-01", "GeoLite2-ASN 2026-03-08", "GeoLite2-ASN 2026-03-08"} {
		next := located(&atlas{version: version})
		if err := p.Snapshot(func(key string, state []byte) {
			if err := next.Restore(key, state); err != nil {
				t.Fatal(err)
			}
		}); err != nil {
			t.Fatal(err)
		}
		p = next
		apply(t, p, raw, chunk("", record()))
		apply(t, p, raw, chunk("", record()))
	}
	if d := cmp.Diff([]string{"GeoLite2-ASN 2026-03-01", "GeoLite2-ASN 2026-03-08"}, p.Stats().Databases); d != "" {
		t.Errorf("databases (-want +got):\n%s", d)
	}
	for i := range 100 {
		apply(t, p, raw, chunk("", record()))
		next := located(&atlas{version: fmt.Sprint(i)})
		if err := p.Snapshot(func(key string, state []byte) { _ = next.Restore(key, state) }); err != nil {
			t.Fatal(err)
		}
		p = next
	}
	if n := len(p.Stats().Databases); n > 52 {
		t.Errorf("%d databases are remembered", n)
	}
}
