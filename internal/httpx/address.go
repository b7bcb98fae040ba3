package httpx

import "net/netip"

// IPv6 addresses of the Internet are global unicast (RFC 4291 section 2.4), which IANA gives
// out from this block only. All that is outside of it is for something else: this machine and
// link, unique local (RFC 4193), site-local (RFC 3879), multicast, discard (RFC 6666), segment
// routing (RFC 9602), local NAT64 (RFC 8215), and the forms that only carry an IPv4 address:
// mapped, IPv4-compatible and IPv4-translated (RFC 4291 section 2.5.5, RFC 2765 section 2.1).
var globalUnicast = netip.MustParsePrefix("2000::/3")

// special are the networks within the unicast space that are not of the Internet, by IANA's
// registries of special-purpose addresses (RFC 6890). Those of IPv4 that netip knows itself
// (RFC 1918, loopback, link-local, multicast) are not repeated.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // "this network", RFC 791
	netip.MustParsePrefix("100.64.0.0/10"),   // behind a carrier's address translation, RFC 6598
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments, RFC 6890
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation, RFC 5737
	netip.MustParsePrefix("192.88.99.0/24"),  // 6to4 relays, RFC 7526
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarking, RFC 2544
	netip.MustParsePrefix("198.51.100.0/24"), // documentation, RFC 5737
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation, RFC 5737
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, RFC 1112
	netip.MustParsePrefix("2001::/23"),       // protocol assignments, Teredo and benchmarking among them, RFC 2928
	netip.MustParsePrefix("2001:db8::/32"),   // documentation, RFC 3849
	netip.MustParsePrefix("3fff::/20"),       // documentation, RFC 9637
}

// Networks with an IPv4 address within: NAT64 (RFC 6052) and 6to4 (RFC 3056).
var (
	nat64  = netip.MustParsePrefix("64:ff9b::/96")
	sixto4 = netip.MustParsePrefix("2002::/16")
)

// isPublic reports whether addr is one that everybody reaches. An IPv6 address that leads to an
// IPv4 address is as public as that is.
func isPublic(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	if !addr.IsGlobalUnicast() || addr.IsPrivate() {
		return false
	}
	b := addr.As16()
	if nat64.Contains(addr) {
		return isPublic(netip.AddrFrom4([4]byte(b[12:])))
	}
	if addr.Is6() && !globalUnicast.Contains(addr) {
		return false
	}
	for _, p := range special {
		if p.Contains(addr) {
			return false
		}
	}
	switch {
	case sixto4.Contains(addr):
		return isPublic(netip.AddrFrom4([4]byte(b[2:6])))
	case addr.Is6() && b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe: // ISATAP, RFC 5214 section 6.1
		return isPublic(netip.AddrFrom4([4]byte(b[12:])))
	}
	return true
}
