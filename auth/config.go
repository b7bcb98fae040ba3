package auth

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// Server is an authorization server: its issuer, endpoints and capabilities
// (RFC 8414 section 2).
type Server = discovery.AuthorizationServer

// Defaults of [Config].
const (
	DefaultRefreshWindow        = 5 * time.Minute
	DefaultRefreshTimeout       = 30 * time.Second
	DefaultAuthorizationTimeout = 10 * time.Minute
	DefaultStepUpLimit          = 2
)

// Config configures a [Manager]. Resource is required; the zero value of every
// other field is a good default.
type Config struct {
	// Resource is the URL of the MCP server. It is the resource indicator of
	// every request for a token (RFC 8707) and where discovery begins.
	Resource string

	// Subject tells the tokens of several users for one resource apart in the
	// Store. It is never sent, logged or traced. Default: empty, one user.
	Subject string

	// Server is the authorization server, if known. With a TokenEndpoint it is
	// used as it is; with an Issuer alone its metadata is discovered from
	// there. Default: discovered from the MCP server's metadata (RFC 9728).
	Server *Server

	// Client is the pre-registered client. Default: registered on demand (RFC
	// 7591), once per issuer.
	Client Client

	// ClientMetadataURL is the https URL of the client's metadata document
	// (draft-ietf-oauth-client-id-metadata-document), which is its identifier
	// at servers that support that; ClientMetadataAuth is how it authenticates
	// then. Without a Client it goes before registration on demand. Default:
	// none, and no authentication.
	ClientMetadataURL  string
	ClientMetadataAuth ClientAuth

	// DPoP binds tokens to a key that every request proves to have (RFC 9449),
	// where the authorization server supports it: set dpop.Keys{}. Default:
	// nil, bearer tokens.
	DPoP ProofKeys

	// Registration is what a client registered on demand says of itself; the
	// grant adds redirect URIs and grant types. Default: ClientName "MCP
	// client (Go)".
	Registration registration.Metadata

	// Grant is how to get a token when none can be refreshed. Default: nil,
	// refresh only what SetToken gave.
	Grant Grant

	// Scopes to ask for from the start, in addition to a challenge's. Default:
	// the specification's selection: the challenge's scopes, else the
	// resource's scopes_supported, else none.
	Scopes []string

	// RefreshScopes chooses the scope parameter of a plain refresh from the
	// scopes granted and those requested so far. RFC 6749 section 6 needs none;
	// some servers want those requested again: [RequestedScopes]. Default: nil,
	// none.
	RefreshScopes func(granted, requested []string) []string

	// RefreshWindow is how long before its expiry a token is refreshed. A
	// token that lives less than twice as long is refreshed at half its life.
	// Each token's window is up to a tenth longer, at random, so that a fleet
	// does not refresh in step. Default: 5 minutes.
	RefreshWindow time.Duration

	// NoIdleRefresh turns off the timer that refreshes the token of a manager
	// that nobody asks. Refreshing inside the window when somebody does ask
	// stays on.
	NoIdleRefresh bool

	// RefreshTimeout bounds one refresh with all its retries; one request may
	// take two fifths of it. Default: 30 s.
	RefreshTimeout time.Duration

	// AuthorizationTimeout bounds one authorization, with the time that the
	// user takes. Default: 10 minutes.
	AuthorizationTimeout time.Duration

	// StepUpLimit is how many scope upgrades are tried for one operation
	// before its challenge fails at once for a while. Default: 2.
	StepUpLimit int

	// Store keeps tokens and registrations. Default: a new [MemoryStore].
	Store Store

	// RefreshWithoutStore lets a token be refreshed from memory while the Store
	// cannot be reached. Processes that share it may then burn each other's
	// refresh tokens. Default: false, the error says that the store is the
	// cause.
	RefreshWithoutStore bool

	// HTTPClient reaches the authorization server and metadata documents. Its
	// redirect policy is not used: requests that carry credentials never
	// follow redirects, metadata requests stay on their origin. Default: 30 s
	// timeout.
	//
	// Without a Transport of its own it keeps to public addresses, looked at
	// when they are dialled, for all that a resource on the Internet leads to
	// (RFC 9728 section 7.7, MCP 2026-07-28 security best practices on SSRF).
	// A resource that is itself in a private network, or on this machine, leads
	// anywhere; so may a Server and a Client.Issuer that are configured, and
	// requests that go through a proxy. With a Transport its dialer decides:
	// set http.DefaultTransport to have no limits.
	HTTPClient *http.Client

	// Tracer is told of every operation; see otelauth. Default: none.
	Tracer Tracer

	// Logger gets what an operator wants to see, without secrets: at Info what
	// changes a token, at Warn what failed to, at Error a token that could not
	// be stored, and at Debug each request, each access to the store and each
	// wait of a call. Default: discard.
	Logger *slog.Logger
}

