package auth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// closeGrace is how long Close lets a token request finish that is under
	// way: its answer may be the only copy of a rotated refresh token.
	closeGrace = 5 * time.Second

	// saveTimeout bounds one save; it starts when the token is there, whatever
	// is left of the operation's own time.
	saveTimeout = 10 * time.Second
)

// Manager obtains, refreshes, rotates, upgrades and keeps the token for one
// resource. It implements [Source]. All methods may be called from many
// goroutines at once. Make one with [NewManager] and Close it.
type Manager struct {
	cfg *shared
	// resource is the MCP server's URL as configured, canonical what requests
	// and the store call it.
	resource, canonical string
	subject             string
	hub                 hub

	current atomic.Pointer[snapshot]
	tasks   sync.WaitGroup // every goroutine and armed timer

	mu sync.Mutex
	st state
}

var _ Source = (*Manager)(nil)

// NewManager returns a manager for cfg. It sends nothing; the first call that
// needs a token does. The error is a *[ConfigError] that names the field.
func NewManager(cfg Config) (*Manager, error) {
	canonical, err := checkNames(cfg.Resource, cfg.Subject)
	if err != nil {
		return nil, err
	}
	s, err := newShared(cfg)
	if err != nil {
		return nil, err
	}
	return newManager(s, cfg.Resource, canonical, cfg.Subject), nil
}

func newManager(s *shared, resource, canonical, subject string) *Manager {
	m := &Manager{cfg: s, resource: resource, canonical: canonical, subject: subject}
	m.st.rec = &Record{Resource: canonical, Issuer: m.configuredIssuer()}
	if s.private {
		m.st.loadedAt = wallNow().UnixNano() // there is nothing to read
	}
	s.trace.manager.TraceManagerOpen(m)
	return m
}

// key names the manager's record in the store.
func (m *Manager) key() Key {
	return Key{Resource: m.canonical, Issuer: m.cfg.Client.Issuer, ClientID: m.cfg.Client.ID, Subject: m.subject}
}

// Close ends everything that the manager owns and waits for it: timers, waits,
// an authorization in progress. A refresh whose request is under way gets a few
// seconds to finish, because its answer may hold the only copy of a rotated
// refresh token. Afterwards every method returns [ErrClosed]. The error is a
// *[StoreError] if the newest token could not be stored.
func (m *Manager) Close() error {
	m.mu.Lock()
	first := !m.st.closed
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	if first {
		m.st.closed = true
		m.current.Store(nil)
		if m.st.wake != nil {
			close(m.st.wake)
		}
		m.stop(&m.st.refreshTimer)
		m.stop(&m.st.saveTimer)
		if f := m.st.login; f != nil {
			m.stop(&f.linger)
			f.cancel()
		}
	}
	under := []*flight{m.st.renew, m.st.load}
	unwatch := m.st.unwatch
	m.st.unwatch = nil
	m.mu.Unlock()
	if unwatch != nil {
		unwatch() // not under the lock, which the hint takes
	}
	for _, f := range under {
		if f == nil {
			continue
		}
		select {
		case <-f.done:
		case <-grace.C:
			f.cancel()
		}
	}
	m.tasks.Wait()
	if !first {
		return nil
	}
	err := m.saveUnsaved(context.Background())
	m.hub.close()
	m.cfg.trace.manager.TraceManagerClose(m)
	return err
}

// Token implements [Source]: it returns a token that is fresh now. Inside the
// refresh window it returns the token at once and refreshes it behind; only
// when there is no usable token does the caller wait, no longer than ctx.
//
// Errors: [ErrNoToken]; *[TokenError] when refreshing failed, the same one
// until the next attempt is due; *[ReauthorizationRequiredError] when the token
// is gone for good and no grant is configured; *[StoreError]; [ErrClosed]; and
// ctx's own.
func (m *Manager) Token(ctx context.Context) (*Token, error) {
	if s := m.current.Load(); s != nil {
		if s.token != nil && time.Now().UnixNano() < s.until {
			return s.token, nil
		}
		if s.renewal != nil {
			return m.renewed(ctx, s.renewal)
		}
	}
	return m.tokenSlow(ctx)
}

// renewed waits for a renewal.
func (m *Manager) renewed(ctx context.Context, f *flight) (*Token, error) {
	tok, err := m.wait(ctx, f)
	if err != nil {
		// Who was faster may have logged in meanwhile.
		if s := m.current.Load(); s != nil && s.token.live(wallNow()) {
			return s.token, nil
		}
		return nil, m.explain(err)
	}
	return tok, nil
}

