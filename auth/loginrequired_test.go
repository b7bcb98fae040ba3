package auth_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// linkGrant gives a link instead of a token, as a web application does.
type linkGrant struct {
	asked   [][]string
	subject string
}

func (*linkGrant) Type() string      { return "authorization_code" }
func (*linkGrant) Interactive() bool { return true }

func (g *linkGrant) Authorize(_ context.Context, f *auth.Flow) (*auth.Token, error) {
	g.asked, g.subject = append(g.asked, f.Scopes), f.Subject
	return nil, &auth.LoginRequiredError{
		URL: fmt.Sprintf("https://app.example/start/%d", len(g.asked)), Expires: time.Now().Add(10 * time.Minute), Scopes: f.Scopes, Resource: f.Resource,
	}
}

// stuckGrant waits for a person who never comes.
type stuckGrant struct{ linkGrant }

func (*stuckGrant) Authorize(ctx context.Context, _ *auth.Flow) (*auth.Token, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func wants(scopes ...string) auth.Challenge {
	return auth.Challenge{Status: 403, Error: "insufficient_scope", Scopes: scopes, Operation: "tools/call x"}
}

func unauthorized(scopes ...string) auth.Challenge {
	return auth.Challenge{Status: 401, Scopes: scopes, Operation: "tools/call x"}
}

// Callers get one link for as long as it is good enough for a person to follow it,
// and another one for other scopes.
func TestOneLinkForAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg, g := k.onDemand(), new(linkGrant)
		cfg.Grant, cfg.Subject = g, "alice"
		m := k.manager(cfg)
		link := func(c auth.Challenge) string {
			t.Helper()
			_, err := m.Resolve(t.Context(), nil, c)
			return asError[*auth.LoginRequiredError](t, err).URL
		}
		if first, second := link(unauthorized("a")), link(unauthorized("a")); first != second || len(g.asked) != 1 {
			t.Errorf("links %s and %s, %d logins begun", first, second, len(g.asked))
		}
		if g.subject != "alice" {
			t.Errorf("the grant was told the subject %q", g.subject)
		}
		time.Sleep(6 * time.Minute)
		if link(unauthorized("a")); len(g.asked) != 2 {
			t.Errorf("%d logins begun, want another one for an old link", len(g.asked))
		}
		link(unauthorized("b"))
		if link(unauthorized("b")); len(g.asked) != 3 {
			t.Errorf("%d logins begun, want another one for other scopes", len(g.asked))
		}
		if err := m.SetToken(t.Context(), k.token("a")); err != nil {
			t.Fatal(err)
		}
		mustToken(t, m)
	})
}

// A link for more scopes is no try that failed, however often it is shown, and it
// says that it is for more.
func TestLinkForMoreScopes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg, g := k.onDemand(), new(linkGrant)
		cfg.Grant = g
		m, tok := k.started(cfg, "a")
		for range 20 {
			_, err := m.Resolve(t.Context(), tok, wants("b"))
			if e := asError[*auth.LoginRequiredError](t, err); !e.More || !slices.Equal(e.Scopes, []string{"a", "b"}) {
				t.Fatalf("got %#v", e)
			}
			tok = mustToken(t, m)
		}
		if len(g.asked) != 1 {
			t.Errorf("%d logins begun, want 1", len(g.asked))
		}
	})
}

// A call without a user learns at once what is missing, also while others wait
// for a login, and the next login asks for it.
func TestWithoutUser(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.onDemand()
		cfg.Grant, cfg.Store = new(stuckGrant), new(auth.MemoryStore)
		m := k.manager(cfg)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _, _ = m.Resolve(ctx, nil, unauthorized("a")) }()
		synctest.Wait()
		start := time.Now()
		_, err := m.Resolve(auth.WithoutUser(t.Context()), nil, unauthorized("b"))
		e := asError[*auth.ReauthorizationRequiredError](t, err)
		if took := time.Since(start); took != 0 || e.More || !slices.Equal(e.Scopes, []string{"b"}) || !errors.Is(e, auth.ErrNoToken) {
			t.Errorf("after %v: %#v", took, e)
		}
		time.Sleep(time.Second) // the scopes are stored
		other, g := k.onDemand(), new(linkGrant)
		other.Grant, other.Store = g, cfg.Store
		_, err = k.manager(other).Resolve(t.Context(), nil, unauthorized("c"))
		if e := asError[*auth.LoginRequiredError](t, err); !slices.Contains(e.Scopes, "b") || !slices.Contains(e.Scopes, "c") {
			t.Errorf("the next login, of another process, asks for %q", e.Scopes)
		}
		// A logout forgets them, though there is no token.
		if err := m.Revoke(t.Context()); err != nil {
			t.Error(err)
		}
		for e := range cfg.Store.(*auth.MemoryStore).List(t.Context()) {
			t.Errorf("left in the store: %v", e.Key)
		}
	})
}

// A token that lacks scopes is in use: the person does not have to log in, but to
// allow more. A background call that was refused keeps nobody else from asking.
func TestWithoutUserForMoreScopes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg, g := k.onDemand(), new(linkGrant)
		cfg.Grant = g
		m, tok := k.started(cfg, "a")
		_, err := m.Resolve(auth.WithoutUser(t.Context()), tok, wants("b"))
		e := asError[*auth.ReauthorizationRequiredError](t, err)
		if !e.More || errors.Is(e, auth.ErrNoToken) || !slices.Equal(e.Scopes, []string{"a", "b"}) {
			t.Errorf("got %#v", e)
		}
		_, err = m.Resolve(t.Context(), mustToken(t, m), wants("c"))
		if e := asError[*auth.LoginRequiredError](t, err); !slices.Equal(slices.Sorted(slices.Values(e.Scopes)), []string{"a", "b", "c"}) {
			t.Errorf("the next login asks for %q", e.Scopes)
		}
	})
}

// Two managers on one MemoryStore hear of each other's logins and logouts at once,
// and a login that is under way ends when nobody needs it any more.
func TestMemoryStoreTellsManagers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.onDemand()
		cfg.Store = new(auth.MemoryStore)
		a := k.manager(cfg)
		cfg.Grant = new(stuckGrant)
		b := k.manager(cfg)
		start := time.Now()
		waiting := make(chan *auth.Token)
		go func() {
			tok, err := b.Resolve(t.Context(), nil, unauthorized())
			if err != nil {
				t.Error(err)
			}
			waiting <- tok
		}()
		synctest.Wait()
		if err := a.SetToken(t.Context(), k.token("a")); err != nil {
			t.Fatal(err)
		}
		if tok := <-waiting; tok == nil || tok.AccessToken != mustToken(t, a).AccessToken {
			t.Errorf("the call that waited got %v", tok)
		}
		mustToken(t, b)
		if err := a.Revoke(t.Context()); err != nil && !errors.Is(err, auth.ErrNoRevocation) {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, err := b.Token(t.Context()); !errors.Is(err, auth.ErrNoToken) {
			t.Errorf("after the logout: %v", err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("all that took %v", took)
		}
	})
}
