package auth_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// expire waits until a token is dead.
func expire(tok *auth.Token) { time.Sleep(time.Until(tok.Expiry)) }

// One refresh at a time for one credential [invariant 1].
func TestOneRefreshForAll(t *testing.T) {
	for _, tc := range []struct {
		name     string
		managers int
	}{
		{"one manager", 1},
		{"two managers with one store", 2},
		{"ten managers with one store", 10},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				cfg := k.onDemand()
				cfg.Store = new(auth.MemoryStore)
				first, old := k.started(cfg)
				managers := []*auth.Manager{first}
				for len(managers) < tc.managers {
					m := k.manager(cfg)
					if got := mustToken(t, m); got.AccessToken != old.AccessToken {
						t.Fatalf("the stored token was not read")
					}
					managers = append(managers, m)
				}
				k.srv.InjectAlways(authtest.TokenEndpoint, authtest.Delay(time.Second))
				expire(old)

				tokens := make([]*auth.Token, 200)
				together(len(tokens), func(i int) { tokens[i], _ = managers[i%len(managers)].Token(t.Context()) })
				for i, tok := range tokens {
					if tok == nil || tok.AccessToken != tokens[0].AccessToken {
						t.Fatalf("caller %d has %v, caller 0 has %v", i, tok, tokens[0])
					}
				}
				if status := k.call(tokens[0]); status != http.StatusOK {
					t.Errorf("the MCP server answered %d", status)
				}
				k.wantRefreshes(1)
			})
		})
	}
}

// Refresh of one manager is adopted by the other, which sends nothing: a 401
// looks at the store before it leads to a refresh, and a refresh looks again
// under the lock.
func TestAdoptsWhatAnotherGot(t *testing.T) {
	for name, tc := range map[string]struct {
		get    func(ctx context.Context, m *auth.Manager, old *auth.Token) (*auth.Token, error)
		traced []authtrace.Outcome
	}{
		"at a 401": {func(ctx context.Context, m *auth.Manager, old *auth.Token) (*auth.Token, error) {
			return m.Resolve(ctx, old, auth.Challenge{Status: 401})
		}, nil},
		"by a refresh": {func(ctx context.Context, m *auth.Manager, _ *auth.Token) (*auth.Token, error) {
			return m.Refresh(ctx)
		}, []authtrace.Outcome{authtrace.OutcomeAdopted}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				cfg := k.config()
				cfg.Store = struct{ auth.Store }{new(auth.MemoryStore)} // without hints
				a, old := k.started(cfg)
				ends := &refreshEnds{}
				cfg.Tracer = ends
				b := k.manager(cfg)
				before := mustToken(t, b)
				events, _ := b.Subscribe()

				fresh, err := a.Refresh(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				got, err := tc.get(t.Context(), b, before)
				if err != nil || got.AccessToken != fresh.AccessToken || got.RefreshToken != fresh.RefreshToken {
					t.Fatalf("got %v (%v), want what the other manager got", got, err)
				}
				k.wantRefreshes(1)
				wantEvents(t, events, auth.EventTokenUpdated)
				var outcomes []authtrace.Outcome
				for _, e := range ends.all() {
					outcomes = append(outcomes, e.Outcome)
				}
				if !slices.Equal(outcomes, tc.traced) {
					t.Errorf("traced %v, want %v", outcomes, tc.traced)
				}
				if old.AccessToken == fresh.AccessToken {
					t.Error("nothing was refreshed")
				}
			})
		})
	}
}

// A refresh belongs to nobody who waits for it [invariant 2].
func TestRefreshIsDetachedFromItsCallers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, old := k.started(k.onDemand())
		expire(old)
		k.srv.Inject(authtest.TokenEndpoint, authtest.Delay(time.Second))

		began := time.Now()
		type end struct {
			tok  *auth.Token
			err  error
			took time.Duration
		}
		ends := make([]end, 3)
		together(3, func(i int) {
			ctx := t.Context()
			if i < 2 { // one of these triggers the refresh
				limited, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
				defer cancel()
				ctx = limited
			} else {
				time.Sleep(50 * time.Millisecond)
			}
			tok, err := m.Token(ctx)
			ends[i] = end{tok, err, time.Since(began)}
		})
		for _, e := range ends[:2] {
			if !errors.Is(e.err, context.DeadlineExceeded) || e.took != 100*time.Millisecond {
				t.Errorf("a caller in a hurry got %v after %v", e.err, e.took)
			}
		}
		if e := ends[2]; e.err != nil || e.took != time.Second {
			t.Errorf("the patient caller got %v after %v", e.err, e.took)
		}
		k.wantRefreshes(1)
	})
}