func (m *Manager) tokenSlow(ctx context.Context) (*Token, error) {
	if err := m.ensureLoaded(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	s, now := &m.st, wallNow()
	if s.closed {
		m.mu.Unlock()
		return nil, ErrClosed
	}
	renewable := s.canRenew(m.cfg.Grant)
	if s.usable(now) {
		tok := s.rec.Token
		if renewable && s.renew == nil && s.window > 0 && !now.Before(s.dueAt()) {
			m.startRenewal(ctx, renewal{trigger: TriggerEarly})
		} else if s.renew == nil {
			m.republish(now)
		}
		m.mu.Unlock()
		return tok, nil
	}
	if !renewable {
		err := m.noToken()
		m.mu.Unlock()
		return nil, err
	}
	f := s.renew
	if f == nil {
		err := s.renewFailed.at(now)
		if s.rejections.barred(now) && s.rejected != nil {
			err = m.rejectedError()
		}
		if err != nil {
			m.mu.Unlock()
			return nil, err
		}
		f = m.startRenewal(ctx, renewal{trigger: TriggerExpired})
	}
	m.mu.Unlock()
	return m.renewed(ctx, f)
}

// noToken is the error when there is no token and none can be had without a
// challenge or a person.
func (m *Manager) noToken() error {
	if m.cfg.Grant == nil && m.st.rec.Token != nil {
		return m.reauthorization(nil)
	}
	return ErrNoToken
}

// explain turns the end of a refresh token into what the caller can act on:
// ErrNoToken if a challenge will lead to an authorization, else the typed
// error that demands one.
func (m *Manager) explain(err error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.st.closed || m.st.canRenew(m.cfg.Grant) || !m.ended(err) {
		return err
	}
	return m.noToken()
}

// ended reports whether err means that the token cannot be renewed any more.
func (m *Manager) ended(err error) bool {
	return m.st.refused != nil && errors.Is(err, m.st.refused)
}

// reauthorization builds the error that demands an authorization for all that
// was granted or requested, and more.
func (m *Manager) reauthorization(more []string) error {
	rec := m.st.rec
	e := &ReauthorizationRequiredError{
		Scopes:   unionScopes(m.cfg.Scopes, grantedScopes(rec), rec.Requested, more),
		Issuer:   rec.Issuer,
		Resource: m.canonical,
		Err:      ErrNoToken,
	}
	if m.st.refused != nil {
		e.Err = m.st.refused
	}
	return e
}

func grantedScopes(rec *Record) []string {
	if rec.Token == nil {
		return nil
	}
	return rec.Token.Scopes
}

// Refresh gets a new token now, whatever the age of the one in use, and
// returns it. A refresh that is under way already counts. Errors are those of
// [Manager.Token], and [ErrNoRefreshToken].
func (m *Manager) Refresh(ctx context.Context) (*Token, error) {
	if err := m.loadNow(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	s := &m.st
	switch {
	case s.closed:
		m.mu.Unlock()
		return nil, ErrClosed
	case s.rec.Token == nil:
		m.mu.Unlock()
		return nil, ErrNoToken
	case !s.canRenew(m.cfg.Grant):
		err := s.refused
		m.mu.Unlock()
		if err != nil {
			return nil, m.explain(err)
		}
		return nil, ErrNoRefreshToken
	}
	f := s.renew
	if f == nil {
		f = m.startRenewal(ctx, renewal{trigger: TriggerExplicit})
	}
	m.join(f)
	m.mu.Unlock()
	tok, err := m.wait(ctx, f)
	if err != nil {
		return nil, m.explain(err)
	}
	return tok, nil
}

// enter makes Close wait for an operation on the caller's goroutine.
func (m *Manager) enter() (done func(), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.st.closed {
		return nil, ErrClosed
	}
	m.tasks.Add(1)
	return m.tasks.Done, nil
}

// busy reports whether closing the manager would end something or lose a token.
func (m *Manager) busy() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.st.unsaved || m.st.load != nil || m.st.renew != nil || m.st.login != nil
}

// Subscribe returns a channel of events and a function that ends the
// subscription and closes the channel; so does [Manager.Close]. A subscriber
// that falls behind loses the oldest events and delays nobody.
func (m *Manager) Subscribe() (<-chan Event, func()) { return m.hub.subscribe() }

// Resource returns the URL of the MCP server that the tokens are for, as
// configured. transport.RoundTripper sends them to its origin only.
func (m *Manager) Resource() string { return m.resource }

// Format makes every fmt verb print the manager without its secrets.
func (m *Manager) Format(f fmt.State, _ rune) { redact(f, "auth.Manager{"+m.canonical+"}") }
