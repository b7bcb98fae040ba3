package authtest

import (
	"crypto"
	"crypto/rand"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// TokenPair is what [Server.IssueToken] hands out.
type TokenPair struct {
	AccessToken  string
	RefreshToken string    // "" with Config.NoRefreshToken
	Expiry       time.Time // of the access token
	Scopes       []string
	Resource     string
}

// IssueToken issues a token out of the blue, for tests which begin with one. Resource is the
// URL of the resource that will accept it. The refresh token belongs to the client that uses it first.
func (s *Server) IssueToken(scopes []string, resource string) TokenPair {
	return s.issuePair(&family{resource: resource, scopes: slices.Clone(scopes)})
}

func (s *Server) issuePair(f *family) TokenPair {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	t, expiry := s.issue(f, f.scopes, true)
	return TokenPair{AccessToken: t.AccessToken, RefreshToken: t.RefreshToken, Expiry: expiry, Scopes: slices.Clone(f.scopes), Resource: f.resource}
}

// RevokeAccess kills an access token; its refresh token lives on. The resource answers 401 from now
// on. Unknown tokens are ignored.
func (s *Server) RevokeAccess(token string) {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	if a := s.state.access[token]; a != nil {
		a.revoked = true
	}
}

// RevokeAll kills all tokens issued so far, refresh tokens included.
func (s *Server) RevokeAll() {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	for _, a := range s.state.access {
		a.family.revoked = true
	}
}

// RefreshTokenUses returns how often the server processed each refresh token that it issued. More
// than 1 is a client that repeated itself; with rotation, one that is about to lose its session.
func (s *Server) RefreshTokenUses() map[string]int {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	uses := make(map[string]int, len(s.state.refresh))
	for token, r := range s.state.refresh {
		uses[token] = r.uses
	}
	return uses
}

// family is one authorization and all tokens that descend from it (RFC 9700 section 4.14.2).
type family struct {
	client   string // "" until a client claims it: see IssueToken
	subject  string // "" where nobody is named: see about
	actors   []string
	resource string
	audience []string // beside the resource
	scopes   []string // the grant's: the most a refresh may ask for
	online   bool     // no refresh token goes with it: see Config.Offline
	revoked  bool
}

type accessToken struct {
	family  *family
	scopes  []string
	issued  time.Time
	expiry  time.Time
	revoked bool
}

func (a *accessToken) live() bool {
	return !a.revoked && !a.family.revoked && time.Now().Before(a.expiry)
}

type refreshToken struct {
	family *family
	uses   int
	spent  time.Time      // zero: it is not
	answer *tokenResponse // what it was spent for, to be repeated within the grace
}

type code struct {
	family    *family
	redirect  string
	challenge string
	expiry    time.Time
	used      bool
}

// state is what the authorization server remembers. No I/O happens under its mutex.
type state struct {
	mu        sync.Mutex
	clients   map[string]*client
	codes     map[string]*code
	access    map[string]*accessToken
	refresh   map[string]*refreshToken
	resources []*Resource
	registers []Registration

	issuers    map[string][]crypto.PublicKey
	assertions onceOnly
	devices    map[string]*device // by device code
	pushed     map[string]*pushed // by request_uri
}

func (st *state) init() {
	st.clients = map[string]*client{}
	st.codes = map[string]*code{}
	st.access = map[string]*accessToken{}
	st.refresh = map[string]*refreshToken{}
	st.issuers = map[string][]crypto.PublicKey{}
	st.devices = map[string]*device{}
	st.pushed = map[string]*pushed{}
}

// tokenResponse is the successful answer of the token endpoint (RFC 6749 section 5.1).
type tokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in,omitempty"` // seconds
	RefreshToken string `json:"refresh_token,omitempty"`
	Scope        string `json:"scope,omitempty"`

	IssuedTokenType string `json:"issued_token_type,omitempty"` // RFC 8693 section 2.2.1
}

