package auth

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// PoolSource is a [Source] out of a [Pool].
type PoolSource struct {
	pool *Pool
	key  poolKey
}

var _ Source = (*PoolSource)(nil)

// Token implements [Source].
func (s *PoolSource) Token(ctx context.Context) (t *Token, err error) {
	err = s.Use(func(m *Manager) error {
		t, err = m.Token(ctx)
		return err
	})
	return t, err
}

// Resolve implements [Source].
func (s *PoolSource) Resolve(ctx context.Context, rejected *Token, c Challenge) (t *Token, err error) {
	err = s.Use(func(m *Manager) error {
		t, err = m.Resolve(ctx, rejected, c)
		return err
	})
	return t, err
}

// Accepted implements [Accepter].
func (s *PoolSource) Accepted(t *Token) {
	if t.accept() {
		return
	}
	_ = s.Use(func(m *Manager) error { // a pool that is closed learns nothing
		m.Accepted(t)
		return nil
	})
}

// Resource returns the URL of the resource.
func (s *PoolSource) Resource() string { return s.key.resource }

// BaseTransport is [Manager.BaseTransport].
func (s *PoolSource) BaseTransport() (base http.RoundTripper) {
	_ = s.Use(func(m *Manager) error { base = m.BaseTransport(); return nil }) // the next call meets the same error
	return base
}

// Use calls f with the manager, which is not closed before f returns, and
// returns f's error. f must not keep the manager.
func (s *PoolSource) Use(f func(*Manager) error) error {
	member, err := s.pool.acquire(s.key)
	if err != nil {
		return err
	}
	defer s.pool.release(member)
	return f(member.manager)
}

// Format makes every fmt verb print the source without its subject.
func (s PoolSource) Format(f fmt.State, _ rune) {
	redact(f, "auth.PoolSource{"+shownURL(s.key.resource)+"}")
}

// SetRecord is [Manager.SetRecord].
func (s *PoolSource) SetRecord(ctx context.Context, r *Record) error {
	return s.Use(func(m *Manager) error { return m.SetRecord(ctx, r) })
}

// BeginLogin is [Manager.BeginLogin].
func (s *PoolSource) BeginLogin(ctx context.Context, redirectURI, state string, scopes ...string) (visit string, kept []byte, err error) {
	err = s.Use(func(m *Manager) error {
		visit, kept, err = m.BeginLogin(ctx, redirectURI, state, scopes...)
		return err
	})
	return visit, kept, err
}

// FinishLogin is [Manager.FinishLogin].
func (s *PoolSource) FinishLogin(ctx context.Context, kept []byte, answer url.Values) (t *Token, err error) {
	err = s.Use(func(m *Manager) error {
		t, err = m.FinishLogin(ctx, kept, answer)
		return err
	})
	return t, err
}
