package httpx

import (
	"net/netip"
	"testing"
)

// Every block of IANA's registries of special-purpose addresses, of multicast and of what was
// one of them, by its first and last address, and what is beside it.
func TestIsPublic(t *testing.T) {
	for _, tt := range []struct {
		block, name string
		public      bool
	}{
		// https://www.iana.org/assignments/iana-ipv4-special-registry
		{"0.0.0.0/8", "this network", false},
		{"0.0.0.0/32", "this host on this network", false},
		{"10.0.0.0/8", "private use", false},
		{"100.64.0.0/10", "shared address space", false},
		{"127.0.0.0/8", "loopback", false},
		{"169.254.0.0/16", "link-local", false},
		{"172.16.0.0/12", "private use", false},
		{"192.0.0.0/24", "IETF protocol assignments", false},
		{"192.0.0.0/29", "IPv4 service continuity", false},
		{"192.0.0.8/32", "IPv4 dummy address", false},
		{"192.0.0.9/32", "port control protocol anycast", false}, // the nearest router: no server of the Internet
		{"192.0.0.10/32", "TURN anycast", false},
		{"192.0.0.170/31", "NAT64 discovery", false},
		{"192.0.2.0/24", "documentation (TEST-NET-1)", false},
		{"192.31.196.0/24", "AS112-v4", true},
		{"192.52.193.0/24", "AMT", true},
		{"192.88.99.0/24", "6to4 relay anycast", false},
		{"192.168.0.0/16", "private use", false},
		{"192.175.48.0/24", "direct delegation AS112", true},
		{"198.18.0.0/15", "benchmarking", false},
		{"198.51.100.0/24", "documentation (TEST-NET-2)", false},
		{"203.0.113.0/24", "documentation (TEST-NET-3)", false},
		{"224.0.0.0/4", "multicast", false},
		{"240.0.0.0/4", "reserved", false},
		{"255.255.255.255/32", "limited broadcast", false},
		// https://www.iana.org/assignments/iana-ipv6-special-registry
		{"::1/128", "loopback", false},
		{"::/128", "unspecified", false},
		{"::ffff:10.0.0.0/104", "IPv4-mapped, private", false},
		{"::ffff:8.8.8.0/120", "IPv4-mapped, public", true},
		{"64:ff9b::10.0.0.0/104", "NAT64, private", false},
		{"64:ff9b::8.8.8.0/120", "NAT64, public", true},
		{"64:ff9b:1::/48", "local NAT64", false},
		{"100::/64", "discard only", false},
		{"100:0:0:1::/64", "dummy prefix", false},
		{"2001::/23", "IETF protocol assignments", false},
		{"2001::/32", "Teredo", false},
		{"2001:0:808:808::/64", "Teredo by a public server", false},
		{"2001:1::1/128", "port control protocol anycast", false},
		{"2001:1::2/128", "TURN anycast", false},
		{"2001:1::3/128", "DNS-SD registration anycast", false},
		{"2001:2::/48", "benchmarking", false},
		{"2001:3::/32", "AMT", false},
		{"2001:4:112::/48", "AS112-v6", false},
		{"2001:10::/28", "ORCHID", false},
		{"2001:20::/28", "ORCHIDv2", false},
		{"2001:30::/28", "drone remote ID", false},
		{"2001:db8::/32", "documentation", false},
		{"2002:a00::/24", "6to4, private", false},
		{"2002:c0a8::/32", "6to4, private", false},
		{"2002:7f00::/24", "6to4, loopback", false},
		{"2002:808:808::/48", "6to4, public", true},
		{"2620:4f:8000::/48", "direct delegation AS112", true},
		{"3fff::/20", "documentation", false},
		{"5f00::/16", "segment routing", false},
		{"fc00::/7", "unique local", false},
		{"fe80::/10", "link-local", false},
		{"fec0::/10", "site-local", false},
		{"ff00::/8", "multicast", false},
		// What only carries an IPv4 address, RFC 4291 section 2.5.5.1, RFC 2765 and RFC 5214.
		{"::8.8.8.0/120", "IPv4-compatible", false},
		{"::10.0.0.0/104", "IPv4-compatible, private", false},
		{"::ffff:0:10.0.0.0/104", "IPv4-translated (SIIT), private", false},
		{"::ffff:0:127.0.0.0/104", "IPv4-translated (SIIT), loopback", false},
		{"2606:4700::5efe:10.0.0.0/104", "ISATAP, private", false},
		{"2606:4700::200:5efe:10.0.0.0/104", "ISATAP, private", false},
		{"2606:4700::200:5efe:8.8.8.0/120", "ISATAP, public", true},
		// The rest of the Internet.
		{"1.1.1.1/32", "a server", true},
		{"9.255.255.255/32", "before private use", true},
		{"11.0.0.0/32", "after private use", true},
		{"100.63.255.255/32", "before shared address space", true},
		{"100.128.0.0/32", "after shared address space", true},
		{"172.15.255.255/32", "before private use", true},
		{"172.32.0.0/32", "after private use", true},
		{"192.0.1.0/24", "after protocol assignments", true},
		{"198.17.255.255/32", "before benchmarking", true},
		{"198.20.0.0/32", "after benchmarking", true},
		{"223.255.255.255/32", "before multicast", true},
		{"2001:200::/23", "after protocol assignments", true},
		{"2606:4700::1111/128", "a server", true},
		{"2a00:1450:4001::/48", "a network", true},
		{"1fff::/16", "before global unicast", false},
		{"4000::/3", "after global unicast", false},
	} {
		p := netip.MustParsePrefix(tt.block)
		for _, addr := range []netip.Addr{p.Masked().Addr(), last(p)} {
			if got := isPublic(addr); got != tt.public {
				t.Errorf("isPublic(%s) = %v, want %v: %s", addr, got, tt.public, tt.name)
			}
		}
	}
	for _, scoped := range []string{"fe80::1%eth0", "fd00::1%eth0"} {
		if isPublic(netip.MustParseAddr(scoped)) {
			t.Errorf("isPublic(%s) = true", scoped)
		}
	}
}

// last returns the last address of a block.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < 8*len(b); bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	addr, _ := netip.AddrFromSlice(b)
	return addr
}

func TestIsLocalName(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST": true, "localhost.": true, "app.localhost": true, "127.0.0.1": true, "127.1": true,
		"2130706433": true, "0x7f000001": true, "0x7f.1": true, "017700000001": true, "::1": true, "::ffff:127.0.0.1": true,
		"0.0.0.0": true, "::": true, "169.254.169.254": true, "fe80::1": true, "fe80::1%eth0": true, "ff02::1": true,
		"": false, "example.com": false, "localhost.example.com": false, "10.0.0.1": false, "8.8.8.8": false,
		"1.example.com": false, "fd00::1": false, "notlocalhost": false,
	} {
		if got := IsLocalName(host); got != want {
			t.Errorf("IsLocalName(%q) = %v, want %v", host, got, want)
		}
	}
}
