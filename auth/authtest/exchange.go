package authtest

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	grantTokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange" // RFC 8693
	grantJWTBearer     = "urn:ietf:params:oauth:grant-type:jwt-bearer"     // RFC 7523
	grantDeviceCode    = "urn:ietf:params:oauth:grant-type:device_code"    // RFC 8628
)

// Token types of RFC 8693 section 3.
const (
	typeAccessToken  = "urn:ietf:params:oauth:token-type:access_token"
	typeRefreshToken = "urn:ietf:params:oauth:token-type:refresh_token"
	typeIDToken      = "urn:ietf:params:oauth:token-type:id_token"
	typeJWT          = "urn:ietf:params:oauth:token-type:jwt"
)

// TokenInfo is what an access token stands for, as introspection tells it (RFC 7662).
type TokenInfo struct {
	// Active: it is neither expired nor revoked.
	Active   bool
	ClientID string
	// Subject is whom the token is about: the user, or the client if there is none.
	Subject string
	// Actors act for Subject (RFC 8693 section 4.1): first who acts now, then who acted before.
	Actors []string
	// Resource is the resource that accepts it; Audience what was named besides (RFC 8693 section 2.1).
	Resource string
	Audience []string
	Scopes   []string
	Expiry   time.Time
}

// Inspect returns what an access token stands for, and whether this server issued it.
func (s *Server) Inspect(accessToken string) (TokenInfo, bool) {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	a := s.state.access[accessToken]
	if a == nil {
		return TokenInfo{}, false
	}
	f := a.family
	return TokenInfo{
		Active:   a.live(),
		ClientID: f.client, Subject: f.about(), Actors: slices.Clone(f.actors),
		Resource: f.resource, Audience: slices.Clone(f.audience),
		Scopes: slices.Clone(a.scopes), Expiry: a.expiry,
	}, true
}

// IssueTokenFor is [Server.IssueToken] for a token that is about a user, such as one to be exchanged.
func (s *Server) IssueTokenFor(subject string, scopes []string, resource string) TokenPair {
	return s.issuePair(&family{subject: subject, resource: resource, scopes: slices.Clone(scopes)})
}

// party is whom a subject or actor token stands for.
type party struct {
	subject string
	actors  []string
	scopes  []string // the most that it can be exchanged for
	any     bool     // it says nothing about scopes
	mayAct  string   // the only actor that it allows (RFC 8693 section 4.4); "" for any
}

// exchange is the token exchange grant (RFC 8693). It issues access tokens, for the life that the server
// gives to all of them, with no scope that the subject token does not have.
func (s *Server) exchange(c *client, form url.Values) (*tokenResponse, *oauthError) {
	switch {
	case form.Get("subject_token") == "" || form.Get("subject_token_type") == "":
		return nil, badRequest("invalid_request", "subject_token or subject_token_type is missing")
	case form.Has("actor_token") != form.Has("actor_token_type"):
		return nil, badRequest("invalid_request", "actor_token and actor_token_type go together")
	case form.Has("requested_token_type") && form.Get("requested_token_type") != typeAccessToken:
		return nil, badRequest("invalid_request", "requested_token_type: this server issues access tokens")
	}
	resource, e := s.checkResource(form)
	if e != nil {
		return nil, e
	}
	subject, reason := s.party(c, form.Get("subject_token"), form.Get("subject_token_type"))
	if reason != "" {
		return nil, badRequest("invalid_request", "subject_token "+reason) // section 2.2.2
	}
	actors := subject.actors
	if form.Has("actor_token") {
		actor, reason := s.party(c, form.Get("actor_token"), form.Get("actor_token_type"))
		if reason == "" && subject.mayAct != "" && subject.mayAct != actor.subject {
			reason = "is not that of the actor whom the subject token allows"
		}
		if reason != "" {
			return nil, badRequest("invalid_request", "actor_token "+reason)
		}
		actors = append([]string{actor.subject}, actors...)
	}
	scopes, e := s.narrow(form.Get("scope"), subject)
	if e != nil {
		return nil, e
	}
	f := &family{client: c.id, subject: subject.subject, actors: actors, resource: resource, audience: form["audience"], scopes: scopes}
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	t, _ := s.issue(f, scopes, false)
	t.IssuedTokenType = typeAccessToken
	return t, nil
}