// Nor does a caller who leaves between two attempts end the refresh.
func TestRefreshOutlivesCallersBetweenAttempts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, old := k.started(k.onDemand())
		expire(old)
		k.srv.Inject(authtest.TokenEndpoint, authtest.Status(http.StatusServiceUnavailable))
		together(2, func(i int) {
			if i == 0 {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				defer cancel()
				if _, err := m.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("a caller in a hurry got %v", err)
				}
				return
			}
			time.Sleep(10 * time.Millisecond)
			if _, err := m.Token(t.Context()); err != nil {
				t.Errorf("the patient caller got %v", err)
			}
		})
		k.wantRefreshes(2)
	})
}

// A caller that has already gone still starts the refresh for the next one.
func TestCanceledCallerStillStartsTheRefresh(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, old := k.started(k.onDemand())
		expire(old)
		k.srv.Inject(authtest.TokenEndpoint, authtest.Delay(time.Second))
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		for _, call := range []func(context.Context) (*auth.Token, error){m.Token, m.Refresh} {
			if _, err := call(gone); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want the caller's own", err)
			}
		}
		mustToken(t, m)
		k.wantRefreshes(1)
	})
}

// A server that never answers is waited for no longer than configured. The refresh
// token is not sent again within that time.
func TestRefreshIsBounded(t *testing.T) {
	for name, tc := range map[string]struct{ timeout, want time.Duration }{
		"default":    {0, time.Minute},
		"configured": {20 * time.Second, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				cfg := k.onDemand()
				cfg.AnswerTimeout = tc.timeout
				m, old := k.started(cfg)
				expire(old)
				k.srv.InjectAlways(authtest.TokenEndpoint, authtest.Delay(time.Hour))
				began := time.Now()
				_, err := m.Token(t.Context())
				asError[*auth.TokenError](t, err)
				if took := time.Since(began); took != tc.want {
					t.Errorf("gave up after %v, want %v", took, tc.want)
				}
				k.wantRefreshes(1)
			})
		})
	}
}

// What fails for a moment is tried again, no longer than a refresh may take
// [invariant 2].
func TestRetriesOfARefreshAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.onDemand()
		cfg.RefreshTimeout = 20 * time.Second
		m, old := k.started(cfg)
		expire(old)
		k.srv.InjectAlways(authtest.TokenEndpoint, authtest.Status(http.StatusInternalServerError))
		began := time.Now()
		_, err := m.Token(t.Context())
		asError[*auth.TokenError](t, err)
		if took := time.Since(began); took > cfg.RefreshTimeout || took < cfg.RefreshTimeout/4 {
			t.Errorf("gave up after %v, want at most %v and some retries", took, cfg.RefreshTimeout)
		}
	})
}

// A caller who leaves while a refresh or a first token is tried again, or a person is
// asked, hears why.
func TestWhoLeavesHearsOfTheTrouble(t *testing.T) {
	for name, start := range map[string]func(*kit) func(context.Context) (*auth.Token, error){
		"refresh": func(k *kit) func(context.Context) (*auth.Token, error) {
			m, old := k.started(k.onDemand())
			expire(old)
			return m.Token
		},
		"first token": func(k *kit) func(context.Context) (*auth.Token, error) {
			cfg := k.onDemand()
			k.srv.AddClient("service", "secret")
			cfg.Client, cfg.Grant = auth.Client{ID: "service", Secret: "secret", Issuer: k.srv.Issuer}, grant.ClientCredentials{}
			m := k.manager(cfg)
			return m.Authorize
		},
		"login": func(k *kit) func(context.Context) (*auth.Token, error) {
			m := k.manager(k.bothering(k.asked(5 * time.Minute)))
			return m.Authorize
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				get := start(k)
				k.srv.InjectAlways(authtest.TokenEndpoint, authtest.Status(http.StatusInternalServerError))
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				_, err := get(ctx)
				want := "; so far: token request"
				if name == "login" {
					want = "; so far: the user was asked to log in and has not answered"
				}
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want %q", err, want)
				}
				var token *auth.TokenError
				if errors.As(err, &token) {
					t.Errorf("%v is taken for the end of the operation", err)
				}
			})
		})
	}
}

