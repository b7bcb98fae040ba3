package otelauth_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/otelauth"
)

func TestEarlyRefreshByTimerHasNoLink(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		cfg := k.config()
		cfg.NoIdleRefresh = false
		k.started(cfg, "read")
		time.Sleep(59 * time.Minute)
		synctest.Wait()
		k.wantSpans(`
oauth.refresh
    oauth.grant_type=refresh_token
    oauth.issuer=AS
    oauth.refresh.attempts=1
    oauth.refresh.outcome=refreshed
    oauth.resource=MCP
    oauth.scopes.granted=["read"]
    oauth.token.expires_in=3600
    oauth.token.rotated=true
    oauth.trigger=timer
`)
	})
}

func TestEarlyRefreshBehindTheCaller(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		m, old := k.started(k.config(), "read")
		time.Sleep(59 * time.Minute)
		k.call(func(ctx context.Context) {
			tok, err := m.Token(ctx)
			if err != nil || tok.AccessToken != old.AccessToken {
				t.Errorf("Token = %v, %v, want the old one", tok, err)
			}
		})
		k.wantSpans(`
call
oauth.refresh -> call
    oauth.grant_type=refresh_token
    oauth.issuer=AS
    oauth.refresh.attempts=1
    oauth.refresh.outcome=refreshed
    oauth.resource=MCP
    oauth.scopes.granted=["read"]
    oauth.token.expires_in=3600
    oauth.token.rotated=true
    oauth.trigger=early
`)
	})
}

func TestFailedEarlyRefreshLeavesTheCallerAlone(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		m, old := k.started(k.config(), "read")
		time.Sleep(59 * time.Minute)
		k.srv.Inject(authtest.TokenEndpoint, authtest.OAuthError("invalid_request", 400))
		k.call(func(ctx context.Context) {
			tok, err := m.Token(ctx)
			if err != nil || tok.AccessToken != old.AccessToken {
				t.Errorf("Token = %v, %v, want the old one", tok, err)
			}
		})
		k.wantSpans(`
call
oauth.refresh -> call ERROR
    error.type=invalid_request
    http.response.status_code=400
    oauth.grant_type=refresh_token
    oauth.issuer=AS
    oauth.refresh.attempts=1
    oauth.refresh.outcome=failed
    oauth.resource=MCP
    oauth.trigger=early
    @ oauth.attempt
      error.type=invalid_request
      http.response.status_code=400
      oauth.attempt.number=1
`)
	})
}

func TestExpiredToken(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		m, _ := k.started(k.config(), "read")
		time.Sleep(2 * time.Hour)
		k.call(func(ctx context.Context) {
			if _, err := m.Token(ctx); err != nil {
				t.Errorf("Token: %v", err)
			}
		})
		k.wantSpans(`
call
oauth.refresh -> call
    oauth.grant_type=refresh_token
    oauth.issuer=AS
    oauth.refresh.attempts=1
    oauth.refresh.outcome=refreshed
    oauth.resource=MCP
    oauth.scopes.granted=["read"]
    oauth.token.expires_in=3600
    oauth.token.rotated=true
    oauth.trigger=expired
`)
		k.wantServer(otelauth.SpanRefresh)
	})
}