// issue makes an access token and, if asked for and configured, a refresh token. The caller holds
// the mutex.
func (s *Server) issue(f *family, scopes []string, refresh bool) (*tokenResponse, time.Time) {
	now := time.Now()
	expiry := now.Add(s.cfg.AccessTokenTTL)
	t := &tokenResponse{AccessToken: "access-" + rand.Text(), TokenType: "Bearer"}
	s.state.access[t.AccessToken] = &accessToken{family: f, scopes: slices.Clone(scopes), issued: now, expiry: expiry}
	if refresh && !s.cfg.NoRefreshToken {
		t.RefreshToken = "refresh-" + rand.Text()
		s.state.refresh[t.RefreshToken] = &refreshToken{family: f}
	}
	if !s.cfg.NoExpiresIn {
		t.ExpiresIn = int64(s.cfg.AccessTokenTTL / time.Second)
	}
	if !s.cfg.OmitScope {
		t.Scope = strings.Join(scopes, " ")
	}
	return t, expiry
}

// grantable returns the scopes of a request that the server grants at all.
func (s *Server) grantable(scope string) ([]string, *oauthError) {
	asked := fields(scope)
	if len(s.cfg.ScopesSupported) == 0 {
		return asked, nil
	}
	granted := intersect(asked, s.cfg.ScopesSupported)
	if len(asked) > 0 && len(granted) == 0 {
		return nil, badRequest("invalid_scope", "none of the scopes is supported")
	}
	return granted, nil
}

// online reports whether a request leads to no refresh token.
func (s *Server) online(request url.Values) bool {
	return s.cfg.Offline != nil && !s.cfg.Offline(cloneValues(request))
}

// checkResource checks the resource parameter of a request (RFC 8707 section 2), or what goes for it
// here, and returns it. No parameter is no error, but the token will open no resource which checks its
// audience.
func (s *Server) checkResource(form url.Values) (string, *oauthError) {
	if s.cfg.ResourceParameter == "none" {
		return "", nil
	}
	given := form[s.cfg.ResourceParameter]
	if len(given) == 0 {
		return "", nil
	}
	if len(given) > 1 {
		return "", badRequest("invalid_target", "one resource at a time, please")
	}
	u, err := url.Parse(given[0])
	if err != nil || !u.IsAbs() || u.Fragment != "" {
		return "", badRequest("invalid_target", "resource is not an absolute URI without a fragment")
	}
	known := s.resources()
	// With no resources of its own the server is asked about another server's.
	if len(known) > 0 && !slices.ContainsFunc(known, func(res *Resource) bool { return res.is(given[0]) }) {
		return "", badRequest("invalid_target", "no such resource")
	}
	return given[0], nil
}

// grant is what an access token stands for at one moment.
type grant struct {
	resource string
	scopes   []string
	issued   time.Time
	expiry   time.Time
	revoked  bool
}

// lookup returns what an access token stands for, and whether the server knows it.
func (s *Server) lookup(token string) (grant, bool) {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	a := s.state.access[token]
	if a == nil {
		return grant{}, false
	}
	return grant{a.family.resource, a.scopes, a.issued, a.expiry, a.revoked || a.family.revoked}, true
}

// resources returns the protected resources. What is done with them may call the user's hooks, which
// is why it is not done under the mutex.
func (s *Server) resources() []*Resource {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	return slices.Clone(s.state.resources)
}

// fields splits a scope parameter (RFC 6749 section 3.3) and drops repetitions.
func fields(scope string) []string {
	var out []string
	for _, s := range strings.Fields(scope) {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// union returns a and what b adds to it, in order.
func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// intersect returns what of a is in b, in a's order.
func intersect(a, b []string) []string {
	var out []string
	for _, s := range a {
		if slices.Contains(b, s) {
			out = append(out, s)
		}
	}
	return out
}

// covers reports whether all of need is in have.
func covers(have, need []string) bool { return len(intersect(need, have)) == len(need) }
