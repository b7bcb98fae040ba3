// Package mcpgo connects the token life cycle of package auth to mcp-go
// (github.com/mark3labs/mcp-go). One option is all it takes:
//
//	manager, err := auth.NewManager(auth.Config{
//		Resource: "https://mcp.example.com/mcp",
//		Grant:    grant.AuthorizationCode{},
//	})
//	defer manager.Close()
//	c, err := client.NewStreamableHttpClient("https://mcp.example.com/mcp", mcpgo.WithAuth(manager))
//
// From then on tokens are obtained, refreshed before they expire, rotated, and
// upgraded when the server asks for more scopes. What cannot be resolved comes
// out of the client's methods as a typed error:
//
//	_, err = c.CallTool(ctx, request)
//	var insufficient *auth.InsufficientScopeError
//	if errors.As(err, &insufficient) { … }
//
// # Other transports
//
// [Wrap] gives the same to any mcp-go transport: one of your own, in-process,
// stdio. It also resolves challenges that a server sends in band, in a JSON-RPC
// error or a tool's result, over HTTP too:
//
//	c := client.NewClient(mcpgo.Wrap(inner, manager, mcpgo.WithPlacement(mcpgo.InMeta("authorization"))))
//
// Which file: wrap.go (the life of a request), inband.go (what is a challenge),
// placement.go (where the token goes), optional.go (interfaces that mcp-go
// looks for).
//
// # Logging in during Initialize
//
// mcp-go's Initialize probes the server for 5 s and then falls back to the
// older handshake. A login that takes the user longer is not lost: it goes on,
// and the fallback waits for it. The connection then stays on the older
// protocol version, though. To avoid that, call manager.Authorize before
// Initialize, or raise client.WithDiscoverTimeout.
//
// # Stdio servers
//
// A stdio server gets its token from its environment. [CommandFunc] puts it
// there under mcp-go's own stdio transport. An environment stays as it is while
// a process runs and a token does not, so there are two ways to a server that
// runs for longer:
//
//	mcpgo.NewStdio(manager, "server", nil, mcpgo.WithTokenFile("TOKEN_FILE", nil))                    // it reads a file
//	mcpgo.NewStdio(manager, "server", nil, mcpgo.WithTokenVariable("TOKEN"), mcpgo.WithRestart())    // it is restarted
//
// The server gets the variables listed at [CommandFunc] and no others. [Wrap]
// around either resolves the challenges that the server passes on.
//
// Which file: command.go and environment.go (what a server is started with),
// tokenfile.go, stdio.go and child.go (the transport and its processes),
// restart.go (when a process is replaced, and who waits for it), handshake.go
// (what the new process is sent), listen.go (the request that never ends).
//
// # Coming from mcp-go's own OAuth
//
// A program that logs its user in with mcp-go's OAuth handler may keep doing so
// and leave the rest to a manager: [WithOAuth], or [TokenStore] where nothing
// else may change. [FromTokenStore] takes along the tokens that users have
// already. MIGRATION.md, beside this file, shows before, after and what changes.
package mcpgo

import (
	"net/http"

	"github.com/mark3labs/mcp-go/client"
	mcptransport "github.com/mark3labs/mcp-go/client/transport"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/transport"
)

// Option changes how the token reaches the server.
type Option func(*options)

type options struct {
	base *http.Client
}

// WithBaseClient keeps the caller's own HTTP client: its transport (proxy, TLS
// settings), timeout, cookie jar and redirect policy. The client itself is not
// changed. Default: the Transport of src's Config.HTTPClient, else
// [http.DefaultTransport]; no timeout, as in mcp-go.
func WithBaseClient(base *http.Client) Option { return func(o *options) { o.base = base } }

// WithAuth is the one option: it makes a Streamable HTTP client send src's
// token and resolve the server's challenges.
//
// It replaces mcp-go's HTTP client, so of these mcp-go options the last one
// given wins: WithAuth, WithHTTPBasicClient. To keep your own client use
// [WithBaseClient]. WithHTTPTimeout works if it comes after WithAuth. Do not
// combine it with WithHTTPOAuth: [WithOAuth] does that.
func WithAuth(src auth.Source, opts ...Option) mcptransport.StreamableHTTPCOption {
	return mcptransport.WithHTTPBasicClient(httpClient(sourceOf(src, "WithAuth"), opts))
}

// WithSSEAuth is [WithAuth] for the HTTP+SSE transport of MCP 2024-11-05. It
// replaces mcp-go's HTTP client as client.WithHTTPClient does.
func WithSSEAuth(src auth.Source, opts ...Option) mcptransport.ClientOption {
	return client.WithHTTPClient(httpClient(sourceOf(src, "WithSSEAuth"), opts))
}

func httpClient(src auth.Source, opts []Option) *http.Client {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	c := &http.Client{}
	if o.base != nil {
		*c = *o.base
	}
	c.Transport = &transport.RoundTripper{Source: src, Base: c.Transport}
	return c
}
