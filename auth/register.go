package auth

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/mcptokens/mcptokens/auth/registration"
)

// clientFor returns the client to use at f's server, in the specification's
// order of preference: pre-registered, client ID metadata document, dynamic
// registration (MCP 2026-07-28, client registration). want is what the grant
// needs to be registered.
func (m *Manager) clientFor(ctx context.Context, srv *Server, rec *Record, want registration.Metadata) (*Client, error) {
	if c, err := m.configuredClient(srv, rec); c != nil || err != nil {
		return c, err
	}
	suits := func(reg *registration.Client) bool {
		return reg != nil && covers(reg.RedirectURIs, want.RedirectURIs) && registeredFor(reg, want.GrantTypes)
	}
	reg, generation, err := m.storedRegistration(ctx, srv, rec)
	if err != nil {
		return nil, err
	}
	if suits(reg) {
		return registeredClient(srv, reg), nil
	}
	if srv.RegistrationEndpoint == "" {
		return nil, &ConfigError{"Config.Client.ID", "is empty, and the authorization server " + srv.Issuer + " does not register clients on demand; register a client there and set it"}
	}
	// Who needs one at the same time, for another user or in another process,
	// waits and finds it stored. Without the lock there is one more of them.
	waiting, cancel := context.WithTimeout(ctx, m.cfg.RefreshTimeout)
	defer cancel()
	if unlock, err := m.lockKey(waiting, Key{Issuer: srv.Issuer}); err == nil {
		defer unlock()
		if reg, generation, err = m.storedRegistration(ctx, srv, rec); err != nil {
			return nil, err
		}
		if suits(reg) {
			return registeredClient(srv, reg), nil
		}
	}
	ctx = m.cfg.trace.registration.TraceRegistrationStart(ctx, RegistrationStart{Issuer: srv.Issuer})
	reg, err = m.register(ctx, srv, want)
	end := RegistrationEnd{Err: err}
	if err == nil {
		end.ClientID = reg.ClientID
	}
	m.cfg.trace.registration.TraceRegistrationEnd(ctx, end)
	m.cfg.trace.says(ctx, "client registered", err, slog.String("issuer", srv.Issuer), slog.String("client_id", end.ClientID))
	if err != nil {
		return nil, err
	}
	// Kept for the issuer's other resources and for the next login. Losing it
	// costs a registration, so a failure is only told.
	if _, err := m.cfg.Store.Save(ctx, Key{Issuer: srv.Issuer}, &Record{Generation: generation, Issuer: srv.Issuer, Registration: reg}); err != nil && !errors.Is(err, ErrConflict) {
		m.publish(Event{Type: EventSaveFailed, Err: &StoreError{Op: "save", Err: err}})
	}
	return registeredClient(srv, reg), nil
}

func (m *Manager) register(ctx context.Context, srv *Server, want registration.Metadata) (*registration.Client, error) {
	meta := m.cfg.Registration
	meta.RedirectURIs = want.RedirectURIs
	meta.GrantTypes = want.GrantTypes
	meta.ResponseTypes = want.ResponseTypes
	if meta.TokenEndpointAuthMethod == "" {
		meta.TokenEndpointAuthMethod = registrationAuthMethod(srv, want.GrantTypes)
	}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.RefreshTimeout)
	defer cancel()
	var reg *registration.Client
	_, err := m.retry(ctx, 0, func(ctx context.Context) (err error) {
		reg, err = registration.Register(ctx, m.guarded(), srv.RegistrationEndpoint, meta)
		var answered *registration.Error
		if err != nil && !errors.As(err, &answered) { // nothing was sent: the metadata are wrong
			problem := strings.TrimPrefix(err.Error(), "client registration: ")
			return &ConfigError{"Config.Registration", "cannot be registered: " + strings.ReplaceAll(problem, "\n", "; ")}
		}
		return err
	})
	return reg, err
}

// configuredClient is the client of the configuration; nil when one has to be
// registered.
func (m *Manager) configuredClient(srv *Server, rec *Record) (*Client, error) {
	if m.cfg.Client.ID != "" {
		if bound := m.boundIssuer(rec); bound != "" && bound != srv.Issuer {
			return nil, &IssuerError{Expected: bound, Actual: srv.Issuer}
		}
		c := m.cfg.Client
		return &c, nil
	}
	if m.cfg.ClientMetadataURL != "" && srv.ClientIDMetadataDocumentSupported {
		return &Client{ID: m.cfg.ClientMetadataURL, Issuer: srv.Issuer, Auth: m.cfg.ClientMetadataAuth}, nil
	}
	return nil, nil
}

// clientOf returns the client that rec's token was issued to.
func (m *Manager) clientOf(srv *Server, rec *Record) (*Client, error) {
	if rec.Registration != nil && m.cfg.Client.ID == "" {
		// Also if there is a client ID metadata document now: the token was
		// issued to the client that it was issued to.
		return registeredClient(srv, rec.Registration), nil
	}
	if c, err := m.configuredClient(srv, rec); c != nil || err != nil {
		return c, err
	}
	return nil, &ConfigError{"Config.Client.ID", "is empty; set the client that the refresh token was issued to"}
}

// registeredFor reports whether reg may use the grant that comes first in
// wanted, as far as is known.
func registeredFor(reg *registration.Client, wanted []string) bool {
	return reg.GrantType == "" || len(wanted) == 0 || wanted[0] == reg.GrantType
}

// storedRegistration is the client registered with srv earlier, unless its
// secret has expired.
func (m *Manager) storedRegistration(ctx context.Context, srv *Server, rec *Record) (*registration.Client, uint64, error) {
	var generation uint64
	stored, err := m.cfg.Store.Load(ctx, Key{Issuer: srv.Issuer})
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

// forgetRegistration makes the next authorization register anew: the server
// does not know the client any more, and so no refresh token of it either. What
// somebody else registered meanwhile stays.
func (m *Manager) forgetRegistration(ctx context.Context, issuer, clientID string) {
	isIt := func(r *Record) bool { return r.Registration != nil && r.Registration.ClientID == clientID }
	key := Key{Issuer: issuer}
	if stored, err := m.cfg.Store.Load(ctx, key); err == nil && isIt(stored) {
		_ = m.cfg.Store.Delete(ctx, key, stored.Generation) // a conflict: somebody registered anew
	}
	m.mu.Lock()
	rec := *m.st.rec
	m.mu.Unlock()
	if rec.Issuer == issuer && isIt(&rec) {
		rec.Registration = nil
		if rec.Token != nil {
			tok := *rec.Token
			tok.RefreshToken = ""
			rec.Token = &tok
		}
		_ = m.save(ctx, &rec) // a failure is retried behind, as for any token
	}
}

func registeredClient(srv *Server, reg *registration.Client) *Client {
	return &Client{ID: reg.ClientID, Secret: reg.ClientSecret, Issuer: srv.Issuer, method: reg.TokenEndpointAuthMethod, registration: reg}
}

// covers reports whether registered allows every redirect URI of wanted.
// Servers that compare loopback ports exactly are common in spite of RFC 8252
// section 7.3, so we do too.
func covers(registered, wanted []string) bool {
	for _, w := range wanted {
		if !slices.Contains(registered, w) {
			return false
		}
	}
	return true
}
