package auth_test

import (
	"context"
	"errors"
	"net/http/httptrace"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

type userKey struct{}

func as(ctx context.Context, user string) context.Context {
	return context.WithValue(ctx, userKey{}, user)
}

// valuesGrant gets a token named for the user in the call's context.
type valuesGrant struct {
	// authorize, if set, is called first.
	authorize func(ctx context.Context) error

	mu   sync.Mutex
	used []string
}

func (*valuesGrant) Type() string      { return "values" }
func (*valuesGrant) Interactive() bool { return false }

func (*valuesGrant) Input(ctx context.Context) string {
	user, _ := ctx.Value(userKey{}).(string)
	return user
}

func (g *valuesGrant) Authorize(ctx context.Context, f *auth.Flow) (*auth.Token, error) {
	user, _ := ctx.Value(userKey{}).(string)
	g.mu.Lock()
	g.used = append(g.used, user)
	g.mu.Unlock()
	if g.authorize != nil {
		if err := g.authorize(ctx); err != nil {
			return nil, err
		}
	}
	return &auth.Token{AccessToken: "for-" + user, Expiry: time.Now().Add(time.Hour)}, nil
}

func (g *valuesGrant) users() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.used...)
}

// A grant finds the values of the call that started it, in a login and in a
// renewal, but not the call's end.
func TestGrantGetsTheValuesOfTheCall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		g := &valuesGrant{authorize: func(ctx context.Context) error {
			time.Sleep(time.Second)
			return ctx.Err()
		}}
		cfg := k.onDemand()
		cfg.Grant = g
		m := k.manager(cfg)
		for i, call := range []func(context.Context) (*auth.Token, error){m.Authorize, m.Refresh} {
			ctx, cancel := context.WithTimeout(as(t.Context(), "alice"), time.Millisecond)
			if _, err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("call %d: %v, want its own deadline", i, err)
			}
			cancel()
			time.Sleep(2 * time.Second)
			if tok, err := m.Token(t.Context()); err != nil || tok.AccessToken != "for-alice" {
				t.Errorf("after call %d: %v, %v", i, tok, err)
			}
			if n := len(g.users()); n != i+1 {
				t.Errorf("the grant was used %d times after call %d", n, i)
			}
		}
	})
}

// The caller's httptrace hooks are for the caller's own request.
func TestGrantIsNotWatchedByTheCaller(t *testing.T) {
	k := newKit(t, authtest.Config{}, authtest.Protection{})
	cfg := k.onDemand()
	cfg.Grant = &valuesGrant{authorize: func(ctx context.Context) error {
		if httptrace.ContextClientTrace(ctx) != nil {
			t.Error("the operation has the caller's hooks")
		}
		return nil
	}}
	hooks := &httptrace.ClientTrace{ConnectStart: func(string, string) { t.Error("called for an operation") }}
	if _, err := k.manager(cfg).Authorize(httptrace.WithClientTrace(as(t.Context(), "alice"), hooks)); err != nil {
		t.Error(err)
	}
}

// In a pool every subject has a manager, so that what one caller brings never
// serves another.
func TestPoolKeepsTheValuesOfSubjectsApart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		g := &valuesGrant{authorize: func(context.Context) error {
			time.Sleep(time.Second) // all at the same time
			return nil
		}}
		cfg := k.config()
		cfg.Grant = g
		pool, err := auth.NewPool(auth.PoolConfig{Config: func(string, string) (*auth.Config, error) { return &cfg, nil }})
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		var calls sync.WaitGroup
		for _, user := range []string{"alice", "bob", "carol"} {
			for range 3 {
				calls.Go(func() {
					tok, err := pool.Source(user, k.res.URL).Resolve(as(t.Context(), user), nil, auth.Challenge{})
					if err != nil || tok.AccessToken != "for-"+user {
						t.Errorf("%s got %v, %v", user, tok, err)
					}
				})
			}
		}
		calls.Wait()
		if users := g.users(); len(users) != 3 {
			t.Errorf("the grant was used for %q", users)
		}
	})
}

// What one call brought is refused, but not what another brings that waited for
// the same operation.
func TestAnothersInputIsTriedWithItsOwn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		g := &valuesGrant{authorize: func(ctx context.Context) error {
			time.Sleep(time.Second)
			if user := ctx.Value(userKey{}); user != "good" {
				return &auth.TokenError{Code: "invalid_grant", StatusCode: 400}
			}
			return nil
		}}
		cfg := k.onDemand()
		cfg.Grant = g
		m := k.manager(cfg)
		results := make(map[string]error)
		var mu sync.Mutex
		var calls sync.WaitGroup
		for _, user := range []string{"stale", "stale", "good"} {
			calls.Go(func() {
				_, err := m.Resolve(as(t.Context(), user), nil, auth.Challenge{})
				mu.Lock()
				defer mu.Unlock()
				results[user] = err
			})
			synctest.Wait() // the stale one is first
		}
		calls.Wait()
		if results["stale"] == nil || results["good"] != nil {
			t.Errorf("results %v", results)
		}
		if users := g.users(); len(users) != 2 {
			t.Errorf("the grant was used for %q", users)
		}
	})
}

// Nothing is something that the program can replace, too.
func TestInputAfterNone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		g := &valuesGrant{authorize: func(ctx context.Context) error {
			if ctx.Value(userKey{}) == nil {
				return errors.New("nobody is there")
			}
			return nil
		}}
		cfg := k.onDemand()
		cfg.Grant = g
		m := k.manager(cfg)
		for i := range 5 { // into a longer pause each time
			time.Sleep(time.Duration(i) * time.Minute)
			if _, err := m.Resolve(t.Context(), nil, auth.Challenge{}); err == nil {
				t.Fatal("a token for nobody")
			}
		}
		used := len(g.users())
		if _, err := m.Resolve(t.Context(), nil, auth.Challenge{}); err == nil || len(g.users()) != used {
			t.Errorf("%v after %d uses, want the pause's error", err, len(g.users()))
		}
		if tok, err := m.Resolve(as(t.Context(), "alice"), nil, auth.Challenge{}); err != nil || tok.AccessToken != "for-alice" {
			t.Errorf("Resolve: %v, %v", tok, err)
		}
	})
}
