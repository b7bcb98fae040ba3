package transport_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/dpop"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/internal/dpoptest"
)

// tenMinutes calls every ten seconds and returns how it went.
func tenMinutes(c *caller) tally {
	return series(60, 10*time.Second, func(int) error { return c.within(9 * time.Second) })
}

// Kind of report: "a secret was rotated, and everybody had to log in again". The
// server refuses the client, or the request, not the refresh token. Three such
// answers, then all is well: later calls succeed by the same refresh token.
func TestRefusalThatIsNotAboutTheRefreshToken(t *testing.T) {
	for _, tt := range []struct {
		code   string
		status int
		times  int
	}{
		{"invalid_client", 401, 1},
		{"invalid_client", 401, 3},
		{"invalid_client", 400, 3},
		{"unauthorized_client", 400, 3},
		{"unauthorized_client", 403, 3},
	} {
		fake(t, fmt.Sprintf("%s/%d/%d times", tt.code, tt.status, tt.times), func(t *testing.T) {
			w := newWorld(t, byRefresh, authtest.Config{}, authtest.Protection{})
			store := new(auth.MemoryStore)
			c := w.loggedIn(inStore(store))
			time.Sleep(2 * time.Hour)
			w.as.Inject(authtest.RefreshRequests, slices.Repeat([]authtest.Fault{authtest.OAuthError(tt.code, tt.status)}, tt.times)...)

			err := c.post()
			var refused *auth.TokenError
			if !errors.As(err, &refused) || refused.Code != tt.code || refused.StatusCode != tt.status {
				t.Errorf("the first call: %v, want a *TokenError with %s", err, tt.code)
			}
			if !nextAttempt(err).After(time.Now()) {
				t.Errorf("%v does not say when the next attempt is due", err)
			}
			if n := w.as.Counts().Refreshes; n != 1 {
				t.Errorf("%d refresh requests for it, want 1", n)
			}
			if rec, err := store.Load(t.Context(), w.key()); err != nil || rec.Token == nil || rec.Token.RefreshToken == "" {
				t.Errorf("the refresh token was not kept: %v, %v", rec, err)
			}
			after := tenMinutes(c)
			if err := c.post(); err != nil {
				t.Errorf("ten minutes later: %v (%v meanwhile)", err, after)
			}
			if got := w.as.Counts(); got.Authorize != 1 || got.Refreshes != tt.times+1 {
				t.Errorf("%d logins, %d refresh requests, want 1, %d", got.Authorize, got.Refreshes, tt.times+1)
			}
		})
	}
}

// key is the record of a manager with the configuration of [world.config].
func (w *world) key() auth.Key {
	cfg := w.config()
	return auth.Key{Resource: w.mcp.URL, Issuer: cfg.Server.Issuer, ClientID: cfg.Client.ID}
}

// The neighbour: a refusal of the refresh token ends it, and leads to one login.
func TestRefusalOfTheRefreshToken(t *testing.T) {
	fake(t, "invalid_grant", func(t *testing.T) {
		w := newWorld(t, byRefresh, authtest.Config{}, authtest.Protection{})
		c := w.loggedIn()
		time.Sleep(2 * time.Hour)
		w.as.RevokeAll()
		if calls := tenMinutes(c); calls.failed > 0 {
			t.Errorf("%v", calls)
		}
		if got := w.as.Counts(); got.Authorize != 2 || got.Refreshes != 1 {
			t.Errorf("%d logins, %d refresh requests, want 2, 1", got.Authorize, got.Refreshes)
		}
		w.wantNoRefreshTokenTwice()
	})
}

