package auth

import (
	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/internal/clientsecret"
)

// credentials decides where the program's own credentials may go: a client's
// secret or assertion, a workload's token, the token of a user who called the
// program. An MCP server says where a person logs in, never where
// these go [invariant 18]. What is stored does not say it either: a store can be
// written by others, and is empty after a restart with a [MemoryStore].
type credentials struct {
	issuer   string  // that the program named; empty: none
	server   *Server // configured with its endpoints; nil: there is none
	anywhere bool    // Config.TrustDiscovery
	grant    string  // what the grant sends, in words; empty: nothing
}

// newCredentials returns nil if none of the program's credentials are sent, and the
// issuer that the program named, if any. client is configured, document is how one
// with a metadata document authenticates.
func newCredentials(srv *Server, client *Client, document ClientAuth, g Grant, anywhere bool) (_ *credentials, issuer string) {
	d := credentials{issuer: client.Issuer, anywhere: anywhere}
	if srv != nil && srv.TokenEndpoint != "" {
		d.server = srv
	}
	if g, ok := g.(interface {
		Credentials() (what, issuer string)
	}); ok {
		what, issuer := g.Credentials()
		if d.grant = what; what != "" {
			d.issuer = orElse(d.issuer, issuer)
		}
	}
	if d.grant == "" && provenBy(client.Secret, client.Auth) == "" && provenBy("", document) == "" {
		return nil, d.issuer
	}
	return &d, d.issuer
}

// check returns why what may not be sent to srv; nil if it may. what is in
// words; empty: nothing is sent.
func (d *credentials) check(srv *Server, what string) error {
	switch {
	case what == "" || d.server != nil && srv == d.server:
		return nil
	case d.issuer != "" && !discovery.SameIssuer(d.issuer, srv.Issuer):
		return &IssuerError{Expected: d.issuer, Actual: srv.Issuer}
	case d.issuer == "" && !d.anywhere:
		return &ConfigError{"Config.Client.Issuer", "is empty, so nothing says where " + what + " may go, and nothing was sent. The MCP server's authorization server is " +
			quoted(srv.Issuer) + "; if you trust it, set Client.Issuer to that. Config.TrustDiscovery trusts whatever MCP servers name"}
	}
	return nil
}

// provenBy is what a client proves itself with, in words; empty: it is public.
func provenBy(secret string, a ClientAuth) string {
	switch {
	case a != nil && a.Method() != clientsecret.None:
		return "the client's proof (" + a.Method() + ")"
	case a == nil && secret != "":
		return "the client's secret"
	}
	return ""
}
