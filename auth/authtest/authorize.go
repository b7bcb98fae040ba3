package authtest

import (
	"crypto/rand"
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// serveAuthorize is the authorization endpoint (OAuth 2.1 section 4.1.1). The request's parameters
// are in the query, also when the consent page posts the user's decision.
func (s *Server) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	if !allow(w, r, http.MethodGet, http.MethodPost) {
		return
	}
	q, problem := s.authorizationRequest(r.URL.Query())
	if problem != "" { // where to redirect is not known
		http.Error(w, problem, http.StatusBadRequest)
		return
	}
	c := s.client(q.Get("client_id"))
	if c == nil || !s.redirects(c, q.Get("redirect_uri")) {
		if s.cfg.UnknownClient != nil {
			s.cfg.UnknownClient(w, r)
			return
		}
		// Nothing may be redirected to a place that nobody vouches for (RFC 6749 section 4.1.2.1).
		http.Error(w, "client_id is unknown, or redirect_uri is not registered for it", http.StatusBadRequest)
		return
	}
	f, e := s.checkAuthorization(c, q)
	switch {
	case e != nil:
		s.redirect(w, r, q, url.Values{"error": {e.code}, "error_description": {e.reason}})
		return
	case r.Method == http.MethodGet && s.cfg.Page:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, page(c.id, f.resource, q.Get("redirect_uri"), r.URL.RequestURI(), f.scopes))
		return
	case r.Method == http.MethodPost && r.PostFormValue("decision") != "approve":
		s.redirect(w, r, q, url.Values{"error": {"access_denied"}})
		return
	}
	k := "code-" + rand.Text()
	s.state.mu.Lock()
	s.state.codes[k] = &code{
		family:    f,
		redirect:  q.Get("redirect_uri"),
		challenge: q.Get("code_challenge"),
		expiry:    time.Now().Add(codeTTL),
	}
	s.state.mu.Unlock()
	s.redirect(w, r, q, url.Values{"code": {k}})
}

// checkAuthorization checks a request whose client and redirect URI are in order.
func (s *Server) checkAuthorization(c *client, q url.Values) (*family, *oauthError) {
	for name, values := range q {
		if len(values) > 1 && name != "resource" {
			return nil, badRequest("invalid_request", "a parameter is repeated")
		}
	}
	switch {
	case q.Get("response_type") != "code":
		return nil, badRequest("unsupported_response_type", "response_type has to be code")
	case q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43:
		return nil, badRequest("invalid_request", "PKCE with S256 is required")
	}
	if e := s.refuses(AuthorizeEndpoint, q); e != nil {
		return nil, e
	}
	resource, e := s.checkResource(q)
	if e != nil {
		return nil, e
	}
	scopes, e := s.grantable(q.Get("scope"))
	if e != nil {
		return nil, e
	}
	if c.scopes != nil && !covers(c.scopes, scopes) {
		return nil, badRequest("invalid_scope", "the client is not registered for this scope")
	}
	return &family{client: c.id, resource: resource, scopes: scopes, online: s.online(q)}, nil
}

// redirect sends the user back with an authorization response to the request q: state as it came, and iss
// (RFC 9207).
func (s *Server) redirect(w http.ResponseWriter, r *http.Request, q, params url.Values) {
	s.usePushed(r.URL.Query())
	if q.Has("state") {
		params.Set("state", q.Get("state"))
	}
	if !s.cfg.NoIssParameter {
		params.Set("iss", s.name())
	}
	to, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || !to.IsAbs() {
		http.Error(w, "redirect_uri is not an absolute URL", http.StatusBadRequest)
		return
	}
	query := to.Query()
	for name, values := range params {
		query[name] = values
	}
	to.RawQuery = query.Encode()
	w.Header().Set("Location", to.String())
	w.WriteHeader(http.StatusFound)
}

// refuseAuthorization is the fault [OAuthError] at this endpoint.
func (s *Server) refuseAuthorization(w http.ResponseWriter, r *http.Request, code string) {
	q, problem := s.authorizationRequest(r.URL.Query())
	if problem != "" {
		http.Error(w, problem, http.StatusBadRequest)
		return
	}
	s.redirect(w, r, q, url.Values{"error": {code}})
}

// page asks for consent. It is no template: those keep the linker from removing
// anything, and every test binary that has this package would be larger by it.
func page(client, resource, redirect, action string, scopes []string) string {
	var list strings.Builder
	for _, scope := range scopes {
		list.WriteString("<li>" + html.EscapeString(scope) + "</li>")
	}
	client, resource, redirect, action = html.EscapeString(client), html.EscapeString(resource), html.EscapeString(redirect), html.EscapeString(action)
	return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Authorize ` + client + `</title>
<h1>Authorize <span id="client">` + client + `</span>?</h1>
<p>It asks for access to <span id="resource">` + resource + `</span> and returns to <span id="redirect">` + redirect + `</span>.</p>
<ul id="scopes">` + list.String() + `</ul>
<form method="post" action="` + action + `">
<button id="approve" name="decision" value="approve">Approve</button>
<button id="deny" name="decision" value="deny">Deny</button>
</form>
</html>
`
}