// Kind of report: "clock of the laptop was off, the proof was refused, a browser
// opened". A refused DPoP proof is made again, once, at once; then it is an error
// like any other of the client's.
func TestRefusedProof(t *testing.T) {
	for times := 1; times <= 3; times++ {
		fake(t, fmt.Sprint(times, " times"), func(t *testing.T) {
			w := newWorld(t, byRefresh, authtest.Config{}, authtest.Protection{})
			gate := &dpoptest.Gate{Base: w.as.Transport(), TokenEndpoint: w.as.Endpoint(authtest.TokenEndpoint), Resource: w.mcp.URL}
			w.attempts.base = gate
			c := w.caller(w.manager(func(cfg *auth.Config) { cfg.DPoP = dpop.Keys{} }))
			c.c.Transport = throughGate(c, gate)
			if err := c.post(); err != nil {
				t.Fatalf("the first call: %v", err)
			}
			time.Sleep(2 * time.Hour)
			w.as.Inject(authtest.RefreshRequests, slices.Repeat([]authtest.Fault{authtest.OAuthError("invalid_dpop_proof", 400)}, times)...)

			err := c.post()
			var refused *auth.TokenError
			switch {
			case times == 1 && err != nil:
				t.Errorf("the first call: %v, want the second proof to be good", err)
			case times > 1 && (!errors.As(err, &refused) || refused.Code != "invalid_dpop_proof" || !nextAttempt(err).After(time.Now())):
				t.Errorf("the first call: %v, want a *TokenError with invalid_dpop_proof and the next attempt", err)
			}
			if n := w.as.Counts().Refreshes; n != 2 {
				t.Errorf("%d refresh requests for it, want 2", n)
			}
			after := tenMinutes(c)
			if err := c.post(); err != nil {
				t.Errorf("ten minutes later: %v (%v meanwhile)", err, after)
			}
			if n := w.spent().logins; n != 1 {
				t.Errorf("%d logins, want 1", n)
			}
			proofs := map[string]bool{}
			for _, r := range w.as.TokenRequests() {
				if proof := r.Header.Get("DPoP"); proof == "" || proofs[proof] {
					t.Errorf("a token request came without a proof of its own: %q", proof)
				} else {
					proofs[proof] = true
				}
			}
			for _, wrong := range gate.Wrong() {
				t.Errorf("what the servers object to: %s", wrong)
			}
		})
	}
}