// Format makes every fmt verb print the configuration without its secrets.
func (c Config) Format(f fmt.State, _ rune) {
	redact(f, "auth.Config{"+shownURL(c.Resource)+" client "+c.Client.ID+"}")
}

// LogValue implements [slog.LogValuer] without the secrets.
func (c Config) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(c)) }

// Client is the OAuth client: pre-registered, or registered on demand and then
// handed to the grant. It redacts itself.
type Client struct {
	// ID is the client identifier. Empty in a [Config]: registered on demand.
	ID string
	// Secret is the client secret, if it has one.
	Secret string
	// Auth is how the client authenticates. Default: with a Secret as the
	// server's metadata allows, client_secret_basic first; without one, none.
	Auth ClientAuth
	// Issuer is the authorization server that the client is registered with.
	// If set, it is an error when the resource names another. Default: the
	// Config's Server.Issuer, else any.
	Issuer string

	method       string // from the registration response
	registration *registration.Client
}

// Format makes every fmt verb print the client without its secret.
func (c Client) Format(f fmt.State, _ rune) { redact(f, "auth.Client{"+c.ID+"}") }

// LogValue implements [slog.LogValuer] without the secret.
func (c Client) LogValue() slog.Value { return slog.StringValue("auth.Client{" + c.ID + "}") }

// RequestedScopes is a policy for [Config.RefreshScopes]: ask again for all
// that was asked for, as Microsoft Entra ID wants it.
func RequestedScopes(_, requested []string) []string { return requested }

// shared is what all managers of one configuration have in common; they do not
// use its Resource and Subject. It is read-only but for the directory.
type shared struct {
	Config
	plain     *http.Client // HTTPClient as configured; that is traced
	trace     *traced
	post      *http.Client // never follows a redirect
	directory directory
	private   bool // the store is the manager's own
}

func newShared(cfg Config) (*shared, error) {
	private, logged := cfg.Store == nil, cfg.Logger != nil
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	trace, plain := newTraced(cfg.Tracer, cfg.Logger), cfg.HTTPClient
	trace.resends = trace.request != nil || logged
	cfg.HTTPClient = trace.client(plain)
	return &shared{
		Config:  cfg,
		plain:   plain,
		trace:   trace,
		post:    httpx.NoRedirect(cfg.HTTPClient),
		private: private,
	}, nil
}

// checkNames returns the canonical form of a resource, or a *[ConfigError] for
// it or the subject.
func checkNames(resource, subject string) (string, error) {
	if !isText(subject) {
		return "", &ConfigError{"Config.Subject", "is not UTF-8, so that it cannot be stored; encode it, in hexadecimal for instance"}
	}
	if resource == "" {
		return "", &ConfigError{"Config.Resource", "is empty; set it to the URL of the MCP server"}
	}
	if _, err := httpx.CheckURL("Config.Resource", resource); err != nil {
		return "", &ConfigError{"Config.Resource", "must be an absolute https URL (http only for a loopback host) without user information or fragment"}
	}
	canonical, err := discovery.ResourceURL(resource)
	if err != nil {
		return "", &ConfigError{"Config.Resource", "is no resource indicator of RFC 8707; set the absolute URL of the MCP server"}
	}
	if canonical == resource {
		return resource, nil // one string in memory, not two
	}
	return canonical, nil
}

