package authtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// TB is the part of testing.TB that the kit needs. It keeps package testing, and its flags, out of
// programs which use [Start].
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// ScopePolicy says what a refresh does with scopes that it may not grant.
type ScopePolicy int

const (
	// NarrowScopes grants the permitted ones and drops the rest in silence (RFC 6749 section 3.3).
	NarrowScopes ScopePolicy = iota
	// RefuseScopes answers invalid_scope (RFC 6749 sections 5.2 and 6).
	RefuseScopes
)

// Config sets up a [Server]. The zero value is a well-behaved server on the loopback network.
type Config struct {
	// InMemory replaces the loopback sockets by an in-memory network, so that everything can run in
	// a testing/synctest bubble. Only [Server.Client] and [Server.Transport] reach it. Default: false.
	InMemory bool
	// Peer is another server whose network this one joins, so that one client reaches both; InMemory
	// is then Peer's. It has to outlive this server. Default: nil, a network of its own.
	Peer *Server
	// IssuerPath makes the issuer a URL with a path, such as "/tenant1". Default: none.
	IssuerPath string

	// Page shows a consent page with the buttons "approve" and "deny" (these are their ids) instead
	// of approving at once. Default: false.
	Page bool
	// ScopesSupported is advertised, and what is not in it is never granted: a request that also
	// asks for other scopes gets fewer, one that asks only for others gets invalid_scope.
	// Default: nil, anything is granted.
	ScopesSupported []string
	// NoIssParameter leaves iss (RFC 9207) out of authorization responses and does not advertise it.
	// Default: false.
	NoIssParameter bool

	// AccessTokenTTL is the lifetime of access tokens. Default: 1 hour.
	AccessTokenTTL time.Duration
	// NoExpiresIn leaves expires_in out of token responses; tokens expire all the same. Default: false.
	NoExpiresIn bool
	// OmitScope leaves scope out of token responses. Default: false.
	OmitScope bool
	// NoRefreshToken issues access tokens only. Default: false.
	NoRefreshToken bool

	// NoRotation lets a refresh token be used any number of times, and refresh responses carry none
	// (RFC 6749 section 6). Default: false, every refresh rotates, and a spent token that comes back
	// revokes everything which descends from the same authorization (OAuth 2.1 section 4.3.1).
	NoRotation bool
	// RotationGrace is how long a spent refresh token still gets the answer it got the first time,
	// for clients which lost it. Default: 0, not at all.
	RotationGrace time.Duration
	// RefreshWidens lets a refresh ask for scopes beyond the original grant. RFC 6749 section 6
	// forbids it, some servers do it. Default: false.
	RefreshWidens bool
	// RefreshScopePolicy is what happens to such scopes otherwise. Default: NarrowScopes.
	RefreshScopePolicy ScopePolicy

	// NoRegistration switches dynamic client registration off. Default: false.
	NoRegistration bool
	// ClientIDMetadata accepts any https URL as a client ID, without fetching the document behind it,
	// and advertises client_id_metadata_document_supported. Default: false.
	ClientIDMetadata bool
	// TokenEndpointAuthMethods are the client authentication methods advertised and accepted.
	// Default: none, client_secret_basic and client_secret_post.
	TokenEndpointAuthMethods []string

	// Metadata, if set, changes the authorization server metadata document just before it is sent:
	// set, replace or delete members. It may be called concurrently. Default: nil.
	Metadata func(doc map[string]any)
}

// The client authentication methods that the server knows (RFC 7591 section 2).
var authMethods = []string{"none", "client_secret_basic", "client_secret_post"}

func (c Config) withDefaults() (Config, error) {
	if c.AccessTokenTTL == 0 {
		c.AccessTokenTTL = time.Hour
	}
	if len(c.TokenEndpointAuthMethods) == 0 {
		c.TokenEndpointAuthMethods = slices.Clone(authMethods)
	}
	switch {
	case c.AccessTokenTTL < 0:
		return c, errors.New("authtest: Config.AccessTokenTTL is negative: use 0 for one hour, or revoke tokens to kill them early")
	case c.RotationGrace < 0:
		return c, errors.New("authtest: Config.RotationGrace is negative: use 0 for no grace")
	case c.RefreshScopePolicy != NarrowScopes && c.RefreshScopePolicy != RefuseScopes:
		return c, errors.New("authtest: Config.RefreshScopePolicy: use NarrowScopes or RefuseScopes")
	case c.IssuerPath != "" && (!strings.HasPrefix(c.IssuerPath, "/") || strings.HasSuffix(c.IssuerPath, "/") || strings.ContainsAny(c.IssuerPath, "?#% ")):
		return c, fmt.Errorf("authtest: Config.IssuerPath %q: begin it with a slash, do not end it with one, and leave out query, fragment and escapes", c.IssuerPath)
	}
	for _, m := range c.TokenEndpointAuthMethods {
		if !slices.Contains(authMethods, m) {
			return c, fmt.Errorf("authtest: Config.TokenEndpointAuthMethods: %q is not supported: use %s", m, strings.Join(authMethods, ", "))
		}
	}
	return c, nil
}

