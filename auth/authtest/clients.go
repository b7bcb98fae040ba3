package authtest

import (
	"crypto"
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// client is a client that the authorization server knows.
type client struct {
	id        string
	secret    string // "" for a public client, or one with a key
	key       crypto.PublicKey
	method    string   // the only authentication method it may use; "" for any that fits
	redirects []string // registered redirect URIs
	anywhere  bool     // no redirect URIs are known: a client ID metadata document, not fetched
	grants    []string // grant types it registered for; nil for any
	scopes    []string // the most it may ask for; nil: anything
}

// AddClient registers a client in advance. With a secret it may authenticate by client_secret_basic
// or client_secret_post, without one it is public. Redirect URIs have to match exactly, except for
// the port of a loopback one (RFC 8252 section 7.3); a client without any cannot use the authorization
// endpoint. A client of the same ID is replaced.
func (s *Server) AddClient(id, secret string, redirectURIs ...string) {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.state.clients[id] = &client{id: id, secret: secret, redirects: slices.Clone(redirectURIs)}
}

// RemoveClient forgets a client, as servers do with registrations that grew old: its requests get
// invalid_client. Tokens it holds stay valid at the resources.
func (s *Server) RemoveClient(id string) {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	delete(s.state.clients, id)
}

// client returns the client of that ID, nil if there is none.
func (s *Server) client(id string) *client {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	if c := s.state.clients[id]; c != nil {
		return c
	}
	if s.cfg.ClientIDMetadata && strings.HasPrefix(id, "https://") {
		return &client{id: id, anywhere: true}
	}
	return nil
}

// confidential reports whether the client can prove who it is.
func (c *client) confidential() bool { return c.secret != "" || c.key != nil }

// mayRefresh reports whether the client gets refresh tokens: one that registered without that grant
// type has no use for them.
func (c *client) mayRefresh() bool {
	return c.grants == nil || slices.Contains(c.grants, "refresh_token")
}

func (s *Server) redirects(c *client, uri string) bool {
	if s.cfg.ExactRedirectURIs && !c.anywhere {
		return slices.Contains(c.redirects, uri)
	}
	return c.redirectsTo(uri)
}

func (c *client) redirectsTo(uri string) bool {
	u, err := url.Parse(uri)
	if err != nil || !u.IsAbs() || u.Fragment != "" {
		return false
	}
	if c.anywhere {
		return u.Scheme == "https" || isLoopback(u)
	}
	return slices.ContainsFunc(c.redirects, func(registered string) bool {
		if registered == uri {
			return true
		}
		r, err := url.Parse(registered)
		return err == nil && isLoopback(r) && isLoopback(u) && u.Hostname() == r.Hostname() &&
			u.EscapedPath() == r.EscapedPath() && u.RawQuery == r.RawQuery && u.User == nil
	})
}

// isLoopback reports whether a URL is an http one of this machine.
func isLoopback(u *url.URL) bool {
	return u.Scheme == "http" && slices.Contains([]string{"127.0.0.1", "::1", "localhost"}, u.Hostname())
}

// authenticate finds out which client sent a request (RFC 6749 section 2.3).
func (s *Server) authenticate(r *http.Request, form url.Values) (*client, *oauthError) {
	id, secret, method := form.Get("client_id"), form.Get("client_secret"), "none"
	if form.Has("client_secret") {
		method = "client_secret_post"
	}
	if header := r.Header.Get("Authorization"); header != "" {
		user, pass, ok := basicAuth(r)
		switch {
		case !ok:
			return nil, invalidClient("the Authorization header is not Basic with form-urlencoded ID and secret")
		case method == "client_secret_post", id != "" && id != user:
			return nil, badRequest("invalid_request", "the client authenticates in two ways")
		}
		id, secret, method = user, pass, "client_secret_basic"
	}
	assertion := form.Get("client_assertion")
	if form.Has("client_assertion") || form.Has("client_assertion_type") {
		subject := unverified(assertion).text("sub")
		switch {
		case form.Get("client_assertion_type") != clientAssertionType:
			return nil, invalidClient("client_assertion_type is not that of RFC 7523 section 2.2")
		case method != "none", id != "" && id != subject:
			return nil, badRequest("invalid_request", "the client authenticates in two ways")
		}
		id, method = subject, privateKeyJWT
	}
	c := s.client(id)
	switch {
	case id == "":
		return nil, invalidClient("client_id is missing")
	case c == nil:
		return nil, invalidClient("the client is unknown")
	case !slices.Contains(s.cfg.TokenEndpointAuthMethods, method), c.method != "" && c.method != method:
		return nil, invalidClient("this authentication method is not allowed")
	case secret != c.secret:
		return nil, invalidClient("the client secret is missing or wrong")
	case method == privateKeyJWT && c.key == nil:
		return nil, invalidClient("no key of the client is known: see AddClientKey")
	case method == privateKeyJWT:
		if err := s.checkClientAssertion(c, assertion, s.called(r)); err != nil {
			return nil, invalidClient("client_assertion: " + err.Error())
		}
	}
	return c, nil
}

const (
	privateKeyJWT       = "private_key_jwt"
	clientAssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

// basicAuth reads an ID and a secret that were form-urlencoded before they went into the header
// (RFC 6749 section 2.3.1): what many clients forget.
func basicAuth(r *http.Request) (id, secret string, ok bool) {
	user, pass, ok := r.BasicAuth()
	if !ok {
		return "", "", false
	}
	id, errID := url.QueryUnescape(user)
	secret, errSecret := url.QueryUnescape(pass)
	return id, secret, errID == nil && errSecret == nil
}

func invalidClient(reason string) *oauthError {
	return &oauthError{status: http.StatusUnauthorized, code: "invalid_client", reason: reason}
}

// refuseClient adds the challenge that RFC 6749 section 5.2 wants for a client that used the
// Authorization header.
func (s *Server) refuseClient(w http.ResponseWriter, r *http.Request, e *oauthError) {
	if e.status == http.StatusUnauthorized && r.Header.Get("Authorization") != "" {
		w.Header().Set("WWW-Authenticate", `Basic realm="authtest"`)
	}
	e.write(w)
}

// newClient remembers a client under a fresh ID, with a secret unless it is public.
func (s *Server) newClient(method string, redirects, grants []string) *client {
	c := &client{id: "client-" + rand.Text(), method: method, redirects: redirects, grants: grants}
	if method != "none" {
		c.secret = "secret-" + rand.Text()
	}
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.state.clients[c.id] = c
	return c
}
