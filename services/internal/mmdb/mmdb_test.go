package mmdb

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/trailvane/trailvane/services/internal/mmdb/mmdbtest"
)

func str(s string) mmdbtype.String { return mmdbtype.String(s) }

func TestResolve(t *testing.T) {
	asn := mmdbtest.Write(t, "Example-ASN", map[string]mmdbtype.Map{
		"203.0.113.0/24": {"autonomous_system_number": mmdbtype.Uint32(64500), "autonomous_system_organization": str("Example Net")},
		"2001:db8::/32":  {"autonomous_system_number": mmdbtype.Uint32(64501)},
		"192.0.2.0/24":   {"asn": str("AS64502"), "as_name": str("Other Net")},
	})
	country := mmdbtest.Write(t, "Example-Country", map[string]mmdbtype.Map{
		"203.0.113.0/24":  {"country": mmdbtype.Map{"iso_code": str("DE"), "names": mmdbtype.Map{"en": str("Germany")}}},
		"2001:db8::/32":   {"registered_country": mmdbtype.Map{"iso_code": str("FR")}},
		"192.0.2.0/24":    {"country_code": str("NL")},
		"198.51.100.0/24": {"country": str("SE")},
	})
	both := mmdbtest.Write(t, "Example-Both", map[string]mmdbtype.Map{
		"203.0.113.0/24": {"asn": str("64510"), "name": str("Net"), "country": str("XX")},
	})
	d, err := Open(asn, country, both)
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string][2]string{
		"203.0.113.9": {"AS64500 Example Net", "DE"}, "2001:db8::1": {"AS64501", "FR"}, "192.0.2.1": {"AS64502 Other Net", "NL"},
		"198.51.100.1": {"", "SE"}, "8.8.8.8": {"", ""}, "2a00::1": {"", ""},
	} {
		if n, c := d.Resolve(netip.MustParseAddr(address)); n != want[0] || c != want[1] {
			t.Errorf("%s is of %q, %q, want %q", address, n, c, want)
		}
	}
	one, err := Open(both)
	if err != nil {
		t.Fatal(err)
	}
	if n, c := one.Resolve(netip.MustParseAddr("203.0.113.9")); n != "AS64510 Net" || c != "XX" {
		t.Errorf("of one file for both: %q, %q", n, c)
	}
	if want := "Example-Both 2026-03-01 00:00:00"; one.Version() != want {
		t.Errorf("version %q, want %q", one.Version(), want)
	}
}

// What cannot be used is refused, by name.
func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.mmdb")
	good, err := os.ReadFile(mmdbtest.Write(t, "Example-ASN", map[string]mmdbtype.Map{"203.0.113.0/24": {"asn": str("AS1")}}))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(broken, good[:len(good)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	useless := mmdbtest.Write(t, "Example-Anonymous", map[string]mmdbtype.Map{"203.0.113.0/24": {"is_vpn": mmdbtype.Bool(true)}})
	for file, want := range map[string]string{
		filepath.Join(dir, "missing.mmdb"): "missing.mmdb", broken: "MaxMind DB format", useless: "neither networks",
	} {
		if _, err := Open(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", filepath.Base(file), err, want)
		}
	}
}
