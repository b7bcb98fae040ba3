//go:build realservers

package grant_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/internal/realservers"
)

// Two users log in at a program, and a gateway exchanges what the program was
// given: for the one alone, for the other with an actor.
func TestRealZitadelTokenExchange(t *testing.T) {
	z := realservers.StartZitadel(t)
	user := newRealUser(realservers.OpenBrowser(t))
	user.Port = z.RedirectPort
	config := func(client, resource string, g auth.Grant) auth.Config {
		return auth.Config{
			Resource: resource, Server: &auth.Server{Issuer: z.Issuer},
			Client: auth.Client{ID: client, Secret: "secret", Issuer: z.Issuer},
			Scopes: []string{"openid", "profile"}, Grant: g, HTTPClient: z.HTTPClient(),
		}
	}
	login := func(name string) string {
		t.Helper()
		m, err := auth.NewManager(config("web", "https://gateway.example", grant.AuthorizationCode{UserAgent: user}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close() })
		var tok *auth.Token
		user.during(t, func() (err error) {
			tok, err = m.Authorize(t.Context())
			return err
		}, func(target string) { z.SignIn(user.b, target, name) })
		return tok.AccessToken
	}
	admin := login(realservers.ZitadelAdmin)
	other := login(realservers.ZitadelUser)

	exchange := func(g grant.TokenExchange, subject string) (*auth.Token, error) {
		t.Helper()
		cfg := config("api", "https://mcp.example/mcp", g)
		cfg.NoIdleRefresh = true
		m, err := auth.NewManager(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		return m.Authorize(grant.WithSubjectToken(grant.WithActorToken(t.Context(), admin), subject))
	}
	here := grant.TokenExchange{Issuer: z.Issuer, Audience: []string{"api"}} // who may introspect it

	tok, err := exchange(here, admin)
	if err != nil {
		t.Fatal(err)
	}
	if in := z.Introspect(tok.AccessToken); !in.Active || in.Subject != "id1" || in.ClientID != "api" {
		t.Errorf("the token in exchange says %+v", in)
	}
	if tok.RefreshToken != "" || tok.Expiry.IsZero() || !slices.Equal(tok.Scopes, []string{"openid", "profile"}) {
		t.Errorf("the answer was read as %v", tok)
	}

	narrow := here
	narrow.MaxScopes = []string{"openid"}
	if tok, err = exchange(narrow, admin); err != nil || !slices.Equal(tok.Scopes, []string{"openid"}) || z.Introspect(tok.AccessToken).Scope != "openid" {
		t.Errorf("down-scoped: %v, %v", tok, err)
	}

	delegated := here
	delegated.ActorToken = grant.ActorTokenFrom
	if tok, err = exchange(delegated, other); err != nil {
		t.Error(err)
	} else if in := z.Introspect(tok.AccessToken); !in.Active || in.Subject != "id2" {
		t.Errorf("with an actor the token says %+v", in)
	}

	var refused *grant.SubjectTokenError
	if _, err = exchange(here, "made-up"); !errors.As(err, &refused) || refused.Issuer != z.Issuer {
		t.Errorf("a made-up subject token: %v", err)
	}
}
