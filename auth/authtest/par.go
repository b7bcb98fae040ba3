package authtest

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"time"
)

// pushed is a pushed authorization request (RFC 9126).
type pushed struct {
	client  string
	request url.Values
	expiry  time.Time
}

// pushedTTL is how long a request_uri can be used (RFC 9126 section 2.2).
const pushedTTL = time.Minute

// servePush is the pushed authorization request endpoint (RFC 9126 section 2).
func (s *Server) servePush(w http.ResponseWriter, r *http.Request) {
	form, ok := s.form(w, r)
	if !ok {
		return
	}
	c, e := s.authenticate(r, form)
	if e != nil {
		s.refuseClient(w, r, e)
		return
	}
	request := cloneValues(form)
	for _, credential := range []string{"client_secret", "client_assertion", "client_assertion_type"} {
		request.Del(credential)
	}
	request.Set("client_id", c.id) // one that authenticated with Basic may have left it out
	switch {
	case form.Has("request_uri"): // section 2.1
		e = badRequest("invalid_request", "request_uri must not be pushed")
	case !s.redirects(c, form.Get("redirect_uri")):
		e = badRequest("invalid_request", "redirect_uri is not registered for the client")
	default:
		_, e = s.checkAuthorization(c, request)
	}
	if e != nil {
		e.write(w)
		return
	}
	uri := "urn:ietf:params:oauth:request_uri:" + rand.Text()
	s.state.mu.Lock()
	s.state.pushed[uri] = &pushed{c.id, request, time.Now().Add(pushedTTL)}
	s.state.mu.Unlock()
	writeJSON(w, http.StatusCreated, map[string]any{"request_uri": uri, "expires_in": int64(pushedTTL / time.Second)})
}

// authorizationRequest returns the parameters of a request at the authorization endpoint: those that were
// pushed, if the query names them. problem says why there are none.
func (s *Server) authorizationRequest(q url.Values) (request url.Values, problem string) {
	uri := q.Get("request_uri")
	if uri == "" {
		if s.cfg.RequirePAR {
			return nil, "authorization requests have to be pushed (RFC 9126)"
		}
		return q, ""
	}
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	p := s.state.pushed[uri]
	if p == nil || p.client != q.Get("client_id") || !time.Now().Before(p.expiry) {
		return nil, "request_uri is unknown, used, expired or another client's"
	}
	return p.request, ""
}

// usePushed ends the use of a request_uri, if q has one: the user has decided.
func (s *Server) usePushed(q url.Values) {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	delete(s.state.pushed, q.Get("request_uri"))
}
