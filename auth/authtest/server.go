package authtest

import (
	"cmp"
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
	// URL is the server's name: scheme and host, such as "https://login.example.com". [Server.Client] and
	// [Server.Transport] reach it by that name, and nothing else does; there is no TLS, and no DNS. A client
	// of this module's needs auth.Network{AnyAddress: true} for it. Default: the address it listens on.
	URL string
	// Endpoints are the URLs of endpoints that have places of their own, such as
	// "https://tokens.example.com/v1/token", or their paths at URL. They are served and advertised there;
	// other hosts are reached as URL is. Not for the metadata, see MetadataAt. Default: none, below the issuer.
	Endpoints map[Endpoint]string
	// MetadataAt are the paths at URL of the metadata document. Default: all the well-known ones that
	// clients try.
	MetadataAt []string
	// IssuerPath makes the issuer a URL with a path, such as "/tenant1". Default: none.
	IssuerPath string
	// IssuerWithoutPath makes the server call itself by its URL without IssuerPath, in its metadata and
	// in iss, while [Server].Issuer is where resources send clients: a tenant of a service. Default: false.
	IssuerWithoutPath bool

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

	// Offline, if set, says which authorization and device requests lead to a refresh token: those that name
	// the scope offline_access, for instance. It may be called concurrently. Default: nil, all do.
	Offline func(request url.Values) bool

	// NoRotation lets a refresh token be used any number of times, and refresh responses carry none
	// (RFC 6749 section 6). Default: false, every refresh rotates, and a spent token that comes back
	// revokes everything which descends from the same authorization (OAuth 2.1 section 4.3.1).
	NoRotation bool
	// NoReuseDetection issues a new refresh token at every refresh, and the old ones stay good. Default: false.
	NoReuseDetection bool
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
	// Default: none, client_secret_basic, client_secret_post and private_key_jwt.
	TokenEndpointAuthMethods []string

	// RegisteredScopes limits a client that registers itself to the scopes of its registration, as
	// some servers do: what it did not name is not granted, and asking for it is invalid_scope. A
	// client that names none gets "openid". The answer says so. Default: false, anything is granted.
	RegisteredScopes bool
	// PortlessRedirectURIs registers loopback redirect URIs without their port, which is then any.
	// Default: false, as they were asked for.
	PortlessRedirectURIs bool
	// ExactRedirectURIs compares redirect URIs to the letter, also the port of loopback ones, which RFC 8252
	// section 7.3 leaves to the client. Default: false.
	ExactRedirectURIs bool
	// ResourceParameter names the parameter that says what a token is for: "audience" at some servers,
	// "none" at those that take no notice of any. The tokens of the latter are for no resource in particular,
	// see [Protection].AllowUnbound. Default: "resource" (RFC 8707).
	ResourceParameter string
	// UnknownClient, if set, answers authorization requests whose client or redirect URI is not known.
	// Default: nil, 400 and a line of text.
	UnknownClient http.HandlerFunc
	// KeepAccessTokens answers unsupported_token_type to the revocation of an access token (RFC 7009
	// section 2.2.1), as servers whose tokens are JWTs do. Default: false.
	KeepAccessTokens bool

	// PAR serves and advertises the pushed authorization request endpoint (RFC 9126). Default: false.
	PAR bool
	// RequirePAR takes authorization requests no other way, and says so in the metadata. It implies PAR.
	// Default: false.
	RequirePAR bool

	// RefreshWithoutScope is what a refresh grants that names no scopes, in place of all of the
	// authorization's. Default: nil, all.
	RefreshWithoutScope []string
	// Refuse, if set, is asked about every authorization, device and token request that arrives, pushed
	// ones too, by AuthorizeEndpoint, DeviceEndpoint and TokenEndpoint. An error code refuses the request;
	// nothing is spent. After a colon and a space it may have a description: "invalid_scope: no such
	// scope". It may be called concurrently. Default: nil.
	Refuse func(e Endpoint, form url.Values) (code string)
	// Rewrite, if set, changes what an endpoint has answered just before it is sent: the metadata, a token,
	// an error, a redirect. Form parameters are in r.PostForm. Faults are not changed. It may be called
	// concurrently. Default: nil.
	Rewrite func(e Endpoint, r *http.Request, a *Reply)

	// DeviceCodeTTL is the lifetime of device codes (RFC 8628). Default: 10 minutes.
	DeviceCodeTTL time.Duration
	// DeviceInterval is what a client has to leave between polls, in whole seconds. Default: 5 seconds.
	DeviceInterval time.Duration

	// Metadata, if set, changes the authorization server metadata document just before it is sent:
	// set, replace or delete members. It may be called concurrently. Default: nil.
	Metadata func(doc map[string]any)
}

// The client authentication methods that the server knows (RFC 7591 section 2).
var authMethods = []string{"none", "client_secret_basic", "client_secret_post", privateKeyJWT}

func (c Config) withDefaults() (Config, error) {
	if c.AccessTokenTTL == 0 {
		c.AccessTokenTTL = time.Hour
	}
	if len(c.TokenEndpointAuthMethods) == 0 {
		c.TokenEndpointAuthMethods = slices.Clone(authMethods)
	}
	if c.DeviceCodeTTL == 0 {
		c.DeviceCodeTTL = 10 * time.Minute
	}
	if c.DeviceInterval == 0 {
		c.DeviceInterval = 5 * time.Second
	}
	if c.ResourceParameter == "" {
		c.ResourceParameter = "resource"
	}
	c.PAR = c.PAR || c.RequirePAR
	switch {
	case c.DeviceCodeTTL < 0:
		return c, errors.New("authtest: Config.DeviceCodeTTL is negative: use 0 for 10 minutes")
	case c.DeviceInterval < time.Second:
		return c, errors.New("authtest: Config.DeviceInterval is less than a second: use 0 for 5 seconds")
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
	places    places
	net       network
	wires     *wires
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
	if cfg.Peer != nil {
		s.wires = cfg.Peer.wires
	} else {
		s.wires = newWires(s.net)
	}
	s.transport = &http.Transport{DialContext: s.wires.dial, DialTLSContext: s.wires.dialTLS, MaxIdleConnsPerHost: 64}
	s.state.init()
	s.hosts.init()
	l, err := s.net.listen()
	if err != nil {
		return nil, fmt.Errorf("authtest: cannot listen on the loopback network: %w", err)
	}
	s.URL = cfg.URL
	if s.URL == "" {
		s.URL = "http://" + l.Addr().String()
	}
	s.Issuer = s.URL + cfg.IssuerPath
	if s.places, err = s.findPlaces(); err != nil {
		_ = l.Close()
		return nil, err
	}
	s.wires.name(l.Addr().String(), s.places.hosts...)
	s.hosts.serve(l, http.HandlerFunc(s.route))
	return s, nil
}

// name is what the server calls itself.
func (s *Server) name() string {
	if s.cfg.IssuerWithoutPath {
		return s.URL
	}
	return s.Issuer
}

// refuses asks Config.Refuse.
func (s *Server) refuses(e Endpoint, form url.Values) *oauthError {
	if s.cfg.Refuse == nil {
		return nil
	}
	if code := s.cfg.Refuse(e, cloneValues(form)); code != "" {
		code, reason, _ := strings.Cut(code, ": ")
		return badRequest(code, cmp.Or(reason, "Config.Refuse says so"))
	}
	return nil
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
// for ResourceEndpoint and ResourceMetadataEndpoint, see [Resource], and for RefreshRequests, which
// are at TokenEndpoint.
func (s *Server) Endpoint(e Endpoint) string {
	return s.places.urls[e]
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
