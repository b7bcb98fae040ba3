package discovery

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/mcptokens/mcptokens/auth/internal/wire"
	"github.com/mcptokens/mcptokens/internal/errtext"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

const (
	opAuthorizationServer = "authorization server metadata"

	wellKnownOAuth  = "/.well-known/oauth-authorization-server"
	wellKnownOpenID = "/.well-known/openid-configuration"
)

// AuthorizationServer fetches the metadata of an authorization server. issuer is its issuer
// identifier as ProtectedResource.AuthorizationServers or the configuration has it.
//
// The locations are those of MCP 2026-07-28, "Authorization Server Metadata Discovery", in its
// order: OAuth before OpenID Connect, path insertion before appending, and never the root for
// an issuer with a path. A location that has no document or fails is passed over; if none has
// one, a temporary failure is reported rather than ErrNotFound.
//
// All of them are one source. If the first document lacks S256, the authorization endpoint or
// the registration endpoint (which nobody misses where client ID metadata documents are
// supported), the other locations are asked too, and what is missing is taken from documents
// with the same issuer.
//
// The document's issuer has to be issuer, to the letter (RFC 8414 section 3.3), except for
// one slash at the end (see SameIssuer); the result has the document's spelling, which is the one
// to store and to compare iss with. Any other issuer ends the search with ErrIssuerMismatch.
//
// The error is an *Error: ErrNotFound, ErrIssuerMismatch, ErrInsecureURL for a token endpoint
// that may not be requested, ErrMalformed, ErrRedirect, ErrTooLarge, or a failed request.
func (c *Client) AuthorizationServer(ctx context.Context, issuer string) (*AuthorizationServer, error) {
	u, err := c.checkIssuer(issuer)
	if err != nil {
		return nil, &Error{Op: opAuthorizationServer, Err: err}
	}
	return c.authorizationServer(ctx, u, authorizationServerURLs(u), issuer)
}

// AuthorizationServerAt is AuthorizationServer for a server that calls itself issuer, while its
// documents are at the well-known locations of the URL at, as where a resource lists
// "https://as.example/tenant" and the document says "https://as.example". The program has to have
// named issuer, and at has to be of the same origin: the check of RFC 8414 section 3.3 is what
// keeps one server from speaking for another.
//
// The error is an *Error as for AuthorizationServer; ErrIssuerMismatch if the origins differ.
func (c *Client) AuthorizationServerAt(ctx context.Context, at, issuer string) (*AuthorizationServer, error) {
	named, err := c.checkIssuer(issuer)
	if err != nil {
		return nil, &Error{Op: opAuthorizationServer, Err: err}
	}
	base, err := c.checkIssuer(at)
	if err == nil && !httpx.SameOrigin(named, base) {
		err = errtext.Errorf(ErrIssuerMismatch, `documents at "%s" cannot be for issuer "%s", which is of another origin`, httpx.ShownURL(at), httpx.ShownIssuer(issuer))
	}
	if err != nil {
		return nil, &Error{Op: opAuthorizationServer, Err: err}
	}
	return c.authorizationServer(ctx, base, authorizationServerURLs(base), issuer)
}

// authorizationServer looks at the locations of issuer, whose documents are judged as named by
// base.
func (c *Client) authorizationServer(ctx context.Context, base *url.URL, urls []string, issuer string) (*AuthorizationServer, error) {
	var found *AuthorizationServer
	accept := func(_ string, body []byte) (err error) {
		found, err = c.parseAuthorizationServer(body, base, issuer)
		return err
	}
	n, err := c.firstOf(ctx, opAuthorizationServer, places(urls), accept)
	if err != nil {
		return nil, err
	}
	server := found
	for _, at := range urls[n:] {
		if server.complete() {
			break
		}
		// Whatever is wrong with this one, the first document stands.
		if c.get(ctx, opAuthorizationServer, at, accept) == nil && found.Issuer == server.Issuer {
			server.complement(found)
		}
	}
	return server, nil
}