// What a response leaves out [invariant 4].
func TestResponseWithoutRefreshTokenOrScope(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{NoRotation: true, OmitScope: true, RefreshWidens: true}, authtest.Protection{})
		m, given := k.started(k.config(), "read")
		tok, err := m.Refresh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if tok.AccessToken == given.AccessToken || tok.RefreshToken != given.RefreshToken || !slices.Equal(tok.Scopes, []string{"read"}) {
			t.Errorf("a plain refresh made %v", tok)
		}
		tok, err = m.UpgradeScopes(t.Context(), "write")
		if err != nil {
			t.Fatal(err)
		}
		if tok.RefreshToken != given.RefreshToken || !slices.Equal(tok.Scopes, []string{"read", "write"}) {
			t.Errorf("an upgrade made %v", tok)
		}
		if _, err := m.Refresh(t.Context()); err != nil { // with the same refresh token again
			t.Error(err)
		}
	})
}

// A mistake in the configuration costs a clear error, and no token.
func TestRefreshWithoutAClient(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.onDemand()
		cfg.Client = auth.Client{}
		m, tok := k.started(cfg)
		_, err := m.Refresh(t.Context())
		if e := asError[*auth.ConfigError](t, err); e.Field != "Config.Client.ID" {
			t.Errorf("names the field %q", e.Field)
		}
		k.wantRefreshes(0)
		if got := mustToken(t, m); got.AccessToken != tok.AccessToken || got.RefreshToken != tok.RefreshToken {
			t.Errorf("token %v", got)
		}
	})
}

// A dead refresh token is forgotten everywhere, the access token lives on
// [invariants 5, 6].
func TestDeadRefreshTokenIsForgottenAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s := new(store)
		cfg := k.config()
		cfg.Store = s
		m, given := k.started(cfg, "read")
		k.srv.Inject(authtest.TokenEndpoint, authtest.OAuthError("invalid_grant", 400))
		_, err := m.Refresh(t.Context())
		re := asError[*auth.ReauthorizationRequiredError](t, err)
		if e := asError[*auth.TokenError](t, err); e.Code != "invalid_grant" || e.Retryable() || re.Issuer != k.srv.Issuer {
			t.Errorf("error is %v", err)
		}
		if _, rec := s.saves(); rec.Token.RefreshToken != "" || rec.Token.AccessToken != given.AccessToken {
			t.Errorf("stored: %v, want the access token alone", rec)
		}
		if tok := mustToken(t, m); tok.AccessToken != given.AccessToken || k.call(tok) != http.StatusOK {
			t.Error("the access token was lost with the refresh token")
		}

		again := k.manager(cfg) // after a restart
		if tok := mustToken(t, again); tok.AccessToken != given.AccessToken || tok.RefreshToken != "" {
			t.Errorf("after a restart: %v", tok)
		}
		expire(given)
		time.Sleep(24 * time.Hour)
		for _, m := range []*auth.Manager{m, again} {
			_, err := m.Token(t.Context())
			asError[*auth.ReauthorizationRequiredError](t, err)
		}
		k.wantRefreshes(1)
	})
}

