// Package discovery finds out where the tokens for an MCP server come from: which
// authorization servers it trusts (RFC 9728), and what those can do (RFC 8414, OpenID Connect
// Discovery 1.0). It follows the MCP specification 2026-07-28, "Authorization Server
// Discovery".
//
//	var c discovery.Client
//	resource, err := c.ProtectedResource(ctx, "https://mcp.example.com/mcp", "")
//	server, err := c.AuthorizationServer(ctx, resource.AuthorizationServers[0])
//
// What the documents say is believed only as far as it was checked: the resource has to be
// the server asked for, the issuer the one asked for (to the letter, except for one slash at the
// end), and every URL has to be https or on this machine. Documents that fail are not returned.
// Their form is read leniently, and what nobody uses makes no document unusable: an endpoint
// with a bad URL is left out, and AuthorizationServer.Problem says why.
//
// # Requests to places named by others
//
// The URL of the metadata, the issuer and the endpoints are all chosen by a server nobody has
// vouched for, so it could point the client at hosts that only the client can reach. Such a
// URL must be https, which the unencrypted services on a private network do not speak; plain
// http is for this machine only, and only a server that is itself on this machine may name a
// URL on this machine. Redirects stay within the origin. Private addresses behind https are
// allowed, as that is where companies run their servers; to refuse those as well, give
// Client.HTTPClient a dialer that checks addresses after DNS resolution.
package discovery
