package auth

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/mcptokens/mcptokens/auth/internal/wire"
	"github.com/mcptokens/mcptokens/internal/clientsecret"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// clientAuth is how c authenticates at srv.
func (e *endpoint) clientAuth(c *Client, srv *Server) ClientAuth {
	method := chooseClientAuth(c, srv)
	if seen := e.ways.Load(); seen != nil && otherWays(method, c, srv) != nil {
		if way, ok := seen.Load(wayKey(c, srv)); ok {
			return way.(secretAuth)
		}
	}
	return method
}

func wayKey(c *Client, srv *Server) string { return srv.Issuer + " " + c.ID }

// proving sends a request in which c proves itself. A server that takes the
// secret in a header (RFC 6749 section 2.3.1) may refuse a good one all the same:
// some list that method and do not know it, some do not decode it, and some want the
// secret that they gave to a client which they registered without any method. Then the
// request is sent again in the other ways that can be meant. The server has not
// looked at the rest of it, so that nothing is spent. What worked is remembered.
func (e *endpoint) proving(srv *Server, c *Client, post func() (*http.Response, sent, error)) (*http.Response, sent, error) {
	resp, s, err := post()
	method := chooseClientAuth(c, srv)
	ways := otherWays(method, c, srv)
	if err != nil || len(ways) == 0 || e.clientAuth(c, srv) != method {
		return resp, s, err
	}
	if e.ways.Load() == nil {
		e.ways.CompareAndSwap(nil, new(sync.Map))
	}
	seen, key := e.ways.Load(), wayKey(c, srv)
	for _, way := range ways {
		refused, err := refusesProof(resp)
		if err != nil || !refused {
			return resp, s, err
		}
		drain(resp.Body)
		seen.Store(key, way)
		if resp, s, err = post(); err != nil {
			seen.Delete(key)
			return resp, s, err
		}
	}
	refused, err := refusesProof(resp)
	if err != nil || refused || resp.StatusCode >= 500 {
		seen.Delete(key)
	}
	return resp, s, err
}

// otherWays are those in which a server may take a secret when it refuses method, if
// nobody has set that: in the form, if it lists that, and in the header without the form
// encoding of RFC 6749 section 2.3.1, which RFC 7617 does not have (Snowflake). A
// client that was registered with "none", and given a secret all the same (Figma), has
// it sent as the server lists.
func otherWays(method ClientAuth, c *Client, srv *Server) (ways []secretAuth) {
	listed := srv.TokenEndpointAuthMethodsSupported
	switch {
	case c.Secret == "" || c.Auth != nil:
	case method == ClientAuth(secretAuth(clientsecret.None)):
		ways = append(ways, clientsecret.Post)
		if slices.Contains(listed, clientsecret.Basic) && !slices.Contains(listed, clientsecret.Post) {
			ways[0] = clientsecret.Basic
		}
	case method == ClientAuth(secretAuth(clientsecret.Basic)):
		if slices.Contains(listed, clientsecret.Post) {
			ways = append(ways, clientsecret.Post)
		}
		if clientsecret.Encoded(c.ID, c.Secret) {
			ways = append(ways, clientsecret.Plain)
		}
	}
	return ways
}

// refusesProof reports whether the client is refused: by a 401 that is not about something
// else, or by another refusal that says so. The response can be read after that.
func refusesProof(resp *http.Response) (bool, error) {
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusUnprocessableEntity:
	default:
		return false, nil
	}
	body, err := httpx.ReadBody(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return false, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	r := wire.ReadRefusal(body)
	said := strings.ReplaceAll(strings.ToLower(r.Description), "_", " ")
	return r.Code == "invalid_client" || resp.StatusCode == http.StatusUnauthorized && !wire.Registered(r.Code) ||
		strings.Contains(said, "client secret") || strings.Contains(said, "client id"), nil
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
