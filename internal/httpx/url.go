package httpx

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/mcptokens/mcptokens/internal/errtext"
)

// ErrInsecureURL is what every error of CheckURL is.
var ErrInsecureURL = errtext.New("URL not allowed")

// CheckURL parses an absolute URL that requests may be sent to. It has to be https, or http
// to this machine (OAuth 2.1 section 1.5), with a host and without user information or a
// fragment. The error names field, says what to do and is ErrInsecureURL; of raw it repeats
// at most scheme and host, as the rest may hold secrets.
func CheckURL(field, raw string) (*url.URL, error) {
	refuse := func(reason string) (*url.URL, error) {
		return nil, errtext.Errorf(ErrInsecureURL, "%s %s", field, reason)
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
	case u.Scheme == "http" && !IsLoopback(u.Hostname()):
		return refuse(fmt.Sprintf("is %q, unencrypted: use https (http is for localhost, 127.0.0.0/8 and [::1] only)", Origin(u)))
	case u.Scheme != "https" && u.Scheme != "http":
		return refuse(fmt.Sprintf("has the scheme %q: use https", u.Scheme))
	case u.User != nil:
		return refuse("contains a user name or password: remove it")
	case strings.Contains(raw, "#"):
		return refuse("contains a fragment: remove the # and what follows")
	}
	return u, nil
}

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
