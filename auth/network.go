package auth

import (
	"net/http"

	"github.com/mcptokens/mcptokens/internal/httpx"
)

// Network says which hosts beyond the Internet the MCP server, its metadata
// and its authorization server may be on. The zero value has the rules that
// keep a hostile MCP server from leading requests into the network of this
// machine (RFC 9728 section 7.7; MCP 2026-07-28, security best practices,
// "Server-Side Request Forgery"):
//
//   - URLs are https; http is for localhost, 127.0.0.0/8 and [::1].
//   - What an MCP server on the Internet names has public addresses, judged
//     when they are dialled. One that is itself in a private network, by its
//     address or shown by its certificate, or on this machine leads anywhere.
//   - The URLs of Config.Server and Client.Issuer are the program's choice:
//     their own hosts may be anywhere. Those that the server's metadata name
//     may not.
//
// Each error that one of these rules makes names the field that lifts it. An
// entry of a list is a name ("mcp"), all names below one ("*.corp.example"), an
// address ("10.0.0.5", "fd00::5") or a network ("10.0.0.0/8"); all but networks
// may have a port if only that is meant ("mcp:8000").
//
// Where tokens are sent does not depend on it: to the origin of the resource.
type Network struct {
	// Private are hosts that may be reached although their addresses are not
	// public. A name covers whatever addresses it has; a network covers
	// whatever names lead into it. Default: none.
	Private []string

	// PlainHTTP are hosts that may be spoken to without TLS. Anybody who can
	// read the traffic there gets the tokens. They may be in a private network without
	// being in Private. A network covers URLs with an address, not names.
	// Default: none but this machine.
	PlainHTTP []string

	// AnyAddress lets servers lead to any address. It is for tests whose
	// transport makes no connections, and for transports that do not show where
	// they connect to, where something else keeps requests out of the private
	// network. Default: false.
	AnyAddress bool

	// Wrap is put around the transport that connects, for instruments such as
	// otelhttp.NewTransport: one that Config.HTTPClient has is in the way of the
	// checks, which are in front of the dialer. Where it is otelhttp's, otelauth
	// leaves spans and metrics of requests to it. Default: nil, nothing.
	Wrap func(http.RoundTripper) http.RoundTripper
}

// policy returns the exceptions in the form that requests need, or a
// *[ConfigError].
func (n Network) policy() (*httpx.Policy, error) {
	private, err := httpx.ParseHosts(n.Private)
	if err != nil {
		return nil, &ConfigError{"Config.Network.Private", err.Error()}
	}
	plain, err := httpx.ParseHosts(n.PlainHTTP)
	if err != nil {
		return nil, &ConfigError{"Config.Network.PlainHTTP", err.Error()}
	}
	return httpx.NewPolicy(private, plain, n.AnyAddress), nil
}

// wrapped returns a client like c with n.Wrap around its transport.
func (n Network) wrapped(c *http.Client) *http.Client {
	if n.Wrap == nil {
		return c
	}
	cc := http.Client{Timeout: defaultRefreshTimeout}
	if c != nil {
		cc = *c
	}
	if cc.Transport == nil {
		cc.Transport = http.DefaultTransport
	}
	cc.Transport = n.Wrap(cc.Transport)
	return &cc
}
