package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/auth/registration"
)

// The grant, the tracer and the store of the model test (model_test.go).

// modelGrant always works, if the server does.
type modelGrant struct {
	r *modelRun
	i int
}

func (g modelGrant) Type() string      { return "model" }
func (g modelGrant) Interactive() bool { return g.r.cfg.grant == "person" }

func (g modelGrant) Authorize(ctx context.Context, f *auth.Flow) (*auth.Token, error) {
	because, _ := ctx.Value(modelWhy{}).(why)
	g.check(because)
	c, err := f.Client(ctx, registration.Metadata{})
	if err != nil {
		return nil, err
	}
	return f.Exchange(ctx, c, url.Values{"grant_type": {"model"}, "scope": {strings.Join(f.Scopes, " ")}})
}

// check: no login that a refresh would have saved.
func (g modelGrant) check(because why) {
	r := g.r
	r.mu.Lock()
	excused := r.doubtful || len(because.scopes) > 0 || r.under > 0
	r.mu.Unlock()
	r.srv.mu.Lock()
	held := r.srv.held
	refused := held != "" && r.srv.refresh[held].refusedTo[g.i]
	r.srv.mu.Unlock()
	if !excused && held != "" && !refused && r.srv.refreshable(held) {
		r.violation("manager %d logs in (%s) though %s could be refreshed", g.i, because.trigger, held)
	}
}

// modelTracer knows what a use of the grant is for.
type modelTracer struct{ authtrace.Nop }

type modelWhy struct{}

// why is what ctx's operation began with.
type why struct {
	trigger authtrace.Trigger
	scopes  []string
}

func (modelTracer) Start(ctx, _ context.Context, s authtrace.Start) context.Context {
	switch s := s.(type) {
	case authtrace.RefreshStart:
		return context.WithValue(ctx, modelWhy{}, why{s.Trigger, s.Scopes})
	case authtrace.AuthorizationStart:
		return context.WithValue(ctx, modelWhy{}, why{s.Trigger, s.Scopes})
	}
	return ctx
}

// modelStore is a [auth.MemoryStore] that fails as the test says.
type modelStore struct {
	auth.MemoryStore
	run *modelRun

	mu     sync.Mutex
	broken [3]bool
	after  bool
	failed int             // saves since one that did not
	saved  map[string]bool // access tokens
}

var errModelStore = errors.New("the store is broken")

func (s *modelStore) fail(what [3]bool, after bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken, s.after = what, after
}

func (s *modelStore) is(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken[n]
}

func (s *modelStore) wasSaved(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saved[token]
}

func (s *modelStore) Load(ctx context.Context, k auth.Key) (*auth.Record, error) {
	if s.is(0) {
		if s.run.cfg.managers > 1 {
			s.run.doubt() // who is refused cannot tell the other
		}
		return nil, fmt.Errorf("load: %w", errModelStore)
	}
	return s.MemoryStore.Load(ctx, k)
}

func (s *modelStore) Save(ctx context.Context, k auth.Key, rec *auth.Record) (uint64, error) {
	s.mu.Lock()
	fails, after := s.broken[1], s.after
	s.failed++
	many := s.failed > 30 // which is more than a manager remembers
	s.mu.Unlock()
	if fails && (s.run.cfg.managers > 1 || many) {
		s.run.doubt()
	}
	if fails && !after {
		return 0, errModelStore
	}
	generation, err := s.MemoryStore.Save(ctx, k, rec)
	if err == nil && rec.Token != nil {
		s.mu.Lock()
		s.saved[rec.Token.AccessToken] = true
		if !fails {
			s.failed = 0
		}
		s.mu.Unlock()
	}
	if fails {
		return 0, errModelStore
	}
	return generation, err
}

func (s *modelStore) Delete(ctx context.Context, k auth.Key, generation uint64) error {
	if s.is(1) {
		return errModelStore
	}
	return s.MemoryStore.Delete(ctx, k, generation)
}

func (s *modelStore) Lock(ctx context.Context, k auth.Key) (func(), error) {
	if s.is(2) {
		return nil, errModelStore
	}
	return s.MemoryStore.Lock(ctx, k)
}
