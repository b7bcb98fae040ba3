package auth

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"
)

// loginCooldown is how long a challenge gets the error of the authorization
// that just failed, instead of another browser window.
// It doubles with each failure in a row, up to the maximum.
const (
	loginCooldown    = 30 * time.Second
	maxLoginCooldown = 30 * time.Minute
)

// login describes a use of the grant from nothing to token.
type login struct {
	trigger Trigger
	// challenge, if one was the trigger, says where to look and what to ask for.
	challenge Challenge
	// scopes are needed beyond those; gather waits a moment for more.
	scopes []string
	gather bool
	// instead is the token that is not good enough; a better one in the store
	// is adopted.
	instead *Token
}

// Authorize returns a usable token, getting one now rather than at the first
// challenge: from the store, by refreshing, or by the grant, which may involve
// the user. Errors: *[ConfigError] when there is no grant, *[AuthorizationError],
// *[TokenError], *[discovery.Error], *[registration.Error], *[IssuerError],
// *[StoreError], [ErrClosed], and ctx's own.
func (m *Manager) Authorize(ctx context.Context) (*Token, error) {
	if err := m.loadNow(ctx); err != nil {
		return nil, err
	}
	tok, err := m.Token(ctx)
	if err == nil || !needsAuthorization(err) {
		return tok, err
	}
	if m.cfg.Grant == nil {
		return nil, &ConfigError{"Config.Grant", "is nil; set one of auth/grant, or call SetToken"}
	}
	m.mu.Lock()
	if m.st.closed {
		m.mu.Unlock()
		return nil, ErrClosed
	}
	f := m.st.login
	if f == nil {
		f = m.startLogin(ctx, login{trigger: TriggerExplicit, instead: m.st.rejected})
	}
	m.join(f)
	m.mu.Unlock()
	return m.wait(ctx, f)
}

// needsAuthorization reports that err of Token leads to the grant.
func needsAuthorization(err error) bool {
	var re *ReauthorizationRequiredError
	return errors.Is(err, ErrNoToken) || errors.As(err, &re)
}

// startLogin launches l; the caller holds m.mu, has seen that the manager is
// open, that no login is under way and that there is a grant.
func (m *Manager) startLogin(caller context.Context, l login) *flight {
	f := &flight{kind: AwaitedAuthorization, hasBegun: m.cfg.trace.beginning(), scopes: unionScopes(l.scopes), sealed: !l.gather, lingers: true}
	return m.launch(&m.st.login, f, m.cfg.AuthorizationTimeout, func(ctx context.Context) (*Token, error) {
		return m.authorize(ctx, caller, f, l)
	})
}

func (m *Manager) authorize(ctx, caller context.Context, f *flight, l login) (*Token, error) {
	m.mu.Lock()
	start := m.st.rec
	m.mu.Unlock()
	ctx = m.cfg.trace.authorize.TraceAuthorizationStart(ctx, caller, AuthorizationStart{
		Resource: m.canonical, Grant: m.cfg.Grant.Type(), Trigger: l.trigger, Scopes: unionScopes(l.challenge.Scopes, l.scopes),
	})
	f.begin(ctx)
	m.cfg.trace.says(ctx, "authorization begins", nil, slog.String("grant", m.cfg.Grant.Type()), slog.String("trigger", string(l.trigger)))
	if l.gather {
		_ = m.sleep(ctx, stepUpGather)
	}
	var end AuthorizationEnd
	tok, err := m.authorizeOnce(ctx, f, start, m.sealScopes(f), l, &end)
	end.Err = err
	m.mu.Lock()
	var store *StoreError
	switch {
	case errors.Is(ctx.Err(), context.Canceled): // closed, or nobody waited any more
	case errors.As(err, &store): // nobody was asked anything
		m.st.lastErr = err
	case err != nil:
		m.st.lastErr = err
		_, after := classify(err)
		cooldown := min(loginCooldown<<min(m.st.loginFailed.times(), 8), maxLoginCooldown)
		m.st.loginFailed = m.st.loginFailed.again(err, wallNow().Add(max(after, cooldown)))
	}
	m.mu.Unlock()
	if err == nil {
		end.Scopes, end.Expiry = tok.Scopes, tok.Expiry
		m.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "authorized", slog.String("issuer", end.Issuer), slog.String("grant", m.cfg.Grant.Type()), slog.Time("expiry", tok.Expiry))
	} else {
		m.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "authorization failed", slog.String("issuer", end.Issuer), slog.String("grant", m.cfg.Grant.Type()), slog.String("error", safeCause(err)))
	}
	m.cfg.trace.authorize.TraceAuthorizationEnd(ctx, end)
	return tok, err
}

