package httpx

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/mcptokens/mcptokens/internal/errtext"
	"github.com/mcptokens/mcptokens/internal/shown"
)

// ErrInsecureURL is what every error of CheckURL is.
var ErrInsecureURL = errtext.New("URL not allowed")

// CheckURL parses an absolute URL that requests may be sent to. It has to be https, or http
// to this machine (OAuth 2.1 section 1.5), with a host and without user information or a
// fragment. The error names field, says what to do and is ErrInsecureURL; of raw it repeats
// at most scheme and host, as the rest may hold secrets.
func CheckURL(field, raw string) (*url.URL, error) { return CheckURLIn(nil, field, raw) }

// CheckURLIn is CheckURL with the exceptions of n: http is also for its hosts, and the error says
// where to name one. A nil n has no exceptions and cannot be given any, as for the program's own
// redirect URIs.
func CheckURLIn(n Network, field, raw string) (*url.URL, error) {
	refuse := func(reason string, args ...any) (*url.URL, error) {
		return nil, errtext.Errorf(ErrInsecureURL, field+" "+reason, args...)
	}
	if raw == "" {
		return refuse("is empty: set an absolute https URL")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return refuse("is not a URL: set an absolute https URL")
	}
	// url.Parse has made the scheme lower case.
	switch {
	case u.Scheme == "" || u.Opaque != "" || u.Hostname() == "":
		return refuse("is not absolute: set scheme and host, as in https://example.com/path")
	case (u.Scheme == "https" || u.Scheme == "http") && !isHost(u):
		return refuse("has a host that is neither a name in ASCII (letters, digits, hyphens, dots) nor an IP address: write an international name in its xn-- form")
	case !shown.Visible(raw):
		return refuse("has characters that cannot be seen: percent-encode them")
	case u.Scheme == "http" && !IsLoopback(u.Hostname()) && n == nil:
		return refuse("is %q, unencrypted: use https (http is for localhost, 127.0.0.0/8 and [::1] only)", Origin(u))
	case u.Scheme == "http" && !IsLoopback(u.Hostname()) && !n.PlainHTTP(u):
		return refuse("is %q, unencrypted: use https, or set Config.Network.PlainHTTP to include %s", Origin(u), shownHost(u.Host))
	case u.Scheme != "https" && u.Scheme != "http":
		return refuse("has the scheme %q: use https", u.Scheme)
	case u.User != nil:
		return refuse("contains a user name or password: remove it")
	case strings.Contains(raw, "#"):
		return refuse("contains a fragment: remove the # and what follows")
	}
	return u, nil
}

// isHost reports whether u's host is a host name or an IP address, and its port a number (RFC 3986
// section 3.2). url.Parse takes nearly any character there, also as %2f; browsers, resolvers and
// the programs that open a URL differ in what they make of those.
func isHost(u *url.URL) bool {
	if port := u.Port(); port != "" {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return false
		}
	}
	name := u.Hostname()
	if strings.Contains(name, ":") || strings.HasPrefix(u.Host, "[") {
		address, zone, _ := strings.Cut(name, "%")
		addr, err := netip.ParseAddr(address)
		return err == nil && addr.Is6() && (zone == "" || isHostName(canonicalHost(zone)))
	}
	return isHostName(canonicalHost(name))
}

// ShownURL is a URL as it may be shown: scheme, host and path, cleaned and bounded. Its user, query
// and fragment may hold secrets. It is empty if raw is not an absolute URL.
func ShownURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return ""
	}
	return shown.Text(Origin(u) + u.EscapedPath())
}

// ShownIssuer is ShownURL for an issuer, which is compared to the letter and copied into a
// configuration: in its own spelling, such as "/{tenantid}/" or ":443", where that is harmless.
func ShownIssuer(raw string) string {
	u, err := url.Parse(raw)
	odd := func(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune("\"'`\\?#<>", c) }
	if err != nil || u.Host == "" || u.User != nil || strings.ContainsFunc(raw, odd) {
		return ShownURL(raw)
	}
	return shown.Text(raw)
}

// InMemory is the address of servers that package authtest keeps in memory. It is one of
// this machine's (RFC 1122 section 3.2.1.3) that nothing else is likely to use.
const InMemory = "127.65.84.1"

// IsInMemory reports whether a URL leads to such a server.
func IsInMemory(raw string) bool { return strings.HasPrefix(raw, "http://"+InMemory+":") }

// IsLoopback reports whether host, without port or brackets, is this machine: localhost,
// 127.0.0.0/8 or ::1. Names below .localhost are not: RFC 6761 section 6.3 gives them to
// loopback, but resolvers that ask the network for them are common.
func IsLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// IsLocalName reports whether host, without port or brackets, is this machine or its link
// without anybody having to be asked: what IsLoopback says, names below .localhost, the
// unspecified, link-local and multicast addresses, and the spellings of an address that only
// some resolvers take, such as 127.1 and 0x7f000001. It is for refusing, IsLoopback for
// allowing.
func IsLocalName(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if addr, err := netip.ParseAddr(host); err == nil {
		addr = addr.Unmap()
		return addr.IsLoopback() || addr.IsUnspecified() || addr.IsLinkLocalUnicast() || addr.IsMulticast()
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	// No top-level domain begins with a digit (RFC 3696 section 2).
	return last == "localhost" || last != "" && '0' <= last[0] && last[0] <= '9'
}

// SameOrigin reports whether a and b have the same scheme, host and port (RFC 6454 section
// 5). Case is ignored and a default port may be left out.
func SameOrigin(a, b *url.URL) bool {
	return Origin(a) == Origin(b)
}

// Origin returns the origin of u in its canonical form: scheme and host in lower case, no
// default port, no path.
func Origin(u *url.URL) string {
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Hostname())
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	switch port := u.Port(); {
	case port == "", scheme == "https" && port == "443", scheme == "http" && port == "80":
		return scheme + "://" + host
	default:
		return scheme + "://" + host + ":" + port
	}
}

// HasDotSegment reports whether a decoded path contains "." or ".." as a segment. Such a path
// names another resource once somebody resolves it, so paths that are compared or extended
// must not have one.
func HasDotSegment(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}
