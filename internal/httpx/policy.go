package httpx

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/mcptokens/mcptokens/internal/errtext"
	"github.com/mcptokens/mcptokens/internal/shown"
)

// Network says which hosts are excepted from the rules for URLs and addresses.
type Network interface {
	// PlainHTTP reports whether u's host may be spoken to without TLS.
	PlainHTTP(u *url.URL) bool
	// Private reports whether u's host may be reached although it is not on the Internet.
	Private(u *url.URL) bool
}

// Anywhere has no rules for hosts: it is for checking the rest of a URL before the program's
// exceptions are known.
type Anywhere struct{}

// PlainHTTP implements [Network].
func (Anywhere) PlainHTTP(*url.URL) bool { return true }

// Private implements [Network].
func (Anywhere) Private(*url.URL) bool { return true }

// Policy is what the program allows. Nil allows nothing beyond the rules.
type Policy struct {
	private, plain Hosts
	anyAddress     bool
}

// NewPolicy returns the policy with these exceptions; nil if there are none. anyAddress
// turns the guard off, see [Home].
func NewPolicy(private, plain Hosts, anyAddress bool) *Policy {
	if len(private) == 0 && len(plain) == 0 && !anyAddress {
		return nil
	}
	return &Policy{private: private, plain: plain, anyAddress: anyAddress}
}

// PlainHTTP implements [Network].
func (p *Policy) PlainHTTP(u *url.URL) bool {
	return p != nil && p.plain.contain(u.Hostname(), port(u))
}

// Private implements [Network]. A host that may be spoken to in plain HTTP is one: nobody
// does that over the Internet.
func (p *Policy) Private(u *url.URL) bool {
	return p != nil && (p.anyAddress || p.reaches(u.Hostname(), port(u)))
}

// reaches reports whether the program named this host, or a network with this address.
func (p *Policy) reaches(host, port string) bool {
	return p != nil && (p.private.contain(host, port) || p.plain.contain(host, port))
}

// mayDial reports whether a host's address may be connected to, whatever led to it.
func (p *Policy) mayDial(addr netip.Addr, port string) bool {
	return isPublic(addr) || p != nil && p.private.containAddr(addr, port)
}

// port is the port of a URL, also if it is the scheme's.
func port(u *url.URL) string {
	switch p := u.Port(); {
	case p != "":
		return p
	case strings.EqualFold(u.Scheme, "http"):
		return "80"
	default:
		return "443"
	}
}

// Hosts are hosts and networks that a program named.
type Hosts []host

// host is a name, all names below one, or a network; with a port if only that is meant.
type host struct {
	name   string // in lower case; empty: prefix counts
	below  bool   // the names below it, not itself
	prefix netip.Prefix
	port   string
}

// ParseHosts reads a list of host names ("mcp"), names below a domain ("*.corp.example"), IP
// addresses ("10.0.0.5", "fd00::5") and networks ("10.0.0.0/8"). All but networks may have a
// port ("mcp:8000", "[fd00::5]:8000"). The error names the entry by its index and says what
// to write.
func ParseHosts(list []string) (Hosts, error) {
	var hosts Hosts
	for i, entry := range list {
		h, err := parseHost(entry)
		if err != nil {
			return nil, fmt.Errorf("entry %d, %s, %w", i, strconv.QuoteToASCII(entry), err)
		}
		hosts = append(hosts, h)
	}
	return hosts, nil
}

var errNoHost = errors.New(`is no host: write a name such as "mcp" or "*.corp.example", an address such as "10.0.0.5", either with a port if only that is meant, or a network such as "10.0.0.0/8"`)

func parseHost(entry string) (host, error) {
	if strings.Contains(entry, "://") {
		return host{}, errors.New(`is a URL: write the host alone, with its port if only that is meant, such as "mcp:8000"`)
	}
	if strings.Contains(entry, "/") {
		prefix, err := netip.ParsePrefix(entry)
		if err != nil {
			return host{}, errNoHost
		}
		return host{prefix: prefix.Masked()}, nil
	}
	name, port := entry, ""
	bare := entry
	if strings.HasPrefix(entry, "[") && strings.HasSuffix(entry, "]") {
		bare = entry[1 : len(entry)-1]
	}
	if addr, err := netip.ParseAddr(bare); err == nil {
		return ofAddr(addr, ""), nil
	}
	if strings.Contains(entry, ":") {
		var err error
		if name, port, err = net.SplitHostPort(entry); err != nil {
			return host{}, errNoHost
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return host{}, errors.New("has a port that is no number from 1 to 65535")
		}
		if addr, err := netip.ParseAddr(name); err == nil {
			return ofAddr(addr, port), nil
		}
	}
	name, below := strings.CutPrefix(canonicalHost(name), "*.")
	if !isHostName(name) {
		return host{}, errNoHost
	}
	return host{name: name, below: below, port: port}, nil
}

func ofAddr(addr netip.Addr, port string) host {
	addr = addr.Unmap().WithZone("")
	return host{prefix: netip.PrefixFrom(addr, addr.BitLen()), port: port}
}

func isHostName(name string) bool {
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.' {
			return false
		}
	}
	return name != "" && len(name) <= 253 && !strings.HasPrefix(name, ".")
}

func canonicalHost(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// contain reports whether a host, without brackets, is one of h at this port.
func (h Hosts) contain(name, port string) bool {
	if addr, err := netip.ParseAddr(name); err == nil {
		return h.containAddr(addr, port)
	}
	name = canonicalHost(name)
	for _, e := range h {
		if e.name != "" && (e.port == "" || e.port == port) &&
			(!e.below && name == e.name || e.below && strings.HasSuffix(name, "."+e.name)) {
			return true
		}
	}
	return false
}

func (h Hosts) containAddr(addr netip.Addr, port string) bool {
	addr = addr.Unmap().WithZone("")
	for _, e := range h {
		if e.name == "" && (e.port == "" || e.port == port) && e.prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// shownHost is host as an error may quote it; a server may have chosen it.
func shownHost(host string) string { return strconv.QuoteToASCII(shown.Text(host)) }

// refused is the error for a host that is not on the Internet.
func refused(host, what string) error {
	return errtext.Errorf(ErrPrivateAddress, "the MCP server leads to %s, %s, and is not there itself; if that is right, set Config.Network.Private to include %s",
		shownHost(host), what, shownHost(host))
}
