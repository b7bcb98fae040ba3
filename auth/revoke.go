package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/auth/internal/lifecycle"
	"github.com/mcptokens/mcptokens/auth/internal/wire"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// Revoke revokes the refresh token and then the access token at the
// authorization server (RFC 7009) and forgets both, here and in the store,
// whether or not the server could be reached. The error says which of these
// failed: *[TokenError], *[discovery.Error], *[StoreError], [ErrNoRevocation],
// and *[ConfigError] when the client that the token was issued to is not known.
// It is no error, and only logged, when the refresh token was revoked and the
// access token could not be: many servers cannot revoke one that is a JWT. A client
// that was registered on demand is forgotten too, unless others share it: the manager
// is one of a pool, or has a [Config].Subject.
// After a *[StoreError] the store may hold the token still; Revoke again tries to
// remove it from there. Without a token it does nothing.
//
// To log a user out there is [Manager.Logout].
func (m *Manager) Revoke(ctx context.Context) error {
	_, err := m.revoke(ctx)
	return err
}

// revoke is Revoke. It reports whether there was a token.
func (m *Manager) revoke(ctx context.Context) (had bool, _ error) {
	done, err := m.loaded(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	m.mu.Lock()
	if op := m.running(lifecycle.Login); op != nil {
		op.flight.Cancel(errForgotten)
	}
	m.mu.Unlock()
	ctx = m.about(ctx)
	rec, err := m.vault.forget(ctx)
	forgotten := m.changed(nil)
	if rec.Token == nil {
		m.tell(forgotten)
		return false, err
	}
	trace := m.cfg.store.trace
	ctx = trace.Start(ctx, authtrace.RevocationStart{Issuer: rec.Issuer})
	err = errors.Join(err, m.cfg.obtainer.revoke(ctx, m.target(), rec))
	if reg := rec.Registration; reg != nil && m.cfg.pooled == nil && m.vault.subject == "" {
		m.cfg.obtainer.clients.forget(ctx, rec.Issuer, reg.ClientID)
	}
	for i := range forgotten {
		forgotten[i].Err, forgotten[i].Issuer = err, rec.Issuer
	}
	m.tell(forgotten)
	trace.End(ctx, authtrace.RevocationEnd{Err: err})
	trace.Ended(ctx, "token revoked", "token not revoked", err, slog.String("issuer", rec.Issuer))
	return true, err
}

// Logout is [Manager.Revoke] for a user who leaves: what is stored is gone, and that
// the server cannot revoke tokens is no error. Other errors are those of Revoke.
func (m *Manager) Logout(ctx context.Context) error {
	err := m.Revoke(ctx)
	var kept *StoreError
	if errors.Is(err, ErrNoRevocation) && !errors.As(err, &kept) {
		return nil
	}
	return err
}

// revoke revokes a credential at its server: the refresh token first, since
// revoking it ends the access tokens too at servers that can (RFC 7009 section
// 2.1).
func (o *obtainer) revoke(ctx context.Context, target resource, rec *Record) error {
	place, err := o.find(ctx, target, rec)
	if err == nil && place.Stored && place.Server.RevocationEndpoint == "" {
		place, err = o.findAgain(ctx, target, rec)
	}
	if err != nil {
		return err
	}
	if err := place.Server.Problem("revocation_endpoint"); err != nil {
		return fmt.Errorf("%w: %w", ErrNoRevocation, err)
	}
	if place.Server.RevocationEndpoint == "" {
		return ErrNoRevocation
	}
	client, err := o.clients.of(place.Server, rec)
	if err != nil {
		return err
	}
	var errs []error
	revoked := false
	for _, t := range []struct{ token, hint string }{
		{rec.Token.RefreshToken, "refresh_token"},
		{rec.Token.AccessToken, "access_token"},
	} {
		if t.token == "" {
			continue
		}
		bounded, cancel := context.WithTimeout(ctx, o.timeout)
		_, err := retry(bounded, o.trace, 0, func(ctx context.Context) error {
			return o.endpoint.revoke(ctx, target.url, place.Server, client, rec, t.token, t.hint)
		})
		cancel()
		if err != nil && t.hint == "access_token" && (revoked || cannotRevoke(err)) {
			o.trace.Log(ctx, slog.LevelInfo, "access token not revoked; it lives on until it expires", err, slog.String("issuer", rec.Issuer))
			continue
		}
		revoked = err == nil
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// revoke sends one revocation request. Every 200 is a success, also for a
// token that the server does not know (RFC 7009 section 2.2). token is one of
// rec's, whose secrets the server knows.
func (e *endpoint) revoke(ctx context.Context, resource string, srv *Server, c *Client, rec *Record, token, hint string) error {
	fail := &TokenError{Issuer: srv.Issuer, GrantType: "revocation of " + hint, class: lifecycle.RefusedRequest}
	form := url.Values{"token": {token}, "token_type_hint": {hint}}
	resp, s, err := e.proving(srv, c, func(c *Client) (*http.Response, sent, error) {
		return e.post(ctx, e.finder.Client(resource), srv, c, srv.RevocationEndpoint, form, nil)
	})
	if err != nil {
		fail.Err = err
		if httpx.NewTransportError(err).Retryable() {
			fail.class = lifecycle.Transient // revoking twice does no harm
		}
		return fail
	}
	defer drain(resp.Body)
	if resp.StatusCode == 200 {
		return nil
	}
	body, _ := httpx.ReadBody(resp.Body) // what cannot be read says nothing
	said := wire.ReadRefusal(body, append(s.secrets(), secretsOf(rec)...)...)
	fail.Code, fail.Description, fail.URI = said.Code, said.Description, said.URI
	fail.StatusCode = resp.StatusCode
	if fail.redirected(resp, s, func() []string { return secretsOf(rec) }) {
		return fail
	}
	fail.RetryAfter = retryAfter(resp.Header)
	fail.class = statusClass(resp.StatusCode)
	fail.advise(s)
	return fail
}