// narrow returns the scopes to grant for a token.
func (s *Server) narrow(scope string, p party) ([]string, *oauthError) {
	asked, e := s.grantable(scope)
	switch {
	case e != nil || p.any:
		return asked, e
	case len(asked) == 0:
		return p.scopes, nil
	}
	granted := intersect(asked, p.scopes)
	if len(granted) == 0 {
		return nil, badRequest("invalid_scope", "the subject token has none of these scopes")
	}
	return granted, nil
}

// party finds out whom a token stands for. reason says why it is not good.
func (s *Server) party(c *client, token, tokenType string) (p party, reason string) {
	switch tokenType {
	case typeAccessToken, typeRefreshToken, typeIDToken, typeJWT:
	default:
		return p, "is of a type that this server does not know"
	}
	if p, ours := s.ownParty(token, tokenType); ours {
		if p == nil {
			return party{}, "is expired, revoked or spent"
		}
		return *p, ""
	}
	got, err := s.foreign(token, []string{s.Issuer, s.Endpoint(TokenEndpoint), c.id, "api://" + c.id})
	if err != nil {
		return p, "is not valid: " + err.Error()
	}
	p = party{subject: got.text("sub"), any: true}
	if scope, ok := got["scope"].(string); ok {
		p.scopes, p.any = fields(scope), false
	}
	for act := got["act"]; act != nil; {
		m, _ := act.(map[string]any)
		if sub, ok := m["sub"].(string); ok {
			p.actors = append(p.actors, sub)
		}
		act = m["act"]
	}
	if may, ok := got["may_act"].(map[string]any); ok {
		p.mayAct, _ = may["sub"].(string)
	}
	return p, ""
}

// ownParty is party for a token that this server issued; nil if that is no longer good.
func (s *Server) ownParty(token, tokenType string) (p *party, ours bool) {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	if a := s.state.access[token]; a != nil && tokenType != typeRefreshToken {
		if !a.live() {
			return nil, true
		}
		return &party{subject: a.family.about(), actors: a.family.actors, scopes: a.scopes}, true
	}
	if r := s.state.refresh[token]; r != nil && tokenType == typeRefreshToken {
		if !r.spent.IsZero() || r.family.revoked {
			return nil, true
		}
		return &party{subject: r.family.about(), actors: r.family.actors, scopes: r.family.scopes}, true
	}
	return nil, false
}

// jwtBearer is the JWT bearer grant (RFC 7523 section 2.1), and the dialect of it that Entra ID calls
// on-behalf-of: the assertion is then an access token that was issued for the client, which has to be
// confidential; scopes are named and a resource is not.
func (s *Server) jwtBearer(c *client, form url.Values) (*tokenResponse, *oauthError) {
	audiences := []string{s.Issuer, s.Endpoint(TokenEndpoint)}
	if use := form.Get("requested_token_use"); use != "" {
		switch {
		case use != "on_behalf_of":
			return nil, badRequest("invalid_request", "requested_token_use: this server knows on_behalf_of")
		case !c.confidential():
			return nil, badRequest("unauthorized_client", "a public client acts on behalf of nobody")
		case form.Has("resource"):
			return nil, badRequest("invalid_request", "resource is not supported here: name the scopes")
		case form.Get("scope") == "":
			return nil, badRequest("invalid_request", "scope is missing")
		}
		audiences = []string{c.id, "api://" + c.id}
	}
	resource, e := s.checkResource(form)
	if e != nil {
		return nil, e
	}
	got, err := s.foreign(form.Get("assertion"), audiences)
	if err != nil {
		return nil, badRequest("invalid_grant", "assertion: "+err.Error()) // RFC 7521 section 4.1.1
	}
	scopes, e := s.grantable(form.Get("scope"))
	if e != nil {
		return nil, e
	}
	f := &family{client: c.id, subject: got.text("sub"), resource: resource, scopes: scopes}
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	t, _ := s.issue(f, scopes, false)
	return t, nil
}

// about is whom the family's tokens are about.
func (f *family) about() string {
	if f.subject != "" {
		return f.subject
	}
	return f.client
}

// act is the claim of RFC 8693 section 4.1 for actors, who acts now first.
func act(actors []string) map[string]any {
	if len(actors) == 0 {
		return nil
	}
	claim := map[string]any{"sub": actors[0]}
	if before := act(actors[1:]); before != nil {
		claim["act"] = before
	}
	return claim
}

// grantTypes are what the token endpoint knows.
var grantTypes = []string{"authorization_code", "refresh_token", "client_credentials", grantTokenExchange, grantJWTBearer, grantDeviceCode}

func knownGrants() string { return strings.Join(grantTypes, ", ") }
