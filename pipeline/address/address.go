// Package address reads the source addresses of audit records, of which most are no addresses at all.
package address

import (
	"net/netip"
	"strings"
)

// Parse returns the address that a record names as its caller's, if it is one that can be new: a public one. Everything else
// is text: names of services, addresses that somebody has masked, and those that say nothing outside a private network.
// A port is left off, and an IPv4 address in IPv6 dress is the IPv4 address.
func Parse(text string) (netip.Addr, bool) {
	text = strings.Trim(text, " \t\r\n")
	if !plausible(text) {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(text) // refuses leading zeros, octets above 255 and masks
	if err != nil {
		withPort, err := netip.ParseAddrPort(text)
		if err != nil {
			return netip.Addr{}, false
		}
		a = withPort.Addr()
	}
	a = a.Unmap()
	return a, a.Zone() == "" && public(a)
}

// plausible tells names from addresses without the cost of an error: most callers that are no address are services.
func plausible(text string) bool {
	const longest = 64 // "[" + 45 bytes of an address + "]:65535", and room
	if len(text) < 2 || len(text) > longest {
		return false
	}
	for i := range len(text) {
		switch c := text[i]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F', c == '.', c == ':', c == '[', c == ']':
		default:
			return false
		}
	}
	return true
}

// reserved are the IPv4 networks that no caller on the Internet has, of the IANA registry of special addresses. Those for
// documentation are not here: samples and tests use them as if they were public.
var reserved = func() (list []netip.Prefix) {
	for _, p := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
		"192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3",
	} {
		list = append(list, netip.MustParsePrefix(p))
	}
	return list
}()

// global is where all public IPv6 addresses are, 2001:db8::/32 for documentation among them.
var global = netip.MustParsePrefix("2000::/3")

func public(a netip.Addr) bool {
	if a.Is6() {
		return global.Contains(a)
	}
	for _, p := range reserved {
		if p.Contains(a) {
			return false
		}
	}
	return true
}