// SameIssuer reports whether two spellings name the same issuer: they are the same string,
// except for one slash at the end of one of them. Both lead to the same metadata (RFC 8414 section
// 3.1), and widely used servers list the one and are the other (Google: github/copilot-cli#4606;
// JumpCloud: anomalyco/opencode#50036). Host, port, path, scheme and case all matter. It is not
// inlined: many ask.
//
//go:noinline
func SameIssuer(a, b string) bool {
	return a == b || a != "" && b != "" && (slashMore(a, b) || slashMore(b, a))
}

func slashMore(a, b string) bool {
	return len(a) == len(b)+1 && a[len(b)] == '/' && a[:len(b)] == b
}

// Lists reports whether one of the issuers listed is issuer, by SameIssuer.
func Lists(listed []string, issuer string) bool {
	return slices.ContainsFunc(listed, func(l string) bool { return SameIssuer(l, issuer) })
}

// checkIssuer parses an issuer identifier: a URL without query and fragment (RFC 8414 section
// 2), on top of what every URL has to be.
func (c *Client) checkIssuer(issuer string) (*url.URL, error) {
	u, err := httpx.CheckURLIn(c.Network, "issuer", issuer)
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

// The members of an authorization server's metadata that decide where secrets go and how a
// login is protected.
var serverMembers = []string{
	"issuer", "authorization_endpoint", "token_endpoint", "registration_endpoint", "revocation_endpoint",
	"device_authorization_endpoint", "pushed_authorization_request_endpoint", "require_pushed_authorization_requests",
	"code_challenge_methods_supported", "token_endpoint_auth_methods_supported",
	"authorization_response_iss_parameter_supported", "client_id_metadata_document_supported",
}

// parseAuthorizationServer reads and validates a document, whose issuer has to be issuer and
// whose URLs are judged as named by base.
func (c *Client) parseAuthorizationServer(body []byte, base *url.URL, issuer string) (*AuthorizationServer, error) {
	o, err := readObject(body, serverMembers)
	if err != nil {
		return nil, err
	}
	a := &AuthorizationServer{}
	if a.Issuer, err = o.String("issuer"); err != nil || a.Issuer == "" {
		return nil, errtext.Errorf(ErrMalformed, "issuer is missing or not a string")
	}
	if !SameIssuer(a.Issuer, issuer) {
		return nil, errtext.Errorf(ErrIssuerMismatch, `the document is for issuer "%s", not for "%s": if you trust that server, set Config.Server.Issuer to "%s"`,
			httpx.ShownIssuer(a.Issuer), httpx.ShownIssuer(issuer), httpx.ShownIssuer(a.Issuer))
	}
	for _, m := range a.endpoints() {
		if err := c.endpoint(o, m.name, base, m.at); err != nil {
			if m.name == "token_endpoint" {
				return nil, err // of no use to anybody
			}
			if a.problems == nil {
				a.problems = make(map[string]error)
			}
			a.problems[m.name] = err
		}
	}
	if a.TokenEndpoint == "" {
		return nil, errtext.Errorf(ErrMalformed, "token_endpoint is missing")
	}
	// What cannot be read of the rest is absent.
	for _, m := range a.lists() {
		*m.at, _ = o.Words(m.name)
	}
	for _, m := range a.bools() {
		*m.at, _ = o.Bool(m.name)
	}
	return a, nil
}

// endpoint reads the URL of an endpoint into to, if it may be requested.
func (c *Client) endpoint(o wire.Object, member string, base *url.URL, to *string) error {
	raw, err := o.String(member)
	switch {
	case err != nil:
		return errtext.Errorf(ErrMalformed, "%s", err.Error())
	case raw == "":
		return nil
	}
	if _, err := c.checkNamed(member, raw, base); err != nil {
		return err
	}
	*to = raw
	return nil
}
