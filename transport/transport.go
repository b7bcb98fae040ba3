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

// maxResends is a net below the source's own limits: whatever it says, one
// request is not sent more often.
const maxResends = 6

// RoundTripper is an [http.RoundTripper] that adds the Authorization header.
// Only Source is required. It may be used by many goroutines at once; do not
// copy it or change its fields meanwhile.
type RoundTripper struct {
	// Source hands out the tokens, usually an *[auth.Manager].
	Source auth.Source

	// Base sends the requests. Default: [http.DefaultTransport].
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
	origin *url.URL // of the resource; nil: unknown
	err    error
	first  atomic.Pointer[url.URL] // of the first request, when origin is unknown
}

// RoundTrip implements [http.RoundTripper]. Errors other than those of Base are
// the typed ones of [auth.Source]: *[auth.TokenError],
// *[auth.ReauthorizationRequiredError], *[auth.InsufficientScopeError],
// *[auth.AuthorizationError] and so on, and [auth.ErrNonce]. A refusal that is
// no challenge, such as a 403 without insufficient_scope, is returned as the
// response that it is.
func (t *RoundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	t.once.Do(t.init)
	if t.err != nil {
		closeBody(req)
		return nil, t.err
	}
	if !t.atHome(req) {
		return t.base().RoundTrip(req)
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
	nonces := 0
	for range maxResends {
		if err != nil || resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
			break
		}
		challenge, ok := auth.ResponseChallenge(resp.StatusCode, resp.Header)
		if !ok {
			break
		}
		challenge.Operation = req.Method + " " + req.URL.Path
		if !body.repeatable(req) {
			// This request cannot be mended, but the next one should not meet
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

// init finds the resource's origin.
func (t *RoundTripper) init() {
	if t.Source == nil {
		t.err = errors.New("transport: RoundTripper.Source is nil; set it, for example to an *auth.Manager")
		return
	}
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

// atHome reports whether req goes to the resource's own origin (design
// invariant 17).
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
	if t.Base != nil {
		return t.Base
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
