package discovery

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/mcptokens/mcptokens/internal/httpx"
)

const opProtectedResource = "protected resource metadata"

// ProtectedResource fetches the metadata of an MCP server (RFC 9728).
//
// server is the URL that MCP requests go to. metadataURL is the resource_metadata parameter
// of its challenge, empty if there was none. If given, it is the one place to look, and the
// well-known locations are tried only if there is no document; a document that is wrong, or a
// server that fails, is an error. Otherwise the well-known locations are tried in the order
// that MCP prescribes: the one for the server's path, then the one of the host.
//
// metadataURL may be on another host, since RFC 9728 does not forbid it and servers behind
// gateways do it, but not on this machine unless the server is. What protects the caller is
// that the document's resource has to be the server's (see MatchResource).
//
// The error is an *Error: ErrNotFound if the server publishes no metadata, ErrResourceMismatch,
// ErrInsecureURL, ErrMalformed, ErrRedirect, ErrTooLarge, or a failed request.
func (c *Client) ProtectedResource(ctx context.Context, server, metadataURL string) (*ProtectedResource, error) {
	s, err := serverURL(server)
	if err != nil {
		return nil, &Error{Op: opProtectedResource, Err: err}
	}
	var found *ProtectedResource
	accept := func(at string, body []byte) (err error) {
		found, err = parseProtectedResource(body, s)
		if err == nil {
			found.URL = at
		}
		return err
	}

	wellKnown := protectedResourceURLs(s)
	if metadataURL != "" {
		u, err := checkNamed("resource_metadata", metadataURL, s)
		if err != nil {
			return nil, &Error{Op: opProtectedResource, Err: err}
		}
		named := u.String()
		if err = c.firstOf(ctx, opProtectedResource, []string{named}, accept); err == nil {
			return found, nil
		}
		wellKnown = slices.DeleteFunc(wellKnown, func(at string) bool { return at == named })
		if !errors.Is(err, ErrNotFound) || len(wellKnown) == 0 {
			return nil, err
		}
	}
	if err := c.firstOf(ctx, opProtectedResource, wellKnown, accept); err != nil {
		return nil, err
	}
	return found, nil
}

// protectedResourceURLs returns the well-known locations of RFC 9728 section 3.1 for a server,
// the specific one first.
func protectedResourceURLs(server *url.URL) []string {
	root := httpx.Origin(server) + "/.well-known/oauth-protected-resource"
	if path := resourcePath(server); path != "" {
		return []string{root + path, root}
	}
	return []string{root}
}

// parseProtectedResource reads and validates a document for server.
func parseProtectedResource(body []byte, server *url.URL) (*ProtectedResource, error) {
	var doc ProtectedResource
	if err := httpx.DecodeObject(body, &doc); err != nil {
		return nil, err
	}
	if doc.Resource == "" {
		return nil, fmt.Errorf("%w: resource is missing", ErrMalformed)
	}
	if !MatchResource(doc.Resource, server.String()) {
		return nil, fmt.Errorf("%w: the document is for another resource than %s: check the server's URL, or the server's configuration",
			ErrResourceMismatch, httpx.Origin(server)+resourcePath(server))
	}
	for i, issuer := range doc.AuthorizationServers {
		if _, err := checkNamed(fmt.Sprintf("authorization_servers[%d]", i), issuer, server); err != nil {
			return nil, err
		}
	}
	if doc.JWKSURI != "" {
		if _, err := checkNamed("jwks_uri", doc.JWKSURI, server); err != nil {
			return nil, err
		}
	}
	return &doc, nil
}