// Kind of report: "refresh token reuse detected, family revoked, after one odd
// answer". The server understood the request and answered 200 with something that
// cannot be used. That is an error; the code or refresh token is spent.
func TestUnusableAnswersAreNotAskedForAgain(t *testing.T) {
	for name, body := range map[string]string{
		"empty object":          `{}`,
		"no access token":       `{"token_type":"Bearer","expires_in":3600}`,
		"empty access token":    `{"access_token":"","token_type":"Bearer"}`,
		"token of two lines":    `{"access_token":"one\ntwo","token_type":"Bearer"}`,
		"type nobody can show":  `{"access_token":"abc","token_type":"mac"}`,
		"token is an object":    `{"access_token":{"value":"abc"},"token_type":"Bearer"}`,
		"error within success":  `{"error":"invalid_request"}`,
		"refresh token instead": `{"refresh_token":"next","token_type":"Bearer"}`,
	} {
		answer := authtest.Answer(http.StatusOK, "application/json", body)
		fake(t, "refresh/"+name, func(t *testing.T) {
			w := newWorld(t, byRefresh, authtest.Config{}, authtest.Protection{})
			c := w.loggedIn()
			time.Sleep(2 * time.Hour)
			w.as.Inject(authtest.RefreshRequests, answer)
			before := w.as.Counts().Refreshes
			err := c.post()
			if failed := (*auth.TokenError)(nil); err != nil && !errors.As(err, &failed) {
				t.Errorf("the call: %v, want a *TokenError, or a login", err)
			}
			if n := w.as.Counts().Refreshes - before; n != 1 {
				t.Errorf("%d refresh requests, want 1", n)
			}
			tenMinutes(c)
			w.wantNoRefreshTokenTwice()
		})
		fake(t, "code/"+name, func(t *testing.T) {
			w := newWorld(t, byRefresh, authtest.Config{}, authtest.Protection{})
			w.as.Inject(authtest.TokenEndpoint, answer)
			c := w.caller(w.manager())
			err := c.post()
			if failed := (*auth.TokenError)(nil); !errors.As(err, &failed) {
				t.Errorf("the call: %v, want a *TokenError", err)
			}
			if got, want := w.spent(), (spending{1, 1}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
			tenMinutes(c)
			w.wantNoRefreshTokenTwice()
		})
		fake(t, "client credentials/"+name, func(t *testing.T) {
			w := newWorld(t, byService, authtest.Config{}, authtest.Protection{})
			w.as.Inject(authtest.TokenEndpoint, answer)
			c := w.caller(w.manager())
			err := c.post()
			if failed := (*auth.TokenError)(nil); !errors.As(err, &failed) {
				t.Errorf("the call: %v, want a *TokenError", err)
			}
			if got := w.spent(); got.tokens != 1 {
				t.Errorf("%d token requests, want 1", got.tokens)
			}
		})
	}
}

// The neighbour: an answer that grants a token in an unusual form is read.
func TestUnusualAnswersAreRead(t *testing.T) {
	for name, form := range map[string]string{
		"expires_in is a string": `{"access_token":%q,"token_type":"Bearer","expires_in":"3600"}`,
		"no token_type":          `{"access_token":%q,"expires_in":3600}`,
		"scope is a list":        `{"access_token":%q,"token_type":"bearer","scope":["a","b"]}`,
		"expires_in is a float":  `{"access_token":%q,"token_type":"BEARER","expires_in":3600.0}`,
	} {
		fake(t, name, func(t *testing.T) {
			w := newWorld(t, byRefresh, authtest.Config{}, authtest.Protection{})
			c := w.loggedIn()
			time.Sleep(2 * time.Hour)
			w.as.Inject(authtest.RefreshRequests, authtest.Answer(200, "application/json", fmt.Sprintf(form, w.token().AccessToken)))
			if err := c.post(); err != nil {
				t.Error(err)
			}
			if got, want := w.spent(), (spending{1, 2}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}

// Kind of report: "it fails for minutes and nobody can tell for how long". An
// error that leads to a pause says when the next attempt is due: in a field, in
// the text, and in Info.
func TestPauseIsAnnounced(t *testing.T) {
	for name, fault := range map[string]authtest.Fault{
		"500":                 authtest.Status(500),
		"429":                 authtest.RetryAfter(429, time.Minute),
		"reset":               authtest.ResetBefore(),
		"invalid_client":      authtest.OAuthError("invalid_client", 401),
		"unauthorized_client": authtest.OAuthError("unauthorized_client", 400),
		"invalid_request":     authtest.OAuthError("invalid_request", 400),
		"unusable":            authtest.Answer(200, "application/json", `{}`),
	} {
		for _, way := range []way{byRefresh, byService} {
			fake(t, name+"/"+string(way), func(t *testing.T) {
				w := newWorld(t, way, authtest.Config{}, authtest.Protection{})
				c := w.loggedIn(func(cfg *auth.Config) {
					if way == byRefresh {
						cfg.Grant = w.onlyOnce(cfg.Grant) // what is left is to pause
					}
				})
				time.Sleep(2 * time.Hour)
				w.as.InjectAlways(authtest.TokenEndpoint, fault)
				err := c.post()
				if err == nil {
					t.Fatal("the call succeeded")
				}
				wantAnnounced(t, c.m, err)
			})
		}
	}
	fake(t, "login refused", func(t *testing.T) {
		w := newWorld(t, byLogin, authtest.Config{}, authtest.Protection{})
		w.as.InjectAlways(authtest.AuthorizeEndpoint, authtest.OAuthError("access_denied", 400))
		c := w.caller(w.manager())
		err := c.post()
		if refused := (*auth.AuthorizationError)(nil); !errors.As(err, &refused) {
			t.Fatalf("%v, want an *AuthorizationError", err)
		}
		wantAnnounced(t, c.m, err)
	})
	fake(t, "every token rejected", func(t *testing.T) {
		w := newWorld(t, byService, authtest.Config{}, authtest.Protection{})
		w.mcp.Refuse(authtest.Refusal{})
		c := w.caller(w.manager())
		var err error
		series(30, 10*time.Second, func(int) error { err = c.post(); return err })
		if rejected := (*auth.RejectedError)(nil); !errors.As(err, &rejected) {
			t.Fatalf("%v, want a *RejectedError", err)
		}
		wantAnnounced(t, c.m, err)
	})
}

// wantAnnounced checks what is said of a pause that err began.
func wantAnnounced(t *testing.T, m *auth.Manager, err error) {
	t.Helper()
	due := nextAttempt(err)
	if !due.After(time.Now()) || due.After(time.Now().Add(time.Hour)) {
		t.Errorf("%v: the next attempt is due at %v, want it to be announced, and within an hour", err, due)
		return
	}
	if !strings.Contains(err.Error(), due.UTC().Format(time.RFC3339)) {
		t.Errorf("the text does not say %v: %v", due.UTC(), err)
	}
	if at := m.Info().RetryAt; !at.Equal(due) {
		t.Errorf("Info().RetryAt = %v, the error says %v", at, due)
	}
}

// onlyOnce is a grant whose user logs in once and has left then.
func (w *world) onlyOnce(g auth.Grant) auth.Grant { return &onceGrant{Grant: g} }

type onceGrant struct {
	auth.Grant
	used bool
}

func (g *onceGrant) Authorize(ctx context.Context, f *auth.Flow) (*auth.Token, error) {
	if g.used {
		return nil, &auth.AuthorizationError{Code: "access_denied", Issuer: f.Server.Issuer}
	}
	g.used = true
	return g.Grant.Authorize(ctx, f)
}

// Kind of report: "I fixed the secret and still had to restart". New input of the
// program ends the pause that the old one led to.
func TestNewInputEndsThePause(t *testing.T) {
	for name, fault := range map[string]authtest.Fault{
		"500":            authtest.Status(500),
		"429":            authtest.RetryAfter(429, 5*time.Minute),
		"invalid_client": authtest.OAuthError("invalid_client", 401),
	} {
		for input, give := range map[string]func(w *world, m *auth.Manager) error{
			"SetToken":  func(w *world, m *auth.Manager) error { return m.SetToken(w.t.Context(), w.token()) },
			"Authorize": func(w *world, m *auth.Manager) error { _, err := m.Authorize(w.t.Context()); return err },
		} {
			if name == "429" && input == "Authorize" {
				continue // the server asked for the pause
			}
			fake(t, name+"/"+input, func(t *testing.T) {
				w := newWorld(t, byRefresh, authtest.Config{}, authtest.Protection{})
				c := w.loggedIn()
				time.Sleep(2 * time.Hour)
				w.as.InjectAlways(authtest.TokenEndpoint, fault)
				for range 3 { // the pause grows
					err := c.post()
					if err == nil {
						t.Fatal("the call succeeded")
					}
					time.Sleep(time.Until(nextAttempt(err)))
				}
				if err := c.post(); err == nil {
					t.Fatal("the call succeeded")
				}
				w.as.ClearFaults(authtest.TokenEndpoint)
				if err := give(w, c.m); err != nil {
					t.Errorf("%s: %v", input, err)
				}
				if err := c.post(); err != nil {
					t.Errorf("a call right after it: %v", err)
				}
				if at := c.m.Info().RetryAt; !at.IsZero() {
					t.Errorf("Info().RetryAt = %v, want zero", at)
				}
				if n := w.spent().logins; n != 1 {
					t.Errorf("%d logins, want 1", n)
				}
			})
		}
	}
}

// A workload whose platform has replaced the JWT that was refused is not held up.
func TestAnotherSubjectTokenEndsThePause(t *testing.T) {
	fake(t, "JWT bearer", func(t *testing.T) {
		w := newWorld(t, byService, authtest.Config{}, authtest.Protection{})
		assertion := "stale"
		m := w.manager(func(cfg *auth.Config) {
			cfg.Grant = grant.JWTBearer{Assertion: func(context.Context) (string, error) { return assertion, nil }}
		})
		c := w.caller(m)
		w.as.InjectAlways(authtest.TokenEndpoint, authtest.OAuthError("invalid_grant", 400))
		err := c.post()
		if refused := (*auth.TokenError)(nil); !errors.As(err, &refused) || refused.Code != "invalid_grant" {
			t.Fatalf("%v, want a *TokenError with invalid_grant", err)
		}
		for range 5 { // the same one is not sent again and again
			_ = c.post()
		}
		if n := w.spent().tokens; n != 1 {
			t.Errorf("%d token requests with one assertion, want 1", n)
		}
		answer, err := json.Marshal(map[string]any{"access_token": w.token().AccessToken, "token_type": "Bearer", "expires_in": 3600})
		if err != nil {
			t.Fatal(err)
		}
		w.as.InjectAlways(authtest.TokenEndpoint, authtest.Answer(200, "application/json", string(answer)))
		assertion = "fresh"
		if err := c.post(); err != nil {
			t.Errorf("with another assertion: %v", err)
		}
	})
}
