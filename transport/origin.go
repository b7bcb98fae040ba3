package transport

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/mcptokens/mcptokens/internal/httpx"
	"github.com/mcptokens/mcptokens/internal/shown"
)

// OriginError says that a server wants a token, and that the token of the Source
// is not for it: tokens go to the origin of their resource and nowhere else.
// Usually one server has two names, such as localhost and 127.0.0.1, and the
// client's URL has the other one; or the server has moved and redirects.
type OriginError struct {
	// Resource is what the token is for: a URL without query, or an origin.
	Resource string
	// URL was requested, without query; after a redirect only its origin, as the
	// server has chosen the rest.
	URL string
	// Redirect is the status of the redirect that led there, 307 or 308; 0: the
	// caller made the request itself.
	Redirect int
}

// Error implements error; the text holds no secret.
func (e *OriginError) Error() string {
	s := fmt.Sprintf("transport: %s wants a token, and the token is for %s and goes to no other origin", e.URL, e.Resource)
	if e.Redirect != 0 {
		return fmt.Sprintf("%s (the server redirected there with HTTP %d): if the MCP server has moved there, use its new URL for the client and for Config.Resource", s, e.Redirect)
	}
	return s + ": use the same URL for the client and for Config.Resource"
}

// foreign returns the answer of a server that the token is not for. A 401 there is
// an *[OriginError]: nothing else would tell the caller why there was no token.
// It stays an answer for a caller who authenticates by other means, and after a
// redirect that is no move of the MCP server, such as one to a download.
func (t *RoundTripper) foreign(req *http.Request, resp *http.Response, err error) (*http.Response, error) {
	if err != nil || resp.StatusCode != http.StatusUnauthorized || req.Header.Get("Authorization") != "" {
		return resp, err
	}
	e := &OriginError{Resource: t.resource(), URL: short(req.URL)}
	for r := req; r.Response != nil; r = r.Response.Request {
		status := r.Response.StatusCode
		kept := status == http.StatusPermanentRedirect ||
			status == http.StatusTemporaryRedirect && req.Method != http.MethodGet && req.Method != http.MethodHead
		if !kept || r.Response.Request == nil {
			return resp, nil
		}
		if t.atHome(r.Response.Request) {
			e.Redirect, e.URL = status, httpx.Origin(req.URL)
			break
		}
	}
	if req.Response != nil && e.Redirect == 0 {
		return resp, nil // a stranger redirected to another
	}
	discard(resp)
	return nil, e
}

// resource is what tokens are for.
func (t *RoundTripper) resource() string {
	if t.origin != nil {
		return short(t.origin)
	}
	return httpx.Origin(t.first.Load())
}

// short is a URL as it may be shown: its query may hold secrets.
func short(u *url.URL) string { return shown.Text(httpx.Origin(u) + u.EscapedPath()) }