func TestThrottledTwice(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		m, _ := k.started(k.config(), "read")
		time.Sleep(2 * time.Hour)
		k.srv.Inject(authtest.TokenEndpoint, authtest.RetryAfter(429, 5*time.Second), authtest.RetryAfter(503, 7*time.Second))
		k.call(func(ctx context.Context) {
			if _, err := m.Token(ctx); err != nil {
				t.Errorf("Token: %v", err)
			}
		})
		k.wantSpans(`
call
oauth.refresh -> call
    oauth.grant_type=refresh_token
    oauth.issuer=AS
    oauth.refresh.attempts=3
    oauth.refresh.outcome=refreshed
    oauth.resource=MCP
    oauth.scopes.granted=["read"]
    oauth.token.expires_in=3600
    oauth.token.rotated=true
    oauth.trigger=expired
    @ oauth.attempt
      error.type=_OTHER
      http.response.status_code=429
      oauth.attempt.number=1
      oauth.attempt.wait
    @ oauth.attempt
      error.type=_OTHER
      http.response.status_code=503
      oauth.attempt.number=2
      oauth.attempt.wait
    @ oauth.attempt
      oauth.attempt.number=3
`)
		events := k.span(otelauth.SpanRefresh).Events
		for i, least := range []float64{5, 7} {
			wait := value(events[i].Attributes, otelauth.AttrAttemptWait).AsFloat64()
			if wait < least || wait > least+2 {
				t.Errorf("attempt %d: wait of %g s, want %g and some jitter", i+1, wait, least)
			}
			// Waits are what passed until the next event.
			if got := events[i+1].Time.Sub(events[i].Time).Seconds(); got != wait {
				t.Errorf("attempt %d: wait of %g s recorded, %g s passed", i+1, wait, got)
			}
		}
	})
}

func TestStepUpByRefresh(t *testing.T) {
	bubble(t, authtest.Config{RefreshWidens: true}, authtest.Protection{}, func(t *testing.T, k *kit) {
		m, tok := k.started(k.config(), "read")
		k.call(func(ctx context.Context) {
			_, err := m.Resolve(ctx, tok, auth.Challenge{Status: 403, Error: "insufficient_scope", Scopes: []string{"write"}})
			if err != nil {
				t.Errorf("Resolve: %v", err)
			}
		})
		k.wantSpans(`
call
| oauth.step_up
|     oauth.resource=MCP
|     oauth.scopes.granted=["read","write"]
|     oauth.scopes.required=["write"]
|     oauth.step_up.path=refresh
oauth.refresh -> oauth.step_up
    oauth.grant_type=refresh_token
    oauth.issuer=AS
    oauth.refresh.attempts=1
    oauth.refresh.outcome=refreshed
    oauth.resource=MCP
    oauth.scopes.granted=["read","write"]
    oauth.scopes.required=["write"]
    oauth.token.expires_in=3600
    oauth.token.rotated=true
    oauth.trigger=scopes
`)
	})
}

func TestStepUpByLogin(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{Scopes: []string{"read"}}, func(t *testing.T, k *kit) {
		m := k.manager(k.discovered())
		var tok *auth.Token
		k.call(func(ctx context.Context) {
			var err error
			if tok, err = m.Resolve(ctx, nil, auth.Challenge{Status: 401, Scopes: []string{"read"}}); err != nil {
				t.Fatalf("Resolve: %v", err)
			}
		})
		k.wantSpans(`
call
oauth.authorize -> call
    oauth.grant_type=authorization_code
    oauth.issuer=AS
    oauth.resource=MCP
    oauth.scopes.granted=["read"]
    oauth.scopes.required=["read"]
    oauth.token.expires_in=3600
    oauth.trigger=challenge
| oauth.discover
|     oauth.issuer=AS
|     oauth.resource=MCP
| oauth.register
|     oauth.issuer=AS
`)
		k.wantServer(otelauth.SpanAuthorization, otelauth.SpanDiscovery, otelauth.SpanRegistration)

		k.spans.Reset()
		k.call(func(ctx context.Context) {
			_, err := m.Resolve(ctx, tok, auth.Challenge{Status: 403, Error: "insufficient_scope", Scopes: []string{"write"}})
			if err != nil {
				t.Errorf("Resolve: %v", err)
			}
		})
		k.wantSpans(`
call
| oauth.step_up
|     oauth.resource=MCP
|     oauth.scopes.granted=["read","write"]
|     oauth.scopes.required=["write"]
|     oauth.step_up.path=authorization
oauth.refresh -> oauth.step_up
    oauth.grant_type=refresh_token
    oauth.issuer=AS
    oauth.refresh.attempts=1
    oauth.refresh.outcome=refreshed
    oauth.resource=MCP
    oauth.scopes.granted=["read"]
    oauth.scopes.required=["write"]
    oauth.token.expires_in=3600
    oauth.token.rotated=true
    oauth.trigger=scopes
oauth.authorize -> oauth.step_up
    oauth.grant_type=authorization_code
    oauth.issuer=AS
    oauth.resource=MCP
    oauth.scopes.granted=["read","write"]
    oauth.scopes.required=["write"]
    oauth.token.expires_in=3600
    oauth.trigger=scopes
| oauth.discover
|     oauth.issuer=AS
|     oauth.resource=MCP
`)
	})
}

