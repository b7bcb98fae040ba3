package discovery

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/mcptokens/mcptokens/internal/httpx"
)

const (
	opAuthorizationServer = "authorization server metadata"

	wellKnownOAuth  = "/.well-known/oauth-authorization-server"
	wellKnownOpenID = "/.well-known/openid-configuration"
)

// AuthorizationServer fetches the metadata of an authorization server. issuer is its issuer
// identifier, exactly as ProtectedResource.AuthorizationServers or the configuration has it.
//
// The locations are those of MCP 2026-07-28, "Authorization Server Metadata Discovery", in its
// order: OAuth before OpenID Connect, path insertion before appending, and never the root for
// an issuer with a path. A location that has no document or fails is passed over; if none has
// one, a temporary failure is reported rather than ErrNotFound.
//
// A document whose issuer is not the same string ends the search with ErrIssuerMismatch
// (RFC 8414 section 3.3): case, a slash at the end and a default port all matter.
//
// The error is an *Error: ErrNotFound, ErrIssuerMismatch, ErrInsecureURL for an endpoint that
// is not https, ErrMalformed, ErrRedirect, ErrTooLarge, or a failed request.
func (c *Client) AuthorizationServer(ctx context.Context, issuer string) (*AuthorizationServer, error) {
	u, err := checkIssuer(issuer)
	if err != nil {
		return nil, &Error{Op: opAuthorizationServer, Err: err}
	}
	return c.authorizationServer(ctx, u, authorizationServerURLs(u), issuer)
}

func (c *Client) authorizationServer(ctx context.Context, base *url.URL, urls []string, issuers ...string) (*AuthorizationServer, error) {
	var found *AuthorizationServer
	err := c.firstOf(ctx, opAuthorizationServer, urls, func(_ string, body []byte) (err error) {
		found, err = parseAuthorizationServer(body, base, issuers...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// checkIssuer parses an issuer identifier: a URL without query and fragment (RFC 8414 section
// 2), on top of what every URL has to be.
func checkIssuer(issuer string) (*url.URL, error) {
	u, err := httpx.CheckURL("issuer", issuer)
	switch {
	case err != nil:
		return nil, err
	case u.RawQuery != "" || u.ForceQuery:
		return nil, fmt.Errorf("%w: issuer contains a query: remove the ? and what follows", ErrInsecureURL)
	case httpx.HasDotSegment(u.Path):
		return nil, fmt.Errorf(`%w: issuer contains "." or ".." as a path segment: write the path without`, ErrInsecureURL)
	}
	return u, nil
}

// authorizationServerURLs returns the well-known locations for an issuer. A slash at its end
// is dropped before its path is used (RFC 8414 section 3.1, OpenID Connect Discovery 1.0
// section 4.1).
func authorizationServerURLs(issuer *url.URL) []string {
	origin := httpx.Origin(issuer)
	path := strings.TrimSuffix(issuer.EscapedPath(), "/")
	if path == "" {
		return []string{origin + wellKnownOAuth, origin + wellKnownOpenID}
	}
	return []string{
		origin + wellKnownOAuth + path,
		origin + wellKnownOpenID + path,
		origin + path + wellKnownOpenID,
	}
}

// parseAuthorizationServer reads and validates a document, whose issuer has to be one of
// issuers and whose URLs are judged as named by base.
func parseAuthorizationServer(body []byte, base *url.URL, issuers ...string) (*AuthorizationServer, error) {
	var doc AuthorizationServer
	if err := httpx.DecodeObject(body, &doc); err != nil {
		return nil, err
	}
	switch {
	case doc.Issuer == "":
		return nil, fmt.Errorf("%w: issuer is missing", ErrMalformed)
	case !slices.Contains(issuers, doc.Issuer):
		return nil, fmt.Errorf("%w: the document is not for %q: its issuer has to be the same string", ErrIssuerMismatch, issuers[0])
	case doc.TokenEndpoint == "":
		return nil, fmt.Errorf("%w: token_endpoint is missing", ErrMalformed)
	}
	for _, endpoint := range []struct{ field, url string }{
		{"authorization_endpoint", doc.AuthorizationEndpoint},
		{"token_endpoint", doc.TokenEndpoint},
		{"registration_endpoint", doc.RegistrationEndpoint},
		{"revocation_endpoint", doc.RevocationEndpoint},
		{"introspection_endpoint", doc.IntrospectionEndpoint},
		{"device_authorization_endpoint", doc.DeviceAuthorizationEndpoint},
		{"jwks_uri", doc.JWKSURI},
	} {
		if endpoint.url == "" {
			continue
		}
		if _, err := checkNamed(endpoint.field, endpoint.url, base); err != nil {
			return nil, err
		}
	}
	return &doc, nil
}
