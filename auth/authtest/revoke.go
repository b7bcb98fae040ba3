package authtest

import (
	"net/http"
	"strings"
)

// serveRevoke is the revocation endpoint (RFC 7009). A refresh token takes all tokens of its
// authorization with it, an access token goes alone.
func (s *Server) serveRevoke(w http.ResponseWriter, r *http.Request) {
	form, ok := s.form(w, r)
	if !ok {
		return
	}
	c, e := s.authenticate(r, form)
	if e != nil {
		s.refuseClient(w, r, e)
		return
	}
	if !form.Has("token") {
		badRequest("invalid_request", "token is missing").write(w)
		return
	}
	if e := s.revoke(c, form.Get("token")); e != nil {
		e.write(w)
		return
	}
	w.WriteHeader(http.StatusOK) // also for a token that never was: section 2.2
}

func (s *Server) revoke(c *client, token string) *oauthError {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	var f *family
	a, r := s.state.access[token], s.state.refresh[token]
	switch {
	case a != nil:
		f = a.family
	case r != nil:
		f = r.family
	default:
		return nil
	}
	if f.client != "" && f.client != c.id {
		return badRequest("unauthorized_client", "the token is another client's")
	}
	if a != nil && s.cfg.KeepAccessTokens {
		return badRequest("unsupported_token_type", "access tokens are JWTs here")
	}
	if a != nil {
		a.revoked = true
	} else {
		f.revoked = true
	}
	return nil
}

// serveIntrospect is the introspection endpoint (RFC 7662), open to every client with a secret or
// a key.
func (s *Server) serveIntrospect(w http.ResponseWriter, r *http.Request) {
	form, ok := s.form(w, r)
	if !ok {
		return
	}
	c, e := s.authenticate(r, form)
	if e == nil && !c.confidential() {
		e = invalidClient("only clients with a secret or a key may introspect")
	}
	if e != nil {
		s.refuseClient(w, r, e)
		return
	}
	writeJSON(w, http.StatusOK, s.introspect(form.Get("token")))
}

func (s *Server) introspect(token string) map[string]any {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	doc := map[string]any{"active": true}
	var f *family
	if a := s.state.access[token]; a != nil && a.live() {
		f = a.family
		doc["token_type"] = "Bearer"
		doc["exp"] = a.expiry.Unix()
		doc["scope"] = strings.Join(a.scopes, " ")
	} else if r := s.state.refresh[token]; r != nil && r.spent.IsZero() {
		f = r.family
		doc["scope"] = strings.Join(f.scopes, " ")
	}
	if f == nil || f.revoked {
		return map[string]any{"active": false}
	}
	doc["iss"] = s.Issuer
	doc["aud"] = f.resource
	if len(f.audience) > 0 {
		doc["aud"] = append([]string{f.resource}, f.audience...)
	}
	if f.about() != "" {
		doc["sub"] = f.about()
	}
	if claim := act(f.actors); claim != nil {
		doc["act"] = claim
	}
	doc["client_id"] = f.client
	return doc
}
