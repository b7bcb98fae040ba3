package authtest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Registration is a client that registered itself.
type Registration struct {
	ClientID                string
	ApplicationType         string // as sent: "" if it was not, which OpenID Connect takes for "web"
	TokenEndpointAuthMethod string // with RFC 7591's default filled in
	RedirectURIs            []string
	GrantTypes              []string
	Document                map[string]any // all of the request
}

// Registrations returns the dynamic registrations so far (RFC 7591), in order.
func (s *Server) Registrations() []Registration {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	return slices.Clone(s.state.registers)
}

// registration is the part of a registration request that the server acts on.
type registration struct {
	RedirectURIs            []string `json:"redirect_uris"`
	GrantTypes              []string `json:"grant_types"`
	TokenEndpointAuthMethod string   `json:"token_endpoint_auth_method"`
	ApplicationType         string   `json:"application_type"`
	Scope                   string   `json:"scope"`
}

// serveRegister is the client registration endpoint (RFC 7591 section 3). It records
// application_type and does not judge it.
func (s *Server) serveRegister(w http.ResponseWriter, r *http.Request) {
	if !allow(w, r, http.MethodPost) {
		return
	}
	var req registration
	var doc map[string]any
	var raw json.RawMessage
	if json.NewDecoder(r.Body).Decode(&raw) != nil || json.Unmarshal(raw, &doc) != nil || doc == nil || json.Unmarshal(raw, &req) != nil {
		badRequest("invalid_client_metadata", "the body is not a client metadata object").write(w)
		return
	}
	if e := s.checkRegistration(&req); e != nil {
		e.write(w)
		return
	}
	registered := req.RedirectURIs
	if s.cfg.PortlessRedirectURIs {
		registered = portless(registered)
	}
	c := s.newClient(req.TokenEndpointAuthMethod, registered, req.GrantTypes)
	s.state.mu.Lock()
	if s.cfg.RegisteredScopes {
		if c.scopes = fields(req.Scope); len(c.scopes) == 0 {
			c.scopes = []string{"openid"}
		}
		if len(s.cfg.ScopesSupported) > 0 {
			c.scopes = intersect(c.scopes, s.cfg.ScopesSupported)
		}
	}
	s.state.registers = append(s.state.registers, Registration{
		ClientID: c.id, ApplicationType: req.ApplicationType, TokenEndpointAuthMethod: c.method,
		RedirectURIs: req.RedirectURIs, GrantTypes: req.GrantTypes, Document: doc,
	})
	s.state.mu.Unlock()

	answer := map[string]any{}
	for name, value := range doc {
		answer[name] = value
	}
	answer["client_id"] = c.id
	answer["client_id_issued_at"] = time.Now().Unix()
	answer["grant_types"] = req.GrantTypes
	if s.cfg.PortlessRedirectURIs {
		answer["redirect_uris"] = registered
	}
	if s.cfg.RegisteredScopes {
		answer["scope"] = strings.Join(c.scopes, " ")
	}
	answer["token_endpoint_auth_method"] = c.method
	if c.secret != "" {
		answer["client_secret"] = c.secret
		answer["client_secret_expires_at"] = 0 // never
	}
	writeJSON(w, http.StatusCreated, answer)
}

// portless returns redirect URIs, the loopback ones without their port.
func portless(uris []string) []string {
	out := make([]string, 0, len(uris))
	for _, raw := range uris {
		if u, err := url.Parse(raw); err == nil && isLoopback(u) && u.Port() != "" {
			u.Host = strings.TrimSuffix(u.Host, ":"+u.Port())
			raw = u.String()
		}
		out = append(out, raw)
	}
	return out
}

// checkRegistration fills in the defaults of RFC 7591 section 2 and checks the rest.
func (s *Server) checkRegistration(req *registration) *oauthError {
	if req.TokenEndpointAuthMethod == "" {
		req.TokenEndpointAuthMethod = "client_secret_basic"
	}
	if req.GrantTypes == nil {
		req.GrantTypes = []string{"authorization_code"}
	}
	if !slices.Contains(s.cfg.TokenEndpointAuthMethods, req.TokenEndpointAuthMethod) {
		return badRequest("invalid_client_metadata", "token_endpoint_auth_method is not supported")
	}
	if req.TokenEndpointAuthMethod == privateKeyJWT {
		return badRequest("invalid_client_metadata", "keys are not registered on demand: see AddClientKey")
	}
	if slices.Contains(req.GrantTypes, "authorization_code") && len(req.RedirectURIs) == 0 {
		return badRequest("invalid_redirect_uri", "redirect_uris is missing")
	}
	for _, uri := range req.RedirectURIs {
		u, err := url.Parse(uri)
		if err != nil || !u.IsAbs() || u.Fragment != "" || u.Scheme == "http" && !isLoopback(u) {
			return badRequest("invalid_redirect_uri", "use https, http on a loopback address, or a scheme of your own, without a fragment")
		}
	}
	return nil
}
