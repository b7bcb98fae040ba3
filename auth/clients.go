package auth

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/auth/internal/finder"
	"github.com/mcptokens/mcptokens/auth/internal/standing"
	"github.com/mcptokens/mcptokens/auth/internal/tracing"
	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/internal/clientsecret"
)

// clients knows which client to be at a server: the configured one, its
// metadata document, or one registered on demand. Registrations are in the
// store, shared by all resources of an issuer.
type clients struct {
	configured Client
	ours       *ourClient // without a configured one
	// credentials are nil if none of the program's credentials are sent.
	credentials *credentials
	store       Store
	finder      *finder.Finder
	timeout     time.Duration
	trace       *tracing.Reporter
}

// ourClient is a client that nobody registered by hand.
type ourClient struct {
	metadataURL  string // of the client ID metadata document
	metadataAuth ClientAuth
	registration registration.Metadata // what a registered one says about itself
	seen         standing.Book         // what became of those that were registered
}

// seen is what is remembered of registered clients; nothing where the program
// names its client.
func (c *clients) seen() *standing.Book {
	if c.ours == nil {
		return new(standing.Book)
	}
	return &c.ours.seen
}

// get returns the client to use at srv, in the specification's
// order of preference: pre-registered, client ID metadata document, dynamic
// registration (MCP 2026-07-28, client registration). want is what the grant
// needs to be registered, scopes what it is about to ask for.
func (c *clients) get(ctx context.Context, resource string, srv *Server, rec *Record, want registration.Metadata, scopes []string) (_ *Client, unsaved, err error) {
	switch known, err := c.known(srv, rec); {
	case err != nil:
		return nil, nil, err
	case known != nil && (c.configured.ID != "" || takes(srv, c.ours.method()) && !c.refusedDocument(srv)):
		theirs := *known // a grant of the program gets it
		return &theirs, nil, nil
	}
	usable := func(reg *registration.Client) bool {
		return reg != nil && standing.Suits(reg, want.RedirectURIs, want.GrantTypes)
	}
	suits := func(reg *registration.Client) bool {
		return usable(reg) && (standing.KnowsScopes(reg, scopes) || srv.RegistrationEndpoint == "" || c.seen().Hopeless(srv.Issuer, reg.ClientID, wallNow()))
	}
	reg, generation, err := c.stored(ctx, srv, rec)
	if err != nil {
		return nil, nil, err
	}
	if suits(reg) {
		return registeredClient(srv, reg), nil, nil
	}
	if err := srv.Problem("registration_endpoint"); err != nil {
		return nil, nil, &discovery.Error{Op: "client registration", Err: err}
	}
	if srv.RegistrationEndpoint == "" && c.ours.metadataURL != "" && srv.ClientIDMetadataDocumentSupported {
		return nil, nil, &ConfigError{"Config.ClientMetadataAuth", "is " + c.ours.method() + ", which the authorization server " + srv.Issuer +
			" does not list, and it does not register clients on demand; use one of " + strings.Join(srv.TokenEndpointAuthMethodsSupported, ", ")}
	}
	if srv.RegistrationEndpoint == "" {
		return nil, nil, &ConfigError{"Config.Client.ID", "is empty, and the authorization server " + srv.Issuer + " does not register clients on demand; register a client there and set it"}
	}
	// Another caller or process that needs a client at the same time waits, and
	// finds it in the store. Without the lock there is one more registration.
	key := Key{Issuer: srv.Issuer}
	waiting, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	start := time.Now()
	unlock, err := c.store.Lock(waiting, key)
	c.trace.Step(ctx, authtrace.StepLock, start, err)
	if err == nil {
		defer unlock()
		if reg, generation, err = c.stored(ctx, srv, rec); err != nil {
			return nil, nil, err
		}
		if suits(reg) {
			return registeredClient(srv, reg), nil, nil
		}
	}
	old := reg
	if usable(old) { // all that lacks are scopes: the issuer's other resources need the former ones
		all, _ := boundedScopes(splitScopes(want.Scope), old.Scopes)
		want.Scope = joinScopes(all)
	}
	ctx = c.trace.Start(ctx, authtrace.RegistrationStart{Issuer: srv.Issuer})
	reg, err = c.register(ctx, resource, srv, want)
	end := authtrace.RegistrationEnd{Err: err}
	if err == nil {
		end.ClientID = reg.ClientID
	}
	c.trace.End(ctx, end)
	c.trace.Ended(ctx, "client registered", "client registration failed", err, slog.String("issuer", srv.Issuer), slog.String("client_id", end.ClientID))
	if err != nil {
		if usable(old) && ctx.Err() == nil { // the server may not mind the scopes
			c.seen().InVain(srv.Issuer, old.ClientID, wallNow())
			return registeredClient(srv, old), nil, nil
		}
		return nil, nil, err
	}
	if usable(old) && reg.Scopes != nil { // what was declined is not asked for again and again
		reg.DeclinedScopes, _ = boundedScopes(reg.DeclinedScopes, missingScopes(reg.Scopes, old.DeclinedScopes))
	}
	c.seen().Known(srv.Issuer, reg.ClientID, wallNow())
	if len(reg.DeclinedScopes) > 0 {
		c.trace.Say(ctx, "client registered for fewer scopes than were asked for", nil,
			slog.String("issuer", srv.Issuer), slog.String("declined", joinScopes(reg.DeclinedScopes)))
	}
	// Kept for the issuer's other resources and for the next login. Losing it
	// costs one registration, so a failure is only reported.
	_, unsaved = c.store.Save(ctx, key, &Record{Generation: generation, Issuer: srv.Issuer, Registration: reg})
	if errors.Is(unsaved, ErrConflict) {
		unsaved = nil // another process registered one
	}
	if unsaved != nil {
		unsaved = &StoreError{Op: "save", Err: unsaved}
	}
	client := registeredClient(srv, reg)
	client.fresh = true
	return client, unsaved, nil
}

