package auth_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// The known faults of ExMCP.Authorization.TokenManager 1.0, which this package
// started from (docs/exmcp.md). Each test fails if ours has the same one.

// ExMCP: automatic refresh looked for the response under the wrong keys and
// lost the token.
func TestParityAutomaticRefreshKeepsEverything(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{Scopes: []string{"read"}})
		m, old := k.started(k.config(), "read", "write")
		time.Sleep(time.Until(m.Info().RefreshAt))
		synctest.Wait()
		k.wantRefreshes(1)
		tok := mustToken(t, m)
		if tok.AccessToken == old.AccessToken || tok.AccessToken == "" || tok.RefreshToken == old.RefreshToken || tok.RefreshToken == "" {
			t.Errorf("token %v", tok)
		}
		if tok.TokenType != "Bearer" || !slices.Equal(tok.Scopes, old.Scopes) || !tok.Expiry.Equal(time.Now().Add(time.Hour)) {
			t.Errorf("token %v, expiry %v", tok, tok.Expiry)
		}
		if status := k.call(tok); status != http.StatusOK {
			t.Errorf("the MCP server answered %d", status)
		}
	})
}

// ExMCP: refresh_now returned a token that it did not keep.
func TestParityRefreshNowKeepsWhatItGot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg, s := k.onDemand(), new(auth.MemoryStore)
		cfg.Store = s
		m, _ := k.started(cfg)
		tok, err := m.Refresh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if mustToken(t, m) != tok || !m.Info().Expiry.Equal(tok.Expiry) || k.stored(s).Token.AccessToken != tok.AccessToken {
			t.Error("what Refresh got is not in use, or not stored")
		}
		if _, err := m.Refresh(t.Context()); err != nil { // with the rotated refresh token
			t.Error(err)
		}
	})
}

// ExMCP: upgrade_scopes never sent scope, and did not record what it got.
func TestParityUpgradeSendsAndRecordsScopes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{RefreshWidens: true}, authtest.Protection{Scopes: []string{"read", "write"}})
		m, _ := k.started(k.onDemand(), "read")
		tok, err := m.UpgradeScopes(t.Context(), "write", "read")
		if err != nil {
			t.Fatal(err)
		}
		union := []string{"read", "write"}
		if got := k.srv.TokenRequests()[0].Form["scope"]; !slices.Equal(got, []string{"read write"}) {
			t.Errorf("scope = %q", got)
		}
		if i := m.Info(); !slices.Equal(tok.Scopes, union) || !slices.Equal(i.Scopes, union) || mustToken(t, m) != tok {
			t.Errorf("granted %v, Info says %v", tok.Scopes, i.Scopes)
		}
		if status := k.call(tok); status != http.StatusOK {
			t.Errorf("the MCP server answered %d", status)
		}
		if _, err := m.UpgradeScopes(t.Context(), "write"); err != nil {
			t.Error(err)
		}
		k.wantRefreshes(1) // nothing was missing
	})
}

// Without a refresh token, or with one that cannot widen: an error with the
// combined list, in order.
func TestParityUpgradeNeedsReauthorization(t *testing.T) {
	for _, tc := range []struct {
		name    string
		refresh bool
		sent    int
	}{{"no refresh token", false, 0}, {"refresh does not widen", true, 1}} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				m, tok := k.manager(k.onDemand()), k.token("read", "list")
				if !tc.refresh {
					tok.RefreshToken = ""
				}
				if err := m.SetToken(t.Context(), tok); err != nil {
					t.Fatal(err)
				}
				_, err := m.UpgradeScopes(t.Context(), "write", "read")
				e := asError[*auth.ReauthorizationRequiredError](t, err)
				if !slices.Equal(e.Scopes, []string{"read", "list", "write"}) || e.Resource != k.res.URL || e.Issuer != k.srv.Issuer {
					t.Errorf("error %+v", e)
				}
				k.wantRefreshes(tc.sent)
			})
		})
	}
}

// ExMCP: five concurrent refreshes made five requests with one refresh token,
// of which a rotating server refuses four and then revokes the first.
func TestParityFiveConcurrentRefreshes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, _ := k.started(k.onDemand())
		// In a bubble a second passes only when all five wait.
		k.srv.InjectAlways(authtest.TokenEndpoint, authtest.Delay(time.Second))
		together(5, func(int) {
			if _, err := m.Refresh(t.Context()); err != nil {
				t.Errorf("Refresh: %v", err)
			}
		})
		if c := k.srv.Counts(); c.Refreshes != 1 || c.ReusedRefreshTokens != 0 {
			t.Errorf("%d requests, %d reused refresh tokens", c.Refreshes, c.ReusedRefreshTokens)
		}
	})
}

// ExMCP: reads were blocked while a refresh ran.
func TestParityReadsDuringARefresh(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, old := k.started(k.onDemand())
		k.srv.Inject(authtest.TokenEndpoint, authtest.Delay(10*time.Second))
		go func() { _, _ = m.Refresh(t.Context()) }()
		synctest.Wait()
		k.wantRefreshes(1)
		began := time.Now()
		if tok := mustToken(t, m); tok.AccessToken != old.AccessToken {
			t.Errorf("token %v", tok)
		}
		if i := m.Info(); !i.Refreshing || i.State != auth.StateFresh {
			t.Errorf("info %+v", i)
		}
		_, cancel := m.Subscribe()
		cancel()
		if took := time.Since(began); took != 0 {
			t.Errorf("reading took %v", took)
		}
	})
}

