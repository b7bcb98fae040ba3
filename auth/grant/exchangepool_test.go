package grant_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/clientauth"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// gateway is a pool of token exchanges in front of a server of the kit's.
type gateway struct {
	srv  *authtest.Server
	idp  *authtest.JWTIssuer
	res  *authtest.Resource
	pool *auth.Pool
}

func newGateway(tb testing.TB, cfg auth.Config, p authtest.Protection) *gateway {
	tb.Helper()
	g := &gateway{srv: authtest.NewServerConfig(tb, authtest.Config{InMemory: true}), idp: authtest.NewJWTIssuer("https://idp.example")}
	g.srv.TrustIssuer(g.idp.URL, g.idp.PublicKey())
	g.res = g.srv.Protect(http.NotFoundHandler(), p)
	cfg.HTTPClient, cfg.Client.Issuer = g.srv.Client(), g.srv.Issuer
	var err error
	g.pool, err = auth.NewPool(auth.PoolConfig{Config: func(string, string) (*auth.Config, error) { return &cfg, nil }})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = g.pool.Close() })
	return g
}

// token is what a user's call gets, who called with a token for audience.
func (g *gateway) token(ctx context.Context, user, audience string) (*auth.Token, error) {
	ctx = grant.WithSubjectToken(ctx, g.idp.JWT(map[string]any{"sub": user, "aud": audience}))
	return g.pool.Source(user, g.res.URL).Resolve(ctx, nil, auth.Challenge{ResourceMetadata: g.res.MetadataURL})
}

// Thousands of users make one discovery and one registration, and everybody gets
// a token of their own.
func TestExchangesInAPool(t *testing.T) {
	const users = 1000
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, auth.Config{Grant: grant.TokenExchange{}}, authtest.Protection{Scopes: []string{"mcp:read"}})
		var mu sync.Mutex
		var calls sync.WaitGroup
		seen := make(map[string]bool)
		for i := range users {
			calls.Go(func() {
				user := fmt.Sprint("user-", i)
				tok, err := g.token(t.Context(), user, g.srv.Issuer)
				if err != nil {
					t.Error(err)
					return
				}
				if info, _ := g.srv.Inspect(tok.AccessToken); info.Subject != user || info.Resource != g.res.URL {
					t.Errorf("%s got a token of %q for %q", user, info.Subject, info.Resource)
				}
				mu.Lock()
				defer mu.Unlock()
				seen[tok.AccessToken] = true
			})
		}
		calls.Wait()
		c := g.srv.Counts()
		if len(seen) != users || c.Token != users || c.Register != 1 || c.Metadata != 1 || c.ResourceMetadata != 1 {
			t.Errorf("%d tokens; %d token requests, %d registrations, %d and %d for metadata", len(seen), c.Token, c.Register, c.Metadata, c.ResourceMetadata)
		}
		// Within the life of their tokens nothing more is asked for.
		time.Sleep(time.Minute)
		for i := range users {
			if _, err := g.pool.Source(fmt.Sprint("user-", i), g.res.URL).Token(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if again := g.srv.Counts(); again.Token != users {
			t.Errorf("%d token requests more", again.Token-users)
		}
	})
}

// The same in the way of Entra ID, for a client with a key.
func TestOnBehalfOfInAPool(t *testing.T) {
	const users = 200
	synctest.Test(t, func(t *testing.T) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		g := newGateway(t, auth.Config{
			Client: auth.Client{ID: "gateway", Auth: clientauth.PrivateKeyJWT{Key: key}},
			Scopes: []string{"api://server/.default"},
			Grant:  grant.OnBehalfOf{},
		}, authtest.Protection{AllowUnbound: true})
		g.srv.AddClientKey("gateway", key.Public())
		var calls sync.WaitGroup
		for i := range users {
			calls.Go(func() {
				user := fmt.Sprint("user-", i)
				tok, err := g.token(t.Context(), user, "api://gateway")
				if err != nil {
					t.Error(err)
					return
				}
				if info, _ := g.srv.Inspect(tok.AccessToken); info.Subject != user || info.ClientID != "gateway" {
					t.Errorf("%s got %+v", user, info)
				}
			})
		}
		calls.Wait()
		if c := g.srv.Counts(); c.Token != users || c.Register != 0 || c.Metadata != 1 || c.ResourceMetadata != 1 {
			t.Errorf("%d token requests, %d registrations, %d and %d for metadata", c.Token, c.Register, c.Metadata, c.ResourceMetadata)
		}
	})
}

// An agent that acts for a user gets less than the user has, and is named.
func TestDelegationToAnAgent(t *testing.T) {
	g := newGateway(t, auth.Config{
		Client: auth.Client{ID: "gateway", Secret: "its-secret"},
		Grant:  grant.TokenExchange{ActorToken: grant.ActorTokenFrom, ActorTokenType: grant.SubjectJWT, MaxScopes: []string{"read"}},
	}, authtest.Protection{Scopes: []string{"read"}})
	g.srv.AddClient("gateway", "its-secret")
	user := g.srv.IssueTokenFor("alice", []string{"read", "write"}, "https://gateway.example")
	ctx := grant.WithActorToken(t.Context(), g.idp.JWT(map[string]any{"sub": "agent-7", "aud": g.srv.Issuer}))
	tok, err := g.pool.Source("alice", g.res.URL).Resolve(grant.WithSubjectToken(ctx, user.AccessToken), nil, auth.Challenge{ResourceMetadata: g.res.MetadataURL})
	if err != nil {
		t.Fatal(err)
	}
	info, _ := g.srv.Inspect(tok.AccessToken)
	if info.Subject != "alice" || !slices.Equal(info.Actors, []string{"agent-7"}) || !slices.Equal(info.Scopes, []string{"read"}) {
		t.Errorf("the token stands for %+v", info)
	}
}

// BenchmarkExchangesInAPool is the first call of one more user.
func BenchmarkExchangesInAPool(b *testing.B) {
	g := newGateway(b, auth.Config{Grant: grant.TokenExchange{}}, authtest.Protection{})
	n := 0
	for b.Loop() {
		n++
		if _, err := g.token(b.Context(), fmt.Sprint("user-", n), g.srv.Issuer); err != nil {
			b.Fatal(err)
		}
	}
	if c := g.srv.Counts(); c.Register > 1 || c.Metadata > 1 || c.Token != n {
		b.Errorf("for %d users: %d registrations, %d metadata requests, %d token requests", n, c.Register, c.Metadata, c.Token)
	}
}
