package auth

import (
	"context"
	"errors"
	"slices"
)

// What a refusal means: for the refresh token that was sent, and only for it.

// refuse handles a refresh that was refused for good. It reports whether
// somebody else's token was adopted instead.
func (m *Manager) refuse(ctx context.Context, rec *Record, want []string, cause error) (adopted bool, err error) {
	var te *TokenError
	if !errors.As(cause, &te) {
		return false, cause // a mistake of ours: nothing is wrong with the token
	}
	switch te.Code {
	case "invalid_scope":
		if len(want) > 0 {
			m.rememberNarrow(rec.Issuer)
			return false, cause // refused for the scopes, not for the token
		}
	case "":
		return false, cause // no answer of RFC 6749 says nothing about the token
	case "invalid_grant":
		err := m.reread(ctx) // if it cannot be read, nobody knows better: this one at least is dead
		m.mu.Lock()
		now, usable := m.st.rec, m.st.usable(wallNow())
		m.mu.Unlock()
		if now.Token == nil || now.Token.RefreshToken != rec.Token.RefreshToken {
			if now.Token != nil && usable && coversScopes(now.Token.Scopes, want) && err == nil {
				return true, nil
			}
			return false, cause
		}
		m.dropRefreshToken(ctx, now)
	case "invalid_client":
		if rec.Registration != nil {
			m.forgetRegistration(ctx, rec.Issuer, rec.Registration.ClientID)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.st.rec.Token
	if now.same(rec.Token) {
		m.st.refused = cause
		return false, cause
	}
	// Somebody stored another one before we could drop ours.
	if m.st.usable(wallNow()) && coversScopes(now.Scopes, want) {
		return true, nil
	}
	return false, cause
}

// dropRefreshToken removes the refresh token of rec, which was seen to be the
// one in use, and keeps the access token: it may well live on.
func (m *Manager) dropRefreshToken(ctx context.Context, rec *Record) {
	next := *rec
	tok := *rec.Token
	tok.RefreshToken = ""
	next.Token = &tok
	_ = m.save(ctx, &next) // a failure is retried behind, as for any token
}

// checkMoved asks the resource again which authorization server it trusts
// (MCP 2026-07-28, "Authorization Server Binding"): a refresh token of one
// that it left is worthless, and so is the client registered there. A resource
// that does not answer has not moved.
func (m *Manager) checkMoved(ctx context.Context, rec *Record, c Challenge) error {
	if m.cfg.Server != nil || rec.Issuer == "" {
		return nil
	}
	prm, err := m.protectedResource(ctx, rec, c, wanted{freshMetadata, m.lastMetadata()})
	if err != nil || len(prm.AuthorizationServers) == 0 || slices.Contains(prm.AuthorizationServers, rec.Issuer) {
		return nil
	}
	return m.moved(rec)
}

// moved ends the refresh token of rec, which its server would not know any
// more.
func (m *Manager) moved(rec *Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.st.rec.Token.same(rec.Token) {
		m.st.refused = errMoved
	}
	return errMoved
}

func (m *Manager) rememberNarrow(issuer string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.st.narrow = m.st.narrow || issuer == m.st.rec.Issuer
}