// ExMCP: a retry every 30 s forever, whatever the error.
func TestParityNoRetryOfWhatIsRefused(t *testing.T) {
	// A client that the program configured can be fixed at the server: the
	// refresh token is kept, and tried again with pauses of up to 5 min.
	for _, code := range []string{"invalid_client", "unauthorized_client"} {
		t.Run(code, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				m, old := k.started(k.onDemand())
				k.srv.InjectAlways(authtest.TokenEndpoint, authtest.OAuthError(code, 400))
				expire(old)
				began := time.Now()
				for time.Since(began) < time.Hour {
					_, err := m.Token(t.Context())
					if te := asError[*auth.TokenError](t, err); te.Code != code || time.Until(te.NextAttempt) > 6*time.Minute {
						t.Fatalf("error %v", err)
					}
					time.Sleep(time.Second)
				}
				if n := k.refreshes(); n < 15 || n > 22 { // 1, 2, 4 … 256, 300 s
					t.Errorf("%d refresh requests in an hour", n)
				}
				k.srv.ClearFaults(authtest.TokenEndpoint)
				time.Sleep(6 * time.Minute)
				if status := k.call(mustToken(t, m)); status != 200 {
					t.Errorf("after the server was fixed it answers %d", status)
				}
			})
		})
	}
	for _, code := range []string{"invalid_grant"} {
		t.Run(code, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				m, old := k.started(k.config())
				k.srv.InjectAlways(authtest.TokenEndpoint, authtest.OAuthError(code, 400))
				time.Sleep(time.Until(m.Info().RefreshAt) + time.Second)
				if tok := mustToken(t, m); tok.AccessToken != old.AccessToken {
					t.Errorf("token %v", tok)
				}
				for range 100 {
					time.Sleep(15 * time.Minute)
					_, _ = m.Token(t.Context()) // the error is looked at below
				}
				k.wantRefreshes(1)
				_, err := m.Token(t.Context())
				if e := asError[*auth.TokenError](t, err); e.Code != code {
					t.Errorf("error %v", err)
				}
				asError[*auth.ReauthorizationRequiredError](t, err)
				_, err = m.Refresh(t.Context())
				asError[*auth.ReauthorizationRequiredError](t, err)
				k.wantRefreshes(1)
			})
		})
	}
}

// ExMCP: a refresh every second when a token lives shorter than the window.
func TestParityShortLivedTokens(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{AccessTokenTTL: time.Minute}, authtest.Protection{})
		m, _ := k.started(k.config())
		for range 60 * 60 {
			if mustToken(t, m).Expiry.Before(time.Now()) {
				t.Fatal("a dead token was served")
			}
			time.Sleep(time.Second)
		}
		if n := k.refreshes(); n < 60 || n > 150 {
			t.Errorf("%d refreshes in an hour of tokens that live for a minute, want about 120", n)
		}
	})
}

// ExMCP: a missing expires_in was taken for one hour.
func TestParityUnknownLifetime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{NoExpiresIn: true, AccessTokenTTL: 24 * time.Hour}, authtest.Protection{})
		m, _ := k.started(k.config())
		tok, err := m.Refresh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(23 * time.Hour)
		if mustToken(t, m) != tok || k.call(tok) != http.StatusOK {
			t.Error("the token is not in use any more")
		}
		k.wantRefreshes(1)
	})
}

// ExMCP: secrets in crash logs.
func TestParityNoSecretsInDumps(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.onDemand()
		cfg.Client.Secret = "client-secret"
		m, tok := k.started(cfg)
		for _, v := range []any{m, *tok, tok, cfg, cfg.Client, m.Info(), struct{ T *auth.Token }{mustToken(t, m)}} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
				dump := fmt.Sprintf(verb, v)
				for _, secret := range []string{tok.AccessToken, tok.RefreshToken, "client-secret", fmt.Sprintf("%x", tok.AccessToken)} {
					if strings.Contains(dump, secret) {
						t.Errorf("%s of %T shows a secret", verb, v)
					}
				}
			}
		}
	})
}

// ExMCP: subscribers were told nothing when a refresh failed.
func TestParityFailureIsTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, _ := k.started(k.config())
		events, _ := m.Subscribe()
		k.srv.InjectAlways(authtest.TokenEndpoint, authtest.OAuthError("invalid_grant", 400))
		time.Sleep(time.Until(m.Info().RefreshAt) + time.Second) // by the timer: nobody calls
		for _, e := range wantEvents(t, events, auth.EventRefreshFailed, auth.EventReauthorizationRequired) {
			if e.Err == nil {
				t.Errorf("%s without an error", e.Type)
			}
		}
		if m.Info().LastError == nil {
			t.Error("Info says nothing of the failure")
		}
	})
}

// What ExMCP could do: begin with a token, set another, all the way to none.
func TestParityTokenLifeCycle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, first := k.started(k.onDemand(), "read")
		if got := mustToken(t, m); got.AccessToken != first.AccessToken {
			t.Errorf("token %v", got)
		}
		second := k.token("write")
		if err := m.SetToken(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		if got := mustToken(t, m); got.AccessToken != second.AccessToken || !slices.Equal(m.Info().Scopes, []string{"write"}) {
			t.Errorf("token %v", got)
		}
		if err := m.SetToken(t.Context(), &auth.Token{AccessToken: "x", Expiry: time.Now().Add(time.Second)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		_, err := m.Token(t.Context())
		if e := asError[*auth.ReauthorizationRequiredError](t, err); !errors.Is(e, auth.ErrNoToken) {
			t.Errorf("error %v", err)
		}
		// A token that is set heals everything.
		if err := m.SetToken(t.Context(), k.token()); err != nil || k.call(mustToken(t, m)) != http.StatusOK {
			t.Errorf("SetToken: %v", err)
		}
		k.wantRefreshes(0)
	})
}
