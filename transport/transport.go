// Package transport attaches access tokens to HTTP requests and answers the
// servers' challenges. It works with any [auth.Source] and any HTTP client;
// for mcp-go there is package mcpgo.
//
//	client := &http.Client{Transport: &transport.RoundTripper{Source: manager}}
//	resp, err := client.Get("https://mcp.example.com/mcp")
//
// A request gets the token of the moment. A 401, and a 403 that asks for more
// scopes, are resolved by the source, and the request is sent again with the
// new token if its body can be.
package transport

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/internal/httpx"
	"github.com/mcptokens/mcptokens/internal/layer"
)

// maxResends is a safety net below the source's own limits: whatever it says, one
// request is not sent more often.
const (
	maxResends  = 10
	maxUpgrades = 6 // of them for missing scopes
)

// RoundTripper is an [http.RoundTripper] that adds the Authorization header.
// Only Source is required. It may be used by many goroutines at once; do not
// copy it or change its fields meanwhile.
type RoundTripper struct {
	// Source hands out the tokens, usually an *[auth.Manager].
	Source auth.Source

	// Base sends the requests. Default: what Source's method BaseTransport()
	// http.RoundTripper returns, which *[auth.Manager] has: the Transport of its
	// Config.HTTPClient; else [http.DefaultTransport].
	Base http.RoundTripper

	// Resource is the URL whose origin gets the token; requests to other
	// origins, such as the target of a redirect, go out without it. Default:
	// what Source's method Resource() string says, which *[auth.Manager] has;
	// for a source without one, the origin of the first request.
	Resource string

	// BodyLimit is how many bytes of a request body without GetBody are kept
	// so that the request can be sent again; one that is larger is sent once:
	// its challenge is resolved for the requests to come, and returned. Default: 1 MiB; negative: none.
	BodyLimit int

	once   sync.Once
	origin *url.URL          // of the resource; nil: unknown
	sends  http.RoundTripper // the Source's, without a Base
	learns auth.Accepter     // Source, if it learns from success
	err    error
	first  atomic.Pointer[url.URL] // of the first request, when origin is unknown
}

// RoundTrip implements [http.RoundTripper]. Errors other than those of Base are
// the typed ones of [auth.Source]: *[auth.TokenError],
// *[auth.ReauthorizationRequiredError], *[auth.InsufficientScopeError],
// *[auth.AuthorizationError] and so on, *[OriginError] and [auth.ErrNonce]. A
// refusal that is no challenge, such as a 403 without insufficient_scope, is returned as the
// response that it is.
func (t *RoundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	t.once.Do(t.init)
	if t.err != nil {
		closeBody(req)
		return nil, t.err
	}
	if !t.atHome(req) {
		resp, err := t.base().RoundTrip(req)
		return t.foreign(req, resp, err)
	}
	ctx := req.Context()
	token, err := t.Source.Token(ctx)
	if err != nil && !sendWithout(err) {
		closeBody(req)
		return nil, err
	}
	body := replayOf(req, t.BodyLimit)
	out := withToken(req, token)
	if err := prove(out, token); err != nil {
		closeBody(req)
		return nil, err
	}
	body.first(out)
	resp, err := t.base().RoundTrip(out)
	nonces, upgrades := 0, 0
	for range maxResends {
		if err != nil {
			break
		}
		challenge, ok := auth.ResponseChallenge(resp.StatusCode, resp.Header)
		if !ok || challenge.InsufficientScope() {
			t.accepted(token)
		}
		if challenge.InsufficientScope() {
			upgrades++
		}
		if !ok || challenge.Granted(token) || upgrades > maxUpgrades {
			break
		}
		challenge.Method, challenge.Operation = cmp.Or(req.Method, http.MethodGet), operation(req, body)
		challenge.Stream = listens(req)
		if !body.repeatable(req) {
			// This request is lost, but the next one should not meet
			// the same fate. Its caller gets the challenge as it came.
			if !wantsNonce(token, resp) {
				_, _ = t.Source.Resolve(ctx, token, challenge)
			}
			break
		}
		discard(resp)
		given := observe(token, out, resp)
		if wantsNonce(token, resp) {
			// That says nothing about the token (RFC 9449 section 9): it goes
			// again, with a new proof.
			if nonces++; !given || nonces > maxNonces {
				return nil, auth.ErrNonce
			}
		} else if token, err = t.Source.Resolve(ctx, token, challenge); err != nil {
			return nil, err
		}
		out = withToken(req, token)
		if err = prove(out, token); err != nil {
			return nil, err
		}
		if err = body.again(req, out); err != nil {
			return nil, err
		}
		resp, err = t.base().RoundTrip(out)
	}
	if resp != nil {
		if _, ok := auth.ResponseChallenge(resp.StatusCode, resp.Header); ok {
			layer.Resolved(ctx) // as far as it can be
		}
		observe(token, out, resp)
		resp.Request = req // as the caller made it, without the token
	}
	return resp, err
}