// authorizeOnce adopts a token that another process got meanwhile, or gets one
// by the grant. It notes in end where, and whether the token was saved.
func (m *Manager) authorizeOnce(ctx context.Context, f *flight, start *Record, extra []string, l login, end *AuthorizationEnd) (*Token, error) {
	storeCtx, cancel := context.WithTimeout(ctx, m.cfg.RefreshTimeout/2)
	defer cancel()
	err := m.reread(storeCtx)
	if err == nil {
		err = m.probeStore(storeCtx)
	}
	if err != nil && !m.cfg.RefreshWithoutStore {
		return nil, err
	}
	if tok, err := m.adoptInstead(ctx, start, extra, l); tok != nil || err != nil {
		end.Issuer = m.issuer()
		return tok, err
	}
	m.mu.Lock()
	rec := m.st.rec
	m.mu.Unlock()
	got, issuer, err := m.obtain(ctx, rec, &l.challenge, extra, false)
	end.Issuer = issuer
	if err != nil {
		return nil, err
	}
	lockCtx, cancelLock := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancelLock()
	if unlock, err := m.lockStore(lockCtx); err == nil { // without the lock the generation still guards the record
		defer unlock()
		if m.reread(lockCtx) == nil {
			m.mu.Lock()
			got.Generation = m.st.rec.Generation
			m.mu.Unlock()
		}
	}
	m.mu.Lock()
	revoked := f.revoked
	m.mu.Unlock()
	if revoked { // Revoke came while we waited for the lock, and has not seen this token
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.cfg.RefreshTimeout)
		defer cancel()
		_ = m.revokeAt(bounded, got)
		return nil, ErrNoToken
	}
	end.Unsaved = m.install(ctx, got) != nil
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.st.rec.Token == nil {
		return nil, ErrNoToken // revoked as soon as it was there
	}
	end.Issuer = m.st.rec.Issuer
	return m.st.rec.Token, nil
}

// adoptInstead looks for what makes the login needless: a token that somebody
// else put into the store since start, or that is to be had by its refresh
// token. It returns nothing if there is none.
func (m *Manager) adoptInstead(ctx context.Context, start *Record, extra []string, l login) (*Token, error) {
	need := unionScopes(extra, l.challenge.Scopes)
	m.mu.Lock()
	s := &m.st
	tok := s.rec.Token
	if tok == nil || tok == start.Token || tok.same(l.instead) || (tok.Scopes != nil && !coversScopes(tok.Scopes, need)) {
		m.mu.Unlock()
		return nil, nil
	}
	if s.usable(wallNow()) && coversScopes(tok.Scopes, need) {
		m.mu.Unlock()
		return tok, nil
	}
	if s.closed || tok.RefreshToken == "" || s.refused != nil {
		m.mu.Unlock()
		return nil, nil
	}
	f := s.renew
	if f == nil {
		if s.renewFailed.at(wallNow()) != nil { // which is to be left alone still
			err := s.renewFailed.err
			m.mu.Unlock()
			return nil, err
		}
		f = m.startRenewal(ctx, renewal{trigger: l.trigger})
	}
	m.join(f)
	m.mu.Unlock()
	tok, err := m.wait(ctx, f)
	switch {
	case err == nil && coversScopes(tok.Scopes, need):
		return tok, nil
	case err != nil && retryable(err): // a failure that passes is no reason to log in
		return nil, err
	}
	return nil, nil
}

func (m *Manager) issuer() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.st.rec.Issuer
}

// obtain finds the authorization server and uses the grant there. It stores
// nothing. The issuer is where it was tried; empty when no server was found. A
// nil challenge lets what was discovered before stand. single: each request is
// sent once, the caller retries the whole.
func (m *Manager) obtain(ctx context.Context, rec *Record, c *Challenge, extra []string, single bool) (*Record, string, error) {
	var (
		where     *found
		challenge Challenge
		err       error
	)
	switch {
	case c == nil:
		if where, err = m.serverOf(ctx, rec); errors.Is(err, errMoved) {
			where, err = m.discover(ctx, rec, challenge)
		}
	case single:
		challenge = *c
		where, err = m.discover(ctx, rec, challenge)
	default:
		challenge = *c
		bounded, cancel := context.WithTimeout(ctx, m.cfg.RefreshTimeout)
		defer cancel()
		_, err = m.retry(bounded, 0, func(ctx context.Context) (err error) {
			where, err = m.discover(ctx, rec, challenge)
			return err
		})
	}
	if err != nil {
		return nil, "", err
	}
	flow := &Flow{
		Server: where.server, Resource: where.resource,
		Scopes: m.selectScopes(where, rec, challenge, extra),
		m:      m, rec: rec, single: single,
	}
	tok, err := m.cfg.Grant.Authorize(ctx, flow)
	if err != nil {
		var te *TokenError
		if reg := flow.registered(); reg != nil && errors.As(err, &te) && te.Code == "invalid_client" {
			m.forgetRegistration(ctx, where.server.Issuer, reg.ClientID)
		}
		return nil, where.server.Issuer, flow.safe(err)
	}
	got := &Record{
		Generation: rec.Generation,
		Issuer:     where.server.Issuer, Resource: where.resource,
		Token:     tok.seal(),
		Obtained:  wallNow(),
		Requested: flow.Scopes,

		Registration: flow.registered(),
	}
	return got, where.server.Issuer, nil
}

// selectScopes applies the specification's scope selection: the challenge's
// scopes, else the resource's scopes_supported, else none; with the configured
// ones; and with all that was granted or asked for before, so that nothing is
// lost on the way (MCP 2026-07-28, "Step-Up Authorization Flow").
func (m *Manager) selectScopes(where *found, rec *Record, c Challenge, extra []string) []string {
	initial := c.Scopes
	if len(initial) == 0 && len(m.cfg.Scopes) == 0 && rec.Requested == nil && len(grantedScopes(rec)) == 0 && len(extra) == 0 {
		initial = where.scopes
	}
	scopes := unionScopes(m.cfg.Scopes, grantedScopes(rec), rec.Requested, extra)
	scopes, _ = boundedScopes(scopes, initial)
	// A refresh token is asked for where the server has a scope for it. Alone
	// it would turn "no scope: your default" into "this scope only".
	if len(scopes) > 0 && m.cfg.Grant.Interactive() && slices.Contains(where.server.ScopesSupported, "offline_access") {
		scopes = unionScopes(scopes, []string{"offline_access"})
	}
	return scopes
}
