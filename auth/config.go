package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/mcptokens/mcptokens/auth/admission"
	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/auth/internal/finder"
	"github.com/mcptokens/mcptokens/auth/internal/lifecycle"
	"github.com/mcptokens/mcptokens/auth/internal/tracing"
	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/internal/httpx"
	"github.com/mcptokens/mcptokens/internal/shown"
)

// Server is an authorization server: its issuer, endpoints and capabilities
// (RFC 8414 section 2).
type Server = discovery.AuthorizationServer

// Defaults of Config, as its comments have them.
const (
	defaultRefreshWindow        = 5 * time.Minute
	defaultRefreshTimeout       = 30 * time.Second
	defaultAnswerTimeout        = time.Minute
	defaultAuthorizationTimeout = 10 * time.Minute
	defaultStepUpLimit          = 2
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

	// Server is what is known of the authorization server. Default: nil,
	// discovered from the MCP server's metadata (RFC 9728).
	//
	// With a TokenEndpoint it is used as it is, and nothing is discovered. With
	// an Issuer its metadata are discovered, and have to be of that issuer, as
	// the iss of a login's answer has to be. They are at the issuer's own
	// places, or where the MCP server lists a server of the same origin: set
	// Issuer to "https://as.example" when the list says
	// "https://as.example/tenant"; one that lists none is looked at itself. The MCP
	// server's own metadata are asked for scopes, where nothing else names any, and
	// need not be there.
	//
	// What else is set then takes precedence over the metadata: each URL, each
	// list that is not nil, each bool that is true. A server that does PKCE and
	// does not say so (Microsoft Entra ID, Amazon Cognito) needs
	//
	//	&auth.Server{Issuer: "…", CodeChallengeMethodsSupported: []string{"S256"}}
	Server *Server

	// Client is the pre-registered client. Default: registered on demand (RFC
	// 7591), once per issuer.
	Client Client

	// TrustDiscovery sends the program's own credentials to whatever authorization
	// server the MCP server names: a client's Secret, what its Auth makes, what a
	// grant sends such as a workload's token. Anybody who runs the MCP server, or
	// can answer for it, can then have them sent to a server of theirs.
	// It is for test suites and for MCP servers of your own. Default: false, they
	// go to Client.Issuer or Server only, and without either the first use is a
	// *[ConfigError] that shows the issuer found. A public client needs neither.
	TrustDiscovery bool

	// ClientMetadataURL is the https URL of the client's metadata document
	// (draft-ietf-oauth-client-id-metadata-document), which is its identifier
	// at servers that support that; ClientMetadataAuth is how it authenticates
	// then: that takes a Client.Issuer or Server, see TrustDiscovery. Without a
	// Client it is preferred to registration on demand, for a login until the server
	// refuses it. Default: none, and no authentication.
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

	// ScopeRules declines or maps the scopes that servers name. Default: none is
	// declined.
	ScopeRules ScopeRules

	// Requests changes the resource parameter and adds parameters of the server's
	// own to requests. Default: nothing.
	Requests Requests

	// RefreshWindow is how long before its expiry a token is refreshed. A
	// token that lives less than twice as long is refreshed at half its life.
	// So that a fleet does not refresh in step, each token's window is changed at
	// random: it is up to a half shorter, or up to a tenth longer with
	// NoIdleRefresh. Default: 5 minutes.
	RefreshWindow time.Duration

	// NoIdleRefresh turns off the timer that refreshes the token while no calls
	// come. A call inside the window still starts a refresh.
	NoIdleRefresh bool

	// RefreshTimeout bounds one refresh with all its retries, but for the answer to
	// a request that was sent; connecting and sending may take two fifths of it.
	// A process that shares the store, and has the credential's lock, may wait for
	// an answer: it is waited for as well, up to AnswerTimeout longer. Default: 30 s.
	RefreshTimeout time.Duration

	// AnswerTimeout is how long the answer to a request is waited for that spent a
	// refresh token or a code, whatever HTTPClient.Timeout says and even if all
	// callers have left. The answer may be the only copy of the new tokens, and a
	// server takes the old refresh token for stolen when it comes again. [Manager.Close]
	// waits for it too. Default: 1 minute.
	AnswerTimeout time.Duration

	// TokenRequests limits how many refreshes, and uses of a grant that needs no
	// person, run at once at one authorization server; the others wait, first come,
	// first served, before their RefreshTimeout begins, no longer than 5 minutes.
	// Configurations that are given the same gate share it. Default: all managers of
	// a [Pool] share one for 64 at once, each manager alone has its own.
	TokenRequests *admission.Gate

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
	// timeout. Its requests have the User-Agent "mcptokens/VERSION"; Network.Wrap
	// is the place to set another.
	//
	// Its Transport, or http.DefaultTransport, should be an *http.Transport: what
	// [Network] says of addresses is checked in front of its dialer. One of
	// another type is used for what the program named and for resources that are
	// not on the Internet; other requests fail with an error that says what to
	// set. A CA or a client certificate of yours belongs in its TLSClientConfig:
	// requests to the MCP server go through the Transport too, unless
	// transport.RoundTripper.Base or mcpgo.WithBaseClient says otherwise. Through a proxy, which connects itself, only addresses that URLs spell out
	// are checked.
	HTTPClient *http.Client

	// Network says which hosts may be in a private network or spoken to in plain
	// HTTP, such as "mcp:8000" in a cluster. Default: none but this machine, see
	// [Network].
	Network Network

	// Tracer hears of every operation; otelauth.NewTracer makes one. One that is
	// also a [ManagerTracer] hears of managers. Default: none.
	Tracer authtrace.Tracer

	// Logger gets what an operator wants to see, without secrets: at Info what
	// changes a token, at Warn what failed to, at Error a token that could not
	// be stored, and at Debug each request, each access to the store and each
	// wait of a call. Default: discard.
	Logger *slog.Logger
}

