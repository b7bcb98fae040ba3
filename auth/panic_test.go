package auth_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/authtrace"
)

const panicText = "out of cheese"

// once panics at its first call.
type once struct{ done atomic.Bool }

func (o *once) call() {
	if !o.done.Swap(true) {
		panic(panicText)
	}
}

// A panic of the program's own code in an operation is an error for those who
// wait, which says so, and the manager goes on.
func TestPanics(t *testing.T) {
	tests := []struct {
		name  string
		login bool // the operation is a login and no refresh
		plant func(cfg *auth.Config, o *once)
	}{
		{"grant", true, func(cfg *auth.Config, o *once) { cfg.Grant = panicGrant{cfg.Grant, o} }},
		{"tracer, at a login", true, func(cfg *auth.Config, o *once) { cfg.Tracer = panicTracer{o: o} }},
		{"tracer, at a refresh", false, func(cfg *auth.Config, o *once) { cfg.Tracer = panicTracer{o: o} }},
		{"load, at a login", true, func(cfg *auth.Config, o *once) { cfg.Store = &panicStore{load: o} }},
		{"load, at a refresh", false, func(cfg *auth.Config, o *once) { cfg.Store = &panicStore{load: o} }},
		{"lock", false, func(cfg *auth.Config, o *once) { cfg.Store = &panicStore{lock: o} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				cfg, armed := k.onDemand(), new(once)
				armed.done.Store(true)
				cfg.Grant = k.login()
				tt.plant(&cfg, armed)
				m := k.manager(cfg)
				if !tt.login {
					if err := m.SetToken(t.Context(), k.token()); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait() // the store's hint of that save leads to a load
				try := func() (*auth.Token, error) {
					if tt.login {
						return m.Resolve(t.Context(), nil, k.unauthorized())
					}
					return m.Refresh(t.Context())
				}
				armed.done.Store(false)
				if tok, err := try(); err == nil || !strings.Contains(err.Error(), panicText) {
					t.Fatalf("got %v, %v, want an error that says %q", tok, err, panicText)
				}
				time.Sleep(time.Minute)
				if tok, err := try(); err != nil || k.call(tok) != 200 {
					t.Errorf("the next one: %v, %v", tok, err)
				}
			})
		})
	}
}

// A save that panics is one that failed: the rotated refresh token is used from
// memory, and stored later.
func TestSavePanics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg, s := k.onDemand(), &panicStore{save: new(once)}
		s.save.done.Store(true)
		cfg.Store = s
		m, old := k.started(cfg)
		s.save.done.Store(false)
		tok, err := m.Refresh(t.Context())
		if err != nil || tok.RefreshToken == old.RefreshToken || !m.Info().Unsaved {
			t.Fatalf("Refresh = %v, %v, unsaved: %t", tok, err, m.Info().Unsaved)
		}
		time.Sleep(time.Minute)
		if m.Info().Unsaved || k.stored(s).Token.RefreshToken != tok.RefreshToken {
			t.Errorf("unsaved: %t, stored %v", m.Info().Unsaved, k.stored(s))
		}
	})
}

type panicGrant struct {
	auth.Grant
	o *once
}

func (g panicGrant) Authorize(ctx context.Context, f *auth.Flow) (*auth.Token, error) {
	g.o.call()
	return g.Grant.Authorize(ctx, f)
}

type panicTracer struct {
	authtrace.Nop
	o *once
}

func (t panicTracer) Start(ctx, _ context.Context, s authtrace.Start) context.Context {
	switch s.(type) {
	case authtrace.RefreshStart, authtrace.AuthorizationStart:
		t.o.call()
	}
	return ctx
}

type panicStore struct {
	auth.MemoryStore
	load, save, lock *once
}

func (s *panicStore) Load(ctx context.Context, key auth.Key) (*auth.Record, error) {
	if s.load != nil {
		s.load.call()
	}
	return s.MemoryStore.Load(ctx, key)
}

func (s *panicStore) Save(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	if s.save != nil {
		s.save.call()
	}
	return s.MemoryStore.Save(ctx, key, r)
}

func (s *panicStore) Lock(ctx context.Context, key auth.Key) (func(), error) {
	if s.lock != nil {
		s.lock.call()
	}
	return s.MemoryStore.Lock(ctx, key)
}