func TestPermanentFailure(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		m, _ := k.started(k.config(), "read")
		k.srv.RevokeAll()
		time.Sleep(2 * time.Hour)
		k.call(func(ctx context.Context) {
			if _, err := m.Token(ctx); err == nil {
				t.Error("Token: no error")
			}
		})
		k.wantSpans(`
call
oauth.refresh -> call ERROR
    error.type=invalid_grant
    http.response.status_code=400
    oauth.grant_type=refresh_token
    oauth.issuer=AS
    oauth.refresh.attempts=1
    oauth.refresh.outcome=failed
    oauth.resource=MCP
    oauth.trigger=expired
    @ oauth.attempt
      error.type=invalid_grant
      http.response.status_code=400
      oauth.attempt.number=1
`)
	})
}

func TestRefreshByGrant(t *testing.T) {
	bubble(t, authtest.Config{NoRefreshToken: true}, authtest.Protection{}, func(t *testing.T, k *kit) {
		cfg := k.config()
		cfg.Grant = grant.ClientCredentials{}
		m, _ := k.started(cfg, "read")
		time.Sleep(2 * time.Hour)
		k.call(func(ctx context.Context) {
			if _, err := m.Token(ctx); err != nil {
				t.Errorf("Token: %v", err)
			}
		})
		k.wantSpans(`
call
oauth.refresh -> call
    oauth.grant_type=client_credentials
    oauth.issuer=AS
    oauth.refresh.attempts=1
    oauth.refresh.outcome=refreshed
    oauth.resource=MCP
    oauth.scopes.granted=["read"]
    oauth.token.expires_in=3600
    oauth.trigger=expired
`)
	})
}

func TestRefreshByGrantThrottled(t *testing.T) {
	bubble(t, authtest.Config{NoRefreshToken: true}, authtest.Protection{}, func(t *testing.T, k *kit) {
		cfg := k.config()
		cfg.Grant = grant.ClientCredentials{}
		m, _ := k.started(cfg, "read")
		time.Sleep(2 * time.Hour)
		k.srv.Inject(authtest.TokenEndpoint, authtest.RetryAfter(429, time.Second))
		k.call(func(ctx context.Context) {
			if _, err := m.Token(ctx); err != nil {
				t.Errorf("Token: %v", err)
			}
		})
		k.wantSpans(`
call
oauth.refresh -> call
    oauth.grant_type=client_credentials
    oauth.issuer=AS
    oauth.refresh.attempts=2
    oauth.refresh.outcome=refreshed
    oauth.resource=MCP
    oauth.scopes.granted=["read"]
    oauth.token.expires_in=3600
    oauth.trigger=expired
    @ oauth.attempt
      error.type=_OTHER
      http.response.status_code=429
      oauth.attempt.number=1
      oauth.attempt.wait
    @ oauth.attempt
      oauth.attempt.number=2
`)
	})
}

func TestUnsavedToken(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		store := new(failingStore)
		cfg := k.config()
		cfg.Store = store
		m, _ := k.started(cfg, "read")
		store.err = errors.New("canary: disk full")
		k.call(func(ctx context.Context) {
			if _, err := m.Refresh(ctx); err != nil {
				t.Errorf("Refresh: %v", err)
			}
		})
		if !value(k.span(otelauth.SpanRefresh).Attributes, otelauth.AttrTokenUnsaved).AsBool() {
			t.Errorf("%s is not set", otelauth.AttrTokenUnsaved)
		}
		if err := m.Close(); err == nil {
			t.Error("Close: no error, want that of the store")
		}
	})
}