// Format makes every fmt verb print the configuration without its secrets.
func (c Config) Format(f fmt.State, _ rune) { redact(f, c.redacted()) }

// LogValue implements [slog.LogValuer] without the secrets.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.redacted()) }

// MarshalJSON encodes what Format prints.
func (c Config) MarshalJSON() ([]byte, error) { return json.Marshal(c.redacted()) }

func (c Config) redacted() string {
	return "auth.Config{" + shownURL(c.Resource) + " client " + shown.Text(c.Client.ID) + "}"
}

// Client is the OAuth client: pre-registered, or registered on demand and then
// handed to the grant. It redacts itself, as [Token] does.
type Client struct {
	// ID is the client identifier. Empty in a [Config]: registered on demand.
	ID string
	// Secret is the client secret, if it has one.
	Secret string
	// Auth is how the client authenticates. Default: with a Secret as the
	// server's metadata allows, client_secret_basic first; without one, none.
	Auth ClientAuth
	// Issuer is the authorization server that the client is registered with: what
	// it proves itself with goes there only, and it is an *[IssuerError] when the
	// resource names another. A client with a Secret or Auth, and a grant that
	// sends what is the program's own, need it (MCP 2026-07-28, "Authorization
	// Server Binding"), also without an ID; see [Config.TrustDiscovery]. Default: the Config's
	// Server.Issuer; else a public client is bound to the first server that gives
	// it a token.
	Issuer string

	method       string // from the registration response
	registration *registration.Client
	fresh        bool // registered for this use
	document     bool // ID is the URL of its metadata document
}

// shared is what all managers of one configuration have in common. It is
// read-only except for what the finder remembers.
type shared struct {
	policy        lifecycle.Policy
	store         storeConfig
	obtainer      obtainer
	observer      ManagerTracer // nil: none
	network       *httpx.Policy // nil: no exceptions
	authorization time.Duration // bounds a login
	stepUpLimit   int
	pooled        *pooled // hears events; nil: of no pool
}

func newShared(cfg Config) (*shared, error) {
	private := cfg.Store == nil
	network, err := cfg.Network.policy()
	if err != nil {
		return nil, err
	}
	c, err := cfg.withDefaults(network)
	if err != nil {
		return nil, err
	}
	trace := tracing.New(c.Tracer, c.Logger)
	traced := trace.Client(c.Network.wrapped(c.HTTPClient))
	credentials, issuer := newCredentials(c.Server, &c.Client, c.ClientMetadataAuth, c.Grant, c.TrustDiscovery)
	search := finder.Config{
		Server: c.Server, ClientID: c.Client.ID, ClientIssuer: issuer, HTTPClient: traced, Plain: c.HTTPClient,
		Network: network, Wrap: c.Network.Wrap,
	}
	if !trace.Silent() {
		search.TraceClient = trace.Client
		search.Trace = func(ctx context.Context, resource, issuer string) (context.Context, func(string, error)) {
			ctx = trace.Start(ctx, authtrace.DiscoveryStart{Resource: resource, Issuer: issuer})
			return ctx, func(issuer string, err error) { trace.End(ctx, authtrace.DiscoveryEnd{Issuer: issuer, Err: err}) }
		}
	}
	found := finder.New(search)
	s := &shared{
		policy: lifecycle.Policy{Window: c.RefreshWindow, Jitter: rand.Float64, Timed: withNextAttempt, Idle: !c.NoIdleRefresh, Shared: !private, Patience: c.AnswerTimeout},
		store:  storeConfig{store: c.Store, keys: c.DPoP, trace: trace, private: private, anyway: c.RefreshWithoutStore},
		obtainer: obtainer{
			grant: c.Grant, asks: asksOf(c.Scopes, c.ScopeRules, c.Requests), finder: found, timeout: c.RefreshTimeout, trace: trace,
			gate: c.TokenRequests, endpoint: endpoint{finder: found, open: traced, answer: c.AnswerTimeout},
			clients: clients{
				configured: c.Client, credentials: credentials,
				store: c.Store, finder: found, timeout: c.RefreshTimeout, trace: trace,
			},
		},
		network: network, authorization: c.AuthorizationTimeout, stepUpLimit: c.StepUpLimit,
	}
	s.store.client, s.store.server = &s.obtainer.clients.configured, c.Server
	if c.Client.ID == "" {
		s.obtainer.clients.ours = &ourClient{metadataURL: c.ClientMetadataURL, metadataAuth: c.ClientMetadataAuth, registration: c.Registration}
	}
	s.observer, _ = c.Tracer.(ManagerTracer)
	_, s.policy.Hints = c.Store.(Watcher)
	switch {
	case c.Grant == nil:
	case c.Grant.Interactive():
		s.policy.Grant = lifecycle.Person
	default:
		s.policy.Grant = lifecycle.Alone
	}
	return s, nil
}