func (c *clients) register(ctx context.Context, resource string, srv *Server, want registration.Metadata) (*registration.Client, error) {
	meta := c.ours.registration
	meta.RedirectURIs = want.RedirectURIs
	meta.GrantTypes = want.GrantTypes
	if len(srv.GrantTypesSupported) > 0 && !slices.Contains(srv.GrantTypesSupported, "refresh_token") {
		meta.GrantTypes = slices.DeleteFunc(slices.Clone(meta.GrantTypes), func(t string) bool { return t == "refresh_token" })
	}
	meta.ResponseTypes = want.ResponseTypes
	meta.Scope = joinScopes(unionScopes(splitScopes(meta.Scope), splitScopes(want.Scope)))
	if meta.TokenEndpointAuthMethod == "" {
		meta.TokenEndpointAuthMethod = registrationAuthMethod(srv, want.GrantTypes)
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var reg *registration.Client
	_, err := retry(ctx, c.trace, 0, func(ctx context.Context) (err error) {
		reg, err = registration.Registrar{
			HTTPClient: c.finder.Client(resource), Network: c.finder.Network(),
			AuthMethods: srv.TokenEndpointAuthMethodsSupported, Reduce: true,
		}.Register(ctx, srv.RegistrationEndpoint, meta)
		var answered *registration.Error
		if err != nil && !errors.As(err, &answered) { // nothing was sent: the metadata are wrong
			problem := strings.TrimPrefix(err.Error(), "client registration: ")
			return &ConfigError{"Config.Registration", "cannot be registered: " + strings.ReplaceAll(problem, "\n", "; ")}
		}
		return err
	})
	return reg, err
}

// bound is the only authorization server that the configured client may be
// sent to; empty if it is free. A client without a configured issuer is bound to
// the first server that gave it a token.
func (c *clients) bound(rec *Record) string {
	if c.configured.ID == "" {
		return ""
	}
	return orElse(c.configured.Issuer, rec.Issuer)
}

// mayMeet returns why a login or a use of the grant at srv would send what must
// not go there; nil if it would not. It is asked before anything is opened or
// sent. The client is checked again wherever it is used, see known.
func (c *clients) mayMeet(srv *Server, rec *Record) error {
	if _, err := c.known(srv, rec); err != nil {
		return err
	}
	if c.credentials == nil {
		return nil
	}
	return c.credentials.check(srv, c.credentials.grant)
}

// known is the client that needs no registration, for reading only; nil when
// there is none. What it proves itself with goes to an issuer that the program
// named only [invariant 18].
func (c *clients) known(srv *Server, rec *Record) (*Client, error) {
	if c.configured.ID != "" {
		if bound := c.bound(rec); bound != "" && !discovery.SameIssuer(bound, srv.Issuer) {
			return nil, &IssuerError{Expected: bound, Actual: srv.Issuer}
		}
		if err := c.credentials.check(srv, provenBy(c.configured.Secret, c.configured.Auth)); err != nil {
			return nil, err
		}
		return &c.configured, nil
	}
	if c.ours.metadataURL != "" && srv.ClientIDMetadataDocumentSupported {
		if err := c.credentials.check(srv, provenBy("", c.ours.metadataAuth)); err != nil {
			return nil, err
		}
		return &Client{ID: c.ours.metadataURL, Issuer: srv.Issuer, Auth: c.ours.metadataAuth, document: true}, nil
	}
	return nil, nil
}

// refusedDocument reports whether srv refused the metadata document a short time ago, and
// registers clients.
func (c *clients) refusedDocument(srv *Server) bool {
	return srv.RegistrationEndpoint != "" && c.seen().Hopeless(srv.Issuer, c.ours.metadataURL, wallNow())
}

// method is how a client with a metadata document authenticates: what the
// document names.
func (o *ourClient) method() string {
	if o.metadataAuth == nil {
		return clientsecret.None
	}
	return o.metadataAuth.Method()
}

// takes reports whether clients may authenticate with method at srv, as far as
// it says.
func takes(srv *Server, method string) bool {
	listed := srv.TokenEndpointAuthMethodsSupported
	return len(listed) == 0 || slices.Contains(listed, method)
}

// of returns the client that rec's token was issued to.
func (c *clients) of(srv *Server, rec *Record) (*Client, error) {
	if rec.Registration != nil && c.configured.ID == "" {
		// Also if there is a client ID metadata document now: a refresh token
		// belongs to the client that it was issued to (RFC 6749 section 6).
		return registeredClient(srv, rec.Registration), nil
	}
	if known, err := c.known(srv, rec); known != nil || err != nil {
		return known, err
	}
	return nil, &ConfigError{"Config.Client.ID", "is empty; set the client that the refresh token was issued to"}
}

// stored is the client registered with srv earlier, unless its
// secret has expired.
func (c *clients) stored(ctx context.Context, srv *Server, rec *Record) (*registration.Client, uint64, error) {
	var generation uint64
	stored, err := c.store.Load(ctx, Key{Issuer: srv.Issuer})
	switch {
	case err == nil:
		generation = stored.Generation
		if reg := stored.Registration; reg != nil && !secretExpired(reg) {
			return reg, generation, nil
		}
	case !errors.Is(err, ErrNotFound):
		return nil, 0, &StoreError{Op: "load", Err: err}
	}
	if rec.Issuer == srv.Issuer && rec.Registration != nil && !secretExpired(rec.Registration) {
		return rec.Registration, generation, nil
	}
	return nil, generation, nil
}

func secretExpired(reg *registration.Client) bool {
	return !reg.ClientSecretExpiresAt.IsZero() && !wallNow().Before(reg.ClientSecretExpiresAt.Add(-time.Minute))
}

// forget makes the next authorization register again: the server no longer knows
// the client. A registration that another process made since then stays.
func (c *clients) forget(ctx context.Context, issuer, clientID string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	key := Key{Issuer: issuer}
	stored, err := c.store.Load(ctx, key)
	if err == nil && stored.Registration != nil && stored.Registration.ClientID == clientID {
		_ = c.store.Delete(ctx, key, stored.Generation) // a conflict: another process registered one
	}
}

// confirm has a refusal of a registered client repeated once: servers have
// refused a good one while they started, or while their replicas were not in
// step.
func (c *clients) confirm(issuer, clientID string, err error) error {
	if err == nil || !refusesClient(err) || c.seen().Refused(issuer, clientID, wallNow()) {
		return err
	}
	return &unconfirmed{err}
}

func registeredClient(srv *Server, reg *registration.Client) *Client {
	return &Client{ID: reg.ClientID, Secret: reg.ClientSecret, Issuer: srv.Issuer, method: reg.TokenEndpointAuthMethod, registration: reg}
}
