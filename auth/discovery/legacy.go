package discovery

import (
	"context"
	"errors"

	"github.com/mcptokens/mcptokens/internal/httpx"
)

// Legacy finds the authorization server of an MCP server that follows MCP 2025-03-26, which
// had no protected resource metadata: the MCP server's origin is the authorization server.
// Call it when ProtectedResource returns ErrNotFound. server is the URL that MCP requests go
// to.
//
// The metadata is that of the origin's RFC 8414 location. Its issuer has to be the origin, with
// or without a slash at the end: no issuer was announced, and both lead to this location. If
// there is none, the endpoints are the defaults of 2025-03-26, /authorize, /token and
// /register, and PKCE with S256 is assumed: that revision requires it of every server, and
// without metadata a server has no way to say so.
//
// The error is an *Error, as for AuthorizationServer, but never ErrNotFound.
func (c *Client) Legacy(ctx context.Context, server string) (*AuthorizationServer, error) {
	s, err := c.serverURL(server)
	if err != nil {
		return nil, &Error{Op: opAuthorizationServer, Err: err}
	}
	origin := httpx.Origin(s)
	found, err := c.authorizationServer(ctx, s, []string{origin + wellKnownOAuth}, origin)
	if errors.Is(err, ErrNotFound) {
		looked := origin + wellKnownOAuth
		return &AuthorizationServer{
			Issuer:                        origin,
			AuthorizationEndpoint:         origin + "/authorize",
			TokenEndpoint:                 origin + "/token",
			RegistrationEndpoint:          origin + "/register",
			ResponseTypesSupported:        []string{"code"},
			GrantTypesSupported:           []string{"authorization_code", "refresh_token"},
			CodeChallengeMethodsSupported: []string{"S256"},
			assumed:                       &looked,
		}, nil
	}
	return found, err
}

// Assumed is where Legacy found no metadata before it assumed the endpoints; empty if the server
// has published some.
func (a *AuthorizationServer) Assumed() string {
	if a.assumed == nil {
		return ""
	}
	return *a.assumed
}