// Server is an authorization server, with the network and the protected resources around it. Get
// one from [NewServer], [NewServerConfig] or [Start]. Its methods may be called concurrently.
type Server struct {
	// URL is where the server listens: scheme, host and port, no trailing slash.
	URL string
	// Issuer is the issuer identifier (RFC 8414): URL and Config.IssuerPath.
	Issuer string

	cfg       Config
	tb        TB // nil after Start
	net       network
	transport *http.Transport
	hosts     hosts
	state     state
	record    recorder
	faults    injector
	closeOnce sync.Once
}

// NewServer starts a server with the default configuration. It is closed when the test ends; any
// failure ends the test.
func NewServer(t TB) *Server {
	t.Helper()
	return NewServerConfig(t, Config{})
}

// NewServerConfig is [NewServer] with a configuration.
func NewServerConfig(t TB, cfg Config) *Server {
	t.Helper()
	s, err := Start(cfg)
	if err != nil {
		t.Fatalf("%v", err)
		return nil // only for a TB whose Fatalf returns
	}
	s.tb = t
	t.Cleanup(s.Close)
	return s
}

// Start starts a server outside of tests. The caller closes it. The error names the field of cfg
// that cannot be used, or says why the machine's loopback network cannot.
func Start(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, net: newNetwork(cfg)}
	s.transport = &http.Transport{DialContext: s.net.dial, MaxIdleConnsPerHost: 64}
	s.state.init()
	s.hosts.init()
	l, err := s.net.listen()
	if err != nil {
		return nil, fmt.Errorf("authtest: cannot listen on the loopback network: %w", err)
	}
	s.URL = "http://" + l.Addr().String()
	s.Issuer = s.URL + cfg.IssuerPath
	s.hosts.serve(l, http.HandlerFunc(s.route))
	return s, nil
}

// Close stops the server and its resources: delayed answers are dropped, connections cut, and all
// goroutines waited for. A handler given to [Server.Protect] has to return when its request's context
// ends. Further calls do nothing.
func (s *Server) Close() {
	s.closeOnce.Do(func() {
		s.transport.CloseIdleConnections()
		s.hosts.close()
	})
}

// Client returns a new client that reaches the server and its resources in either network. The
// caller may change it. It follows redirects, as clients do by default.
func (s *Server) Client() *http.Client { return &http.Client{Transport: s.transport} }

// Transport returns the transport below [Server.Client]. All clients share it. Like every
// http.Transport it repeats a GET by itself, once, when the connection it reused breaks: a single
// [ResetBefore] or [ResetAfter] at a metadata endpoint can go unnoticed.
func (s *Server) Transport() http.RoundTripper { return s.transport }

// Endpoint returns the URL of an endpoint, for clients which are configured by hand. It is empty
// for ResourceEndpoint and ResourceMetadataEndpoint; see [Resource].
func (s *Server) Endpoint(e Endpoint) string {
	switch e {
	case MetadataEndpoint:
		return s.URL + wellKnownOAuth + s.cfg.IssuerPath
	case AuthorizeEndpoint, TokenEndpoint, RegistrationEndpoint, RevocationEndpoint, IntrospectionEndpoint:
		return s.Issuer + "/" + string(e)
	}
	return ""
}

// Approve plays the user: it sends the authorization request (the URL that a client would open in a
// browser), approves it, and returns the URL the browser would be redirected to, code or error in its
// query, without following it. The error says what was answered instead of a redirect.
func (s *Server) Approve(ctx context.Context, authorizationURL string) (string, error) {
	body := strings.NewReader(url.Values{"decision": {"approve"}}.Encode())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, authorizationURL, body)
	if err != nil {
		return "", fmt.Errorf("authtest: authorization URL: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	c := s.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := c.Do(req)
	if err != nil {
		return "", fmt.Errorf("authtest: authorization request: %w", err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if resp.StatusCode/100 != 3 {
		return "", fmt.Errorf("authtest: authorization request answered %s: %s", resp.Status, text)
	}
	return resp.Header.Get("Location"), nil
}

// route finds the endpoint a request is for.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	path := s.cfg.IssuerPath
	switch r.URL.Path {
	case wellKnownOAuth + path, wellKnownOIDC + path, path + wellKnownOIDC:
		s.handle(MetadataEndpoint, w, r, s.serveMetadata)
	case path + "/authorize":
		s.handle(AuthorizeEndpoint, w, r, s.serveAuthorize)
	case path + "/token":
		s.handle(TokenEndpoint, w, r, s.serveToken)
	case path + "/revoke":
		s.handle(RevocationEndpoint, w, r, s.serveRevoke)
	case path + "/introspect":
		s.handle(IntrospectionEndpoint, w, r, s.serveIntrospect)
	case path + "/register":
		if s.cfg.NoRegistration {
			http.NotFound(w, r)
			return
		}
		s.handle(RegistrationEndpoint, w, r, s.serveRegister)
	default:
		for _, res := range s.resources() {
			if res.protection.SameOrigin && res.owns(r.URL.Path) {
				res.route(w, r)
				return
			}
		}
		http.NotFound(w, r)
	}
}
