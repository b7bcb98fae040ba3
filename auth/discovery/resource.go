package discovery

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/mcptokens/mcptokens/internal/httpx"
)

// ResourceURL returns the canonical URI of an MCP server (MCP 2026-07-28, "Canonical Server
// URI"), which goes into the resource parameter of RFC 8707: scheme and host in lower case,
// no default port, no query, no fragment, and no slash after a bare host. The path stays as
// it is, with a trailing slash if it has one, since servers tell those apart.
//
// The server has to be https or on this machine (see Client.ResourceURL for others), and its URL without user information and
// without "." or ".." as a path segment; otherwise the error is ErrInsecureURL.
func ResourceURL(server string) (string, error) { return new(Client).ResourceURL(server) }

// ResourceURL is the function of that name, with the exceptions of c.Network.
func (c *Client) ResourceURL(server string) (string, error) {
	u, err := c.serverURL(server)
	if err != nil {
		return "", err
	}
	return httpx.Origin(u) + resourcePath(u), nil
}

// MatchResource reports whether a document for resource may be used for server, both URLs.
//
// RFC 9728 section 3.3 wants the two to be identical. Widely used servers state their origin
// instead, so this accepts what the official MCP SDKs do: the same origin, and a path that is
// the server's or contains it at a segment boundary. "https://h" and "https://h/mcp" speak
// for "https://h/mcp"; "https://h/mc", "https://h/mcp/x" and any other host, port or scheme
// do not. A resource with a query matches only if the server has the same path and query.
func MatchResource(resource, server string) bool { return new(Client).matchResource(resource, server) }

func (c *Client) matchResource(resource, server string) bool {
	r, err := httpx.CheckURLIn(c.Network, "resource", resource)
	if err != nil {
		return false
	}
	s, err := httpx.CheckURLIn(c.Network, "server", withoutFragment(server))
	if err != nil {
		return false
	}
	if !httpx.SameOrigin(r, s) || httpx.HasDotSegment(r.Path) || httpx.HasDotSegment(s.Path) {
		return false
	}
	if r.RawQuery != "" {
		return resourcePath(r) == resourcePath(s) && r.RawQuery == s.RawQuery
	}
	parent := strings.TrimSuffix(r.EscapedPath(), "/")
	path := s.EscapedPath()
	return path == parent || strings.HasPrefix(path, parent+"/")
}

// sameResource reports whether resource, which matches server, is the server itself and not a
// parent. A slash at the end makes no difference.
func sameResource(resource string, server *url.URL) bool {
	r, err := url.Parse(resource)
	return err == nil && strings.TrimSuffix(r.EscapedPath(), "/") == strings.TrimSuffix(server.EscapedPath(), "/")
}

// serverURL parses the URL of an MCP server, without the fragment, which never reaches it.
func (c *Client) serverURL(server string) (*url.URL, error) {
	u, err := httpx.CheckURLIn(c.Network, "the MCP server's URL", withoutFragment(server))
	if err != nil {
		return nil, err
	}
	if httpx.HasDotSegment(u.Path) {
		return nil, fmt.Errorf(`%w: the MCP server's URL has "." or ".." as a path segment: write the path without`, ErrInsecureURL)
	}
	return u, nil
}

func withoutFragment(raw string) string {
	before, _, _ := strings.Cut(raw, "#")
	return before
}

// resourcePath returns the path of u, which for a bare host is "", not "/".
func resourcePath(u *url.URL) string {
	if u.Path == "/" {
		return ""
	}
	return u.EscapedPath()
}