// Transient failure is never "log in again" [invariants 6, 14], and a valid
// token survives it [invariant 5].
func TestTransientFailureKeepsEverything(t *testing.T) {
	for _, fault := range []authtest.Fault{
		authtest.Status(500), authtest.HTMLStatus(502), authtest.HTML(), authtest.Garbage(), authtest.RetryAfter(429, time.Minute),
		authtest.ResetBefore(), authtest.OAuthError("temporarily_unavailable", 400), authtest.OAuthError("server_error", 400),
		authtest.HugeBody(), authtest.Status(404), authtest.Redirect("https://elsewhere.example/token"),
	} {
		t.Run(fault.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				cfg := k.config()
				cfg.Grant = forbidden{t}
				m, old := k.started(cfg)
				k.srv.InjectAlways(authtest.TokenEndpoint, fault)
				time.Sleep(time.Until(m.Info().RefreshAt))
				for time.Until(old.Expiry) > 0 {
					if tok := mustToken(t, m); tok.AccessToken != old.AccessToken {
						t.Fatalf("got %v", tok)
					}
					time.Sleep(time.Second)
				}
				for range 5 {
					_, err := m.Token(t.Context())
					te := asError[*auth.TokenError](t, err)
					if te.NextAttempt.IsZero() {
						t.Errorf("the error does not say when the next attempt is due: %v", te)
					}
					time.Sleep(time.Minute)
				}
				k.srv.ClearFaults(authtest.TokenEndpoint)
				time.Sleep(time.Until(m.Info().RetryAt))
				if tok := mustToken(t, m); k.call(tok) != http.StatusOK || tok.RefreshToken == old.RefreshToken {
					t.Error("no new token once the server was well again")
				}
				for token, uses := range k.srv.RefreshTokenUses() {
					if uses > 1 {
						t.Errorf("refresh token %s was used %d times", token, uses)
					}
				}
			})
		})
	}
}

// forbidden is a grant that must not be used.
type forbidden struct{ t *testing.T }

func (forbidden) Type() string { return "authorization_code" }

func (forbidden) Interactive() bool { return true }

func (g forbidden) Authorize(context.Context, *auth.Flow) (*auth.Token, error) {
	g.t.Error("the user was asked to log in")
	return nil, errors.New("nobody is there")
}

func TestRefreshWithoutARefreshToken(t *testing.T) {
	m := offline(t, &auth.Token{AccessToken: "a"})
	if _, err := m.Refresh(t.Context()); !errors.Is(err, auth.ErrNoRefreshToken) {
		t.Errorf("Refresh: %v, want ErrNoRefreshToken", err)
	}
	if mustToken(t, m).AccessToken != "a" {
		t.Error("the token was lost")
	}
}

// Refresh forces a request inside the token's life, and joins one under way.
func TestRefreshNow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		trace := &refreshEnds{}
		cfg := k.onDemand()
		cfg.Tracer = trace
		m, old := k.started(cfg, "read")
		tok, err := m.Refresh(t.Context())
		if err != nil || tok.AccessToken == old.AccessToken {
			t.Fatalf("Refresh: %v, %v", tok, err)
		}
		if mustToken(t, m) != tok {
			t.Error("what Refresh got is not in use")
		}
		k.wantRefreshes(1)
		k.srv.Inject(authtest.TokenEndpoint, authtest.Delay(time.Second))
		got := make([]*auth.Token, 50)
		together(len(got), func(i int) { got[i], _ = m.Refresh(t.Context()) })
		for _, g := range got {
			if g == nil || g != got[0] || g == tok {
				t.Fatalf("Refresh: %v and %v, want one new token", g, got[0])
			}
		}
		k.wantRefreshes(2)
		if begun := trace.begun(); len(begun) != 2 || begun[1].Trigger != authtrace.TriggerExplicit {
			t.Errorf("traced %+v, want one refresh for one call and one for fifty", begun)
		}
	})
}

// The request of RFC 6749 section 6 with the resource of RFC 8707, and nothing
// else.
func TestRefreshRequest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, old := k.started(k.config(), "read")
		if _, err := m.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := k.srv.TokenRequests()[0]
		want := map[string]string{"grant_type": "refresh_token", "refresh_token": old.RefreshToken, "resource": k.res.URL, "client_id": clientID}
		for name, value := range want {
			if !slices.Equal(r.Form[name], []string{value}) {
				t.Errorf("%s = %q, want %q", name, r.Form[name], value)
			}
		}
		if len(r.Form) != len(want) {
			t.Errorf("form %v has more than %v", r.Form, want)
		}
		if r.Header.Get("Accept") != "application/json" || r.Header.Get("Authorization") != "" {
			t.Errorf("headers %v", r.Header)
		}
	})
}
