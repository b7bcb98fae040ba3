package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/internal/shown"
)

// Post is a request that is no token request, or one to another server, for
// [Flow.Post]. Form is what is sent. It redacts itself, as [Token] does.
type Post struct {
	// Server is the server to ask. Its Issuer is named in errors, and its metadata
	// says how the client can authenticate. A server other than the flow's has
	// to be one that the program named, not the MCP server: it may be in a
	// private network. Default: the flow's server.
	Server *Server
	// Endpoint is the URL to post to. Default: the server's token endpoint.
	Endpoint string
	// Client is the client that asks. It authenticates as at a token endpoint.
	// Required.
	Client *Client
	// Form is sent as it is, with what the client's authentication adds. It is
	// not changed.
	Form url.Values
	// Name is what errors call the request, as their GrantType. Default: the
	// form's grant_type, else the type of the grant.
	Name string
	// Once sends the request without any retry, for a grant with a schedule of
	// its own. Default: false, a failure that passes is retried within
	// [Config.RefreshTimeout].
	Once bool
}

// Format makes every fmt verb print where the request goes, without its form.
func (p Post) Format(f fmt.State, _ rune) { redact(f, p.redacted()) }

// LogValue implements [slog.LogValuer] without the form.
func (p Post) LogValue() slog.Value { return slog.StringValue(p.redacted()) }

// MarshalJSON encodes what Format prints.
func (p Post) MarshalJSON() ([]byte, error) { return json.Marshal(p.redacted()) }

func (p Post) redacted() string {
	at := p.Endpoint
	if at == "" && p.Server != nil {
		at = p.Server.TokenEndpoint
	}
	return "auth.Post{" + shown.Text(p.Name) + " to " + shownURL(at) + "}"
}

// Post sends a request of the grant's own kind, such as a device authorization
// (RFC 8628 section 3.1) or a token exchange at another server (RFC 8693), and
// returns the body of a 2xx answer, which looks like JSON and is at most 1 MiB.
// What it means is for the grant to say; an answer that cannot be used is not
// worth another request. No resource indicator is added and no DPoP proof.
// Errors: *[TokenError], also for a 2xx answer that is an error response (RFC
// 6749 section 5.2).
func (f *Flow) Post(ctx context.Context, p Post) (body []byte, err error) {
	srv := p.Server
	if srv == nil {
		srv = f.Server
	}
	if p.Endpoint == "" {
		p.Endpoint = srv.TokenEndpoint
	}
	grantType := p.Form.Get("grant_type")
	if grantType != "" {
		trace := f.use.trace
		ctx = trace.Start(ctx, authtrace.ExchangeStart{Issuer: orElse(srv.Issuer, shownURL(p.Endpoint)), Grant: grantType})
		defer func() { trace.End(ctx, authtrace.ExchangeEnd{Err: err}) }()
	}
	name := orElse(p.Name, orElse(grantType, f.use.grant.Type()))
	client := f.HTTPClient()
	if srv != f.Server && srv.Issuer != f.Server.Issuer {
		client = f.use.finder.Unguarded() // the program named the server
	}
	run := f.try
	if p.Once {
		run = f.once
	}
	err = run(ctx, func(ctx context.Context) error {
		fail := newTokenError(srv, name)
		if fail.Issuer == "" {
			fail.Issuer = shownURL(p.Endpoint)
		}
		resp, s, err := f.use.endpoint.proving(srv, p.Client, func(c *Client) (*http.Response, sent, error) {
			return f.use.endpoint.post(ctx, client, srv, c, p.Endpoint, p.Form, nil)
		})
		return readAnswer(fail, s, f.use.vault.secrets, resp, err, func(_ string, answer []byte) error {
			body = answer
			return readObject(answer)
		})
	})
	if err != nil {
		return nil, err
	}
	return body, nil
}