// accepted tells the source that the server accepted token.
func (t *RoundTripper) accepted(token *auth.Token) {
	if t.learns != nil && token != nil {
		t.learns.Accepted(token)
	}
}

// init finds the resource's origin.
func (t *RoundTripper) init() {
	if t.Source == nil {
		t.err = errors.New("transport: RoundTripper.Source is nil; set it, for example to an *auth.Manager")
		return
	}
	if m, ok := t.Source.(*auth.Manager); ok && m == nil {
		t.err = errors.New("transport: RoundTripper.Source is a nil *auth.Manager; check the error of auth.NewManager")
		return
	}
	if s, ok := t.Source.(interface{ BaseTransport() http.RoundTripper }); ok && t.Base == nil {
		t.sends = s.BaseTransport()
	}
	t.learns, _ = t.Source.(auth.Accepter)
	resource := t.Resource
	if r, ok := t.Source.(interface{ Resource() string }); ok && resource == "" {
		resource = r.Resource()
	}
	if resource == "" {
		return
	}
	u, err := url.Parse(resource)
	if err != nil || u.Host == "" {
		t.err = errors.New("transport: RoundTripper.Resource is not an absolute URL; set it to the MCP server's URL")
		return
	}
	t.origin = u
}

// atHome reports whether req goes to the resource's own origin
// [invariant 21].
func (t *RoundTripper) atHome(req *http.Request) bool {
	home := t.origin
	if home == nil {
		first := req
		for first.Response != nil && first.Response.Request != nil { // redirected
			first = first.Response.Request
		}
		t.first.CompareAndSwap(nil, first.URL)
		home = t.first.Load()
	}
	if req.URL.Host == home.Host && req.URL.Scheme == home.Scheme {
		return true
	}
	return httpx.SameOrigin(req.URL, home)
}

func (t *RoundTripper) base() http.RoundTripper {
	switch {
	case t.Base != nil:
		return t.Base
	case t.sends != nil:
		return t.sends
	}
	return http.DefaultTransport
}

// sendWithout reports that there is no token yet and that the server's
// challenge is what leads to one.
func sendWithout(err error) bool {
	var required *auth.ReauthorizationRequiredError
	return errors.Is(err, auth.ErrNoToken) && !errors.As(err, &required)
}

// outgoing is a request and its Authorization value in one allocation.
type outgoing struct {
	http.Request
	authorization [1]string
}

// withToken returns a copy of req that carries token (nil: none). RoundTrip
// must not change req itself, and the other header values are only read.
func withToken(req *http.Request, token *auth.Token) *http.Request {
	out := &outgoing{Request: *req}
	out.Header = maps.Clone(req.Header) // a third faster than a loop
	if out.Header == nil {
		out.Header = http.Header{}
	}
	if token == nil {
		delete(out.Header, "Authorization")
		return &out.Request
	}
	out.authorization[0] = token.Authorization()
	out.Header["Authorization"] = out.authorization[:]
	return &out.Request
}