// withDefaults returns a copy of c with its defaults in place, or a
// *[ConfigError] for the first field that cannot be used, Resource apart.
func (c Config) withDefaults() (Config, error) {
	for _, f := range []struct {
		field    string
		negative bool
	}{
		{"Config.RefreshWindow", c.RefreshWindow < 0},
		{"Config.RefreshTimeout", c.RefreshTimeout < 0},
		{"Config.AuthorizationTimeout", c.AuthorizationTimeout < 0},
		{"Config.StepUpLimit", c.StepUpLimit < 0},
	} {
		if f.negative {
			return c, &ConfigError{f.field, "must not be negative; leave it zero for its default"}
		}
	}
	if c.Client.ID == "" && (c.Client.Secret != "" || c.Client.Auth != nil) {
		return c, &ConfigError{"Config.Client.ID", "is empty but Secret or Auth is set; set the identifier they belong to"}
	}
	if c.ClientMetadataURL != "" {
		if err := registration.ValidateClientIDURL(c.ClientMetadataURL); err != nil {
			return c, &ConfigError{"Config.ClientMetadataURL", "must be an https URL with a path, without fragment, user information or dot segments"}
		}
	}
	if c.Server != nil {
		srv := *c.Server
		c.Server = &srv
		if srv.TokenEndpoint != "" && srv.CodeChallengeMethodsSupported == nil {
			srv.CodeChallengeMethodsSupported = []string{"S256"} // who configures a server vouches for it
		}
		if err := checkServer(&srv); err != nil {
			return c, err
		}
	}
	if c.Client.Issuer == "" && c.Server != nil {
		c.Client.Issuer = c.Server.Issuer
	}
	if c.Scopes = normalizeScopes(c.Scopes); slices.ContainsFunc(c.Scopes, func(s string) bool { return !isScope(s) }) {
		return c, &ConfigError{"Config.Scopes", notScopes}
	}
	c.RefreshWindow = orDefault(c.RefreshWindow, DefaultRefreshWindow)
	c.RefreshTimeout = orDefault(c.RefreshTimeout, DefaultRefreshTimeout)
	c.AuthorizationTimeout = orDefault(c.AuthorizationTimeout, DefaultAuthorizationTimeout)
	if c.StepUpLimit == 0 {
		c.StepUpLimit = DefaultStepUpLimit
	}
	if c.Registration.ClientName == "" {
		c.Registration.ClientName = "MCP client (Go)"
	}
	if c.Store == nil {
		c.Store = new(MemoryStore)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

const notScopes = "has an entry that is no scope of RFC 6749 section 3.3: list each scope as a string of its own, in ASCII, without spaces and quotation marks"

// checkServer validates a configured server.
func checkServer(s *Server) error {
	if s.Issuer == "" && s.TokenEndpoint == "" {
		return &ConfigError{"Config.Server", "has neither Issuer nor TokenEndpoint; set one, or leave Server nil to have it discovered"}
	}
	for _, u := range []struct{ field, url string }{
		{"Config.Server.Issuer", s.Issuer},
		{"Config.Server.TokenEndpoint", s.TokenEndpoint},
		{"Config.Server.AuthorizationEndpoint", s.AuthorizationEndpoint},
		{"Config.Server.RegistrationEndpoint", s.RegistrationEndpoint},
		{"Config.Server.RevocationEndpoint", s.RevocationEndpoint},
	} {
		if u.url == "" {
			continue
		}
		if _, err := httpx.CheckURL(u.field, u.url); err != nil {
			return &ConfigError{u.field, "must be an absolute https URL (http only for a loopback host) without user information or fragment"}
		}
	}
	return nil
}

func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}
