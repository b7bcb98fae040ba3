package authtest

import (
	"crypto/sha256"
	"encoding/base64"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// serveToken is the token endpoint (RFC 6749 section 3.2).
func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	form, ok := s.form(w, r)
	if !ok {
		return
	}
	if s.places.urls[RevocationEndpoint] == s.places.urls[TokenEndpoint] && form.Has("token") && !form.Has("grant_type") {
		s.serveRevoke(w, r)
		return
	}
	c, e := s.authenticate(r, form)
	if e != nil {
		s.refuseClient(w, r, e)
		return
	}
	if e := s.refuses(TokenEndpoint, form); e != nil {
		e.write(w)
		return
	}
	var t *tokenResponse
	switch grant := form.Get("grant_type"); {
	case c.grants != nil && grant != "" && !slices.Contains(c.grants, grant):
		e = badRequest("unauthorized_client", "the client is not registered for this grant type")
	case grant == "authorization_code":
		t, e = s.exchangeCode(c, form)
	case grant == "refresh_token":
		t, e = s.refresh(c, form)
	case grant == "client_credentials":
		t, e = s.clientCredentials(c, form)
	case grant == grantTokenExchange:
		t, e = s.exchange(c, form)
	case grant == grantJWTBearer:
		t, e = s.jwtBearer(c, form)
	case grant == grantDeviceCode:
		t, e = s.pollDevice(c, form)
	case grant == "":
		e = badRequest("invalid_request", "grant_type is missing")
	default:
		e = badRequest("unsupported_grant_type", "this server knows "+knownGrants())
	}
	if e != nil {
		e.write(w)
		return
	}
	writeJSON(w, http.StatusOK, t)
}

// form reads the parameters of a POST request. RFC 6749 section 3.2 allows each of them once;
// checkResource looks at resource, which RFC 8707 lets repeat. RFC 8693 lets audience.
func (s *Server) form(w http.ResponseWriter, r *http.Request) (url.Values, bool) {
	if !allow(w, r, http.MethodPost) {
		return nil, false
	}
	if mt, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); mt != "application/x-www-form-urlencoded" {
		badRequest("invalid_request", "Content-Type has to be application/x-www-form-urlencoded").write(w)
		return nil, false
	}
	if err := r.ParseForm(); err != nil {
		badRequest("invalid_request", "the body is not form-urlencoded").write(w)
		return nil, false
	}
	for name, values := range r.PostForm {
		if len(values) > 1 && name != "resource" && (name != "audience" || r.PostForm.Get("grant_type") != grantTokenExchange) {
			badRequest("invalid_request", "a parameter is repeated").write(w)
			return nil, false
		}
	}
	return r.PostForm, true
}

// codeTTL is the lifetime of authorization codes. RFC 6749 section 4.1.2 recommends ten minutes at
// most.
const codeTTL = time.Minute

// exchangeCode is the authorization code grant (OAuth 2.1 section 4.1.3).
func (s *Server) exchangeCode(c *client, form url.Values) (*tokenResponse, *oauthError) {
	resource, e := s.checkResource(form)
	if e != nil {
		return nil, e
	}
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	k := s.state.codes[form.Get("code")]
	if k == nil || k.family.client != c.id || !time.Now().Before(k.expiry) {
		return nil, badRequest("invalid_grant", "the code is unknown, expired or another client's")
	}
	if k.used {
		k.family.revoked = true // RFC 6749 section 4.1.2
		return nil, badRequest("invalid_grant", "the code was used before")
	}
	k.used = true
	if given := form.Get("redirect_uri"); given != "" && given != k.redirect { // OAuth 2.1 no longer sends it
		return nil, badRequest("invalid_grant", "redirect_uri is not that of the authorization request")
	}
	sum := sha256.Sum256([]byte(form.Get("code_verifier")))
	if base64.RawURLEncoding.EncodeToString(sum[:]) != k.challenge { // RFC 7636 section 4.6
		return nil, badRequest("invalid_grant", "code_verifier does not fit the code_challenge")
	}
	if e := k.family.bind(resource); e != nil {
		return nil, e
	}
	t, _ := s.issue(k.family, k.family.scopes, c.mayRefresh() && !k.family.online)
	return t, nil
}

// bind checks a token request's resource against the authorization's (RFC 8707 section 2.2).
func (f *family) bind(resource string) *oauthError {
	if f.resource == "" {
		f.resource = resource
	}
	if resource != "" && !sameResource(resource, f.resource) {
		return badRequest("invalid_target", "the authorization is for another resource")
	}
	return nil
}

// refresh is the refresh token grant (OAuth 2.1 section 4.3).
func (s *Server) refresh(c *client, form url.Values) (*tokenResponse, *oauthError) {
	resource, e := s.checkResource(form)
	if e != nil {
		return nil, e
	}
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	r := s.state.refresh[form.Get("refresh_token")]
	if r == nil {
		return nil, badRequest("invalid_grant", "the refresh token is unknown")
	}
	r.uses++
	f := r.family
	if f.client == "" {
		f.client = c.id
	}
	if f.client != c.id {
		return nil, badRequest("invalid_grant", "the refresh token is another client's")
	}
	if !r.spent.IsZero() && (f.revoked || time.Since(r.spent) >= s.cfg.RotationGrace) {
		s.record.reused(!f.revoked)
		f.revoked = true
		return nil, badRequest("invalid_grant", "the refresh token was used before")
	}
	if f.revoked {
		return nil, badRequest("invalid_grant", "the refresh token is revoked")
	}
	if !r.spent.IsZero() {
		return r.answer, nil
	}
	if e := f.bind(resource); e != nil {
		return nil, e
	}
	scopes, e := s.refreshScopes(f, form.Get("scope"))
	if e != nil {
		return nil, e
	}
	t, _ := s.issue(f, scopes, !s.cfg.NoRotation)
	if t.RefreshToken != "" && !s.cfg.NoReuseDetection {
		r.spent, r.answer = time.Now(), t
		s.record.rotated()
	}
	return t, nil
}

// refreshScopes decides what a refresh grants: all of the authorization if it does not say, never
// more unless Config.RefreshWidens (RFC 6749 section 6).
func (s *Server) refreshScopes(f *family, scope string) ([]string, *oauthError) {
	if len(fields(scope)) == 0 {
		if s.cfg.RefreshWithoutScope != nil {
			return intersect(s.cfg.RefreshWithoutScope, f.scopes), nil
		}
		return f.scopes, nil
	}
	asked, e := s.grantable(scope)
	if e != nil {
		return nil, e
	}
	if s.cfg.RefreshWidens {
		f.scopes = union(f.scopes, asked)
		return asked, nil
	}
	granted := intersect(asked, f.scopes)
	if len(granted) < len(asked) && (s.cfg.RefreshScopePolicy == RefuseScopes || len(granted) == 0) {
		return nil, badRequest("invalid_scope", "a refresh grants no scope beyond the original grant")
	}
	return granted, nil
}

// clientCredentials is the client credentials grant (RFC 6749 section 4.4), which issues no refresh
// token.
func (s *Server) clientCredentials(c *client, form url.Values) (*tokenResponse, *oauthError) {
	if !c.confidential() {
		return nil, badRequest("unauthorized_client", "a public client has no credentials")
	}
	resource, e := s.checkResource(form)
	if e != nil {
		return nil, e
	}
	scopes, e := s.grantable(form.Get("scope"))
	if e != nil {
		return nil, e
	}
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	t, _ := s.issue(&family{client: c.id, resource: resource, scopes: scopes}, scopes, false)
	return t, nil
}
