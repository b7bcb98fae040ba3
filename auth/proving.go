package auth

import (
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/mcptokens/mcptokens/internal/clientsecret"
)

// clientAuth is how c authenticates at srv.
func (e *endpoint) clientAuth(c *Client, srv *Server) ClientAuth {
	method := chooseClientAuth(c, srv)
	if e.takesPost(c, srv) && method.Method() == clientsecret.Basic && c.Auth == nil {
		return secretAuth(clientsecret.Post)
	}
	return method
}

func (e *endpoint) takesPost(c *Client, srv *Server) bool {
	seen := e.byPost.Load()
	if seen == nil {
		return false
	}
	_, ok := seen.Load(byPostKey(c, srv))
	return ok
}

func byPostKey(c *Client, srv *Server) string { return srv.Issuer + " " + c.ID }

// proving sends a request in which c proves itself. A server that takes the
// secret in a header (RFC 6749 section 2.3.1) answers 401 if it is wrong; some
// list that method and do not know it. If the server lists the form too, the
// request is sent once more that way. The server has not looked at the rest of it,
// so that nothing is spent. What worked is remembered.
func (e *endpoint) proving(srv *Server, c *Client, post func() (*http.Response, sent, error)) (*http.Response, sent, error) {
	resp, s, err := post()
	if err != nil || resp.StatusCode != http.StatusUnauthorized || c.Auth != nil || c.Secret == "" ||
		e.clientAuth(c, srv).Method() != clientsecret.Basic || !slices.Contains(srv.TokenEndpointAuthMethodsSupported, clientsecret.Post) {
		return resp, s, err
	}
	drain(resp.Body)
	if e.byPost.Load() == nil {
		e.byPost.CompareAndSwap(nil, new(sync.Map))
	}
	seen := e.byPost.Load()
	seen.Store(byPostKey(c, srv), true)
	resp, s, err = post()
	if err != nil || resp.StatusCode == http.StatusUnauthorized || resp.StatusCode >= 500 {
		seen.Delete(byPostKey(c, srv))
	}
	return resp, s, err
}

// advise says in e what to set when the client's authentication may be what the
// server refused.
func (e *TokenError) advise(s sent) {
	says, ok := s.proves.(interface{ Advice() string })
	silent := e.Code == "" && (e.StatusCode == http.StatusUnauthorized || e.StatusCode == http.StatusForbidden)
	about := strings.Contains(strings.ToLower(e.Description), "audience")
	if ok && (silent || about || refusesClient(e)) {
		e.set = says.Advice()
	}
}
