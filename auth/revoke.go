package auth

import (
	"context"
	"errors"
	"log/slog"
	"net/url"

	"github.com/mcptokens/mcptokens/internal/errtext"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// ErrNoRevocation is what [Manager.Revoke] returns when the authorization server
// has no revocation endpoint: the token is forgotten here, and lives on there.
var ErrNoRevocation = errtext.New("auth: the authorization server has no revocation endpoint; the token was forgotten, and lives on until it expires")

// Revoke revokes the refresh token and then the access token at the
// authorization server (RFC 7009) and forgets both, here and in the store,
// whether or not the server could be told. The error says which of these
// failed: *[TokenError], *[discovery.Error], *[StoreError], [ErrNoRevocation],
// and *[ConfigError] when the client that the token was issued to is not known.
// After a *[StoreError] the store may hold the token still; Revoke again tries to
// remove it from there. Without a token it does nothing.
func (m *Manager) Revoke(ctx context.Context) error {
	if err := m.loadNow(ctx); err != nil {
		return err
	}
	done, err := m.enter()
	if err != nil {
		return err
	}
	defer done()
	rec, err := m.forgetStored(ctx)
	if rec.Token == nil {
		return err
	}
	ctx = m.cfg.trace.revocation.TraceRevocationStart(ctx, RevocationStart{Issuer: rec.Issuer})
	err = errors.Join(err, m.revokeAt(ctx, rec))
	m.publish(Event{Type: EventForgotten, Err: err})
	m.cfg.trace.revocation.TraceRevocationEnd(ctx, RevocationEnd{Err: err})
	m.cfg.trace.says(ctx, "token revoked", err, slog.String("issuer", rec.Issuer))
	return err
}

// forgetStored ends an authorization under way, takes the credential out of the
// store and out of use, and returns it. It does so under the store's lock: no
// refresh may rotate away what is to be revoked.
func (m *Manager) forgetStored(ctx context.Context) (*Record, error) {
	m.mu.Lock()
	if f := m.st.login; f != nil {
		f.revoked = true
		f.cancel()
	}
	m.mu.Unlock()
	unlock, err := m.lockStore(ctx)
	if err == nil {
		defer unlock()
		err = m.reread(ctx)
	}
	m.mu.Lock()
	rec, undeleted := m.st.rec, m.st.undeleted
	m.mu.Unlock()
	if rec.Token != nil {
		undeleted = rec.Token
	} else if undeleted == nil {
		return rec, err
	}
	delErr := m.cfg.Store.Delete(context.WithoutCancel(ctx), m.key(), rec.Generation)
	if delErr != nil {
		err = errors.Join(err, &StoreError{Op: "delete", Err: delErr})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget()
	if delErr != nil {
		// It does not come back into use when the store is read again.
		m.st.rec.Generation, m.st.undeleted = rec.Generation, undeleted
	}
	return rec, err
}

// revokeAt tells the server: the refresh token first, since revoking it ends
// the access tokens too at servers that can (RFC 7009 section 2.1).
func (m *Manager) revokeAt(ctx context.Context, rec *Record) error {
	where, err := m.serverOf(ctx, rec)
	if err != nil {
		return err
	}
	if where.server.RevocationEndpoint == "" {
		return ErrNoRevocation
	}
	client, err := m.clientOf(where.server, rec)
	if err != nil {
		return err
	}
	var errs []error
	for _, t := range []struct{ token, hint string }{
		{rec.Token.RefreshToken, "refresh_token"},
		{rec.Token.AccessToken, "access_token"},
	} {
		if t.token == "" {
			continue
		}
		bounded, cancel := context.WithTimeout(ctx, m.cfg.RefreshTimeout)
		_, err := m.retry(bounded, 0, func(ctx context.Context) error {
			return m.revokeOne(ctx, where.server, client, t.token, t.hint)
		})
		cancel()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// revokeOne sends one revocation request. Every 200 is a success, also for a
// token that the server does not know (RFC 7009 section 2.2).
func (m *Manager) revokeOne(ctx context.Context, srv *Server, c *Client, token, hint string) error {
	fail := &TokenError{Issuer: srv.Issuer, GrantType: "revocation of " + hint}
	resp, _, err := m.postForm(ctx, srv, c, srv.RevocationEndpoint, url.Values{"token": {token}, "token_type_hint": {hint}}, "")
	if err != nil {
		fail.Err = err
		if httpx.NewTransportError(err).Temporary() {
			fail.class = classTransient // revoking twice does no harm
		}
		return fail
	}
	defer drain(resp.Body)
	if resp.StatusCode == 200 {
		return nil
	}
	fail.StatusCode = resp.StatusCode
	fail.RetryAfter = retryAfter(resp.Header)
	fail.class = statusClass(resp.StatusCode, classPermanent)
	return fail
}
