package auth

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/mcptokens/mcptokens/auth/internal/lifecycle"
	"github.com/mcptokens/mcptokens/auth/internal/wire"
	"github.com/mcptokens/mcptokens/internal/clientsecret"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// proving sends a request in which c proves itself. A server that takes the
// secret in a header (RFC 6749 section 2.3.1) may refuse a good one all the same:
// some list that method and do not know it, some do not decode it, and some want the
// secret that they gave to a client which they registered without any method. Then the
// request is sent again in the other ways that can be meant, each once. The server has
// not looked at the rest of it, so that nothing is spent. What worked is remembered, and
// comes first the next time; until then it concerns no other request.
func (e *endpoint) proving(srv *Server, c *Client, post func(*Client) (*http.Response, sent, error)) (resp *http.Response, s sent, err error) {
	ways := allWays(c, srv)
	if len(ways) < 2 {
		return post(c)
	}
	known := func(way secretAuth) habit { return habit{provedBy, srv.Issuer, string(way) + " " + c.ID} }
	for i, way := range ways {
		if e.known().has(known(way)) {
			copy(ways[1:], ways[:i])
			ways[0] = way
			break
		}
	}
	for i, way := range ways {
		by := *c
		by.Auth = way
		if resp, s, err = post(&by); err != nil {
			return resp, s, err
		}
		refused, err := refusesProof(resp)
		switch {
		case err != nil || refused && i == len(ways)-1:
			return resp, s, err
		case refused:
			drain(resp.Body)
			continue
		case i > 0 && resp.StatusCode < 500:
			e.known().set(known(ways[0]), false)
			e.known().set(known(way), true)
		}
		break
	}
	return resp, s, nil
}

// allWays are those in which a server may take a secret, if nobody has set one: the one
// that it or its metadata name, and when it refuses that, in the form, if it lists that,
// and in the header without the form encoding of RFC 6749 section 2.3.1, which RFC 7617
// does not have (Snowflake). A client that was registered with "none", and given a secret
// all the same (Figma), has it sent as the server lists.
func allWays(c *Client, srv *Server) (ways []secretAuth) {
	listed := srv.TokenEndpointAuthMethodsSupported
	if c.Secret == "" || c.Auth != nil {
		return nil
	}
	method, _ := chooseClientAuth(c, srv).(secretAuth)
	switch ways = append(ways, method); method {
	case clientsecret.None:
		ways = append(ways, clientsecret.Post)
		if slices.Contains(listed, clientsecret.Basic) && !slices.Contains(listed, clientsecret.Post) {
			ways[1] = clientsecret.Basic
		}
	case clientsecret.Basic:
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
// else, or by another refusal that says so. What is refused by its own code, a refresh token
// for instance, is not sent again. The response can be read after that.
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
	if (&TokenError{Code: r.Code, class: lifecycle.RefusedRequest}).meaning(false) == lifecycle.RefusedToken {
		return false, nil
	}
	said := strings.ReplaceAll(strings.ToLower(r.Description), "_", " ")
	own := !wire.Registered(r.Code)
	return r.Code == "invalid_client" || own && resp.StatusCode == http.StatusUnauthorized ||
		(own || r.Code == "invalid_request" || r.Code == "unauthorized_client") && (strings.Contains(said, "client secret") || strings.Contains(said, "client id")), nil
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