// failingStore fails to save once err is set.
type failingStore struct {
	auth.MemoryStore
	err error
}

func (s *failingStore) Save(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	if s.err != nil {
		return 0, s.err
	}
	return s.MemoryStore.Save(ctx, key, r)
}

func TestRevocation(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		m, _ := k.started(k.config(), "read")
		k.call(func(ctx context.Context) {
			if err := m.Revoke(ctx); err != nil {
				t.Errorf("Revoke: %v", err)
			}
		})
		k.wantSpans(`
call
| oauth.revoke
|     oauth.issuer=AS
`)
	})
}

func TestFailures(t *testing.T) {
	tests := map[string]struct {
		inject authtest.Endpoint
		fault  authtest.Fault
		failed []string // spans
		typ    string
		status int64
		nobody bool // no authorization server was found
	}{
		"discovery":                {authtest.ResourceMetadataEndpoint, authtest.Status(500), []string{otelauth.SpanDiscovery}, "_OTHER", 500, true},
		"registration, known":      {authtest.RegistrationEndpoint, authtest.OAuthError("invalid_redirect_uri", 400), []string{otelauth.SpanRegistration, otelauth.SpanAuthorization}, "invalid_redirect_uri", 400, false},
		"registration, unknown":    {authtest.RegistrationEndpoint, authtest.OAuthError("canary_code", 400), []string{otelauth.SpanRegistration, otelauth.SpanAuthorization}, "_OTHER", 400, false},
		"authorization refused":    {authtest.AuthorizeEndpoint, authtest.OAuthError("access_denied", 0), []string{otelauth.SpanAuthorization}, "access_denied", 0, false},
		"code exchange refused":    {authtest.TokenEndpoint, authtest.OAuthError("invalid_target", 400), []string{otelauth.SpanAuthorization}, "invalid_target", 400, false},
		"code exchange, a website": {authtest.TokenEndpoint, authtest.HTMLStatus(404), []string{otelauth.SpanAuthorization}, "_OTHER", 404, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
				k.srv.InjectAlways(tt.inject, tt.fault)
				m := k.manager(k.discovered())
				k.call(func(ctx context.Context) {
					if _, err := m.Authorize(ctx); err == nil {
						t.Error("Authorize: no error")
					}
				})
				issuer := k.srv.Issuer
				if tt.nobody {
					issuer = ""
				}
				failed := map[string]bool{}
				for _, s := range k.spans.GetSpans() {
					if s.Status.Code != codes.Error {
						continue
					}
					failed[s.Name] = true
					if got := value(s.Attributes, otelauth.AttrIssuer).AsString(); s.Name == otelauth.SpanAuthorization && got != issuer {
						t.Errorf("%s: issuer %q, want %q", s.Name, got, issuer)
					}
					if got := value(s.Attributes, "error.type").AsString(); got != tt.typ {
						t.Errorf("%s: error.type %q, want %q", s.Name, got, tt.typ)
					}
					if got := value(s.Attributes, "http.response.status_code").AsInt64(); got != tt.status {
						t.Errorf("%s: status %d, want %d", s.Name, got, tt.status)
					}
				}
				for _, name := range tt.failed {
					if !failed[name] {
						t.Errorf("%s has not failed", name)
					}
				}
			})
		})
	}
}

// Whatever else the manager's context may come to hold, a detached operation
// begins a trace.
func TestDetachedIsARoot(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		tr := k.config().Tracer
		k.call(func(ctx context.Context) {
			tr.TraceRefreshEnd(tr.TraceRefreshStart(ctx, ctx, auth.RefreshStart{}), auth.RefreshEnd{Outcome: auth.OutcomeAdopted, Attempts: 1})
		})
		k.wantSpans(`
call
oauth.refresh -> call
    oauth.refresh.attempts=1
    oauth.refresh.outcome=adopted
`)
	})
}
