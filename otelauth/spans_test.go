package otelauth_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/otelauth"
)

// The scenarios: what somebody on call sees of each. An hour is a token's life.

func TestEarlyRefreshInTheBackground(t *testing.T) {
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
    @ oauth.store.lock oauth.duration=0
    @ oauth.token.saved oauth.duration=0
| POST CLIENT
|     http.request.method=POST
|     http.response.status_code=200
|     url.full=AS/token
`)
	})
}

func TestEarlyRefreshBehindTheCaller(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		m, old := k.started(k.config(), "read")
		time.Sleep(59 * time.Minute)
		k.call(func(ctx context.Context) {
			if tok, err := m.Token(ctx); err != nil || tok.AccessToken != old.AccessToken {
				t.Errorf("Token = %v, %v, want the old one", tok, err)
			}
		})
		k.wantSpans(`
call
oauth.refresh
    oauth.grant_type=refresh_token
    oauth.issuer=AS
    oauth.refresh.attempts=1
    oauth.refresh.outcome=refreshed
    oauth.resource=MCP
    oauth.scopes.granted=["read"]
    oauth.token.expires_in=3600
    oauth.token.rotated=true
    oauth.trigger=early
    -> call (trigger)
    @ oauth.store.lock oauth.duration=0
    @ oauth.token.saved oauth.duration=0
| POST CLIENT
|     http.request.method=POST
|     http.response.status_code=200
|     url.full=AS/token
`)
	})
}

// The caller has a token that works, so nothing of theirs has failed.
func TestFailedEarlyRefreshLeavesTheCallerAlone(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		m, old := k.started(k.config(), "read")
		time.Sleep(59 * time.Minute)
		k.srv.Inject(authtest.TokenEndpoint, authtest.OAuthError("unauthorized_client", 400))
		k.call(func(ctx context.Context) {
			if tok, err := m.Token(ctx); err != nil || tok.AccessToken != old.AccessToken {
				t.Errorf("Token = %v, %v, want the old one", tok, err)
			}
		})
		k.wantSpans(`
call
oauth.refresh ERROR
    error.type=unauthorized_client
    http.response.status_code=400
    oauth.grant_type=refresh_token
    oauth.issuer=AS
    oauth.refresh.attempts=1
    oauth.refresh.outcome=failed
    oauth.resource=MCP
    oauth.trigger=early
    -> call (trigger)
    @ oauth.store.lock oauth.duration=0
    @ oauth.attempt error.type=unauthorized_client http.response.status_code=400 oauth.attempt.number=1
| POST CLIENT ERROR
|     error.type=400
|     http.request.method=POST
|     http.response.status_code=400
|     url.full=AS/token
`)
	})
}

func TestExpiredTokenWith50Waiters(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		m, _ := k.started(k.config(), "read")
		time.Sleep(2 * time.Hour)
		var calls sync.WaitGroup
		for i := range 50 {
			calls.Go(func() {
				ctx, span := k.tracers.Tracer("program").Start(t.Context(), "call")
				defer span.End()
				if _, err := m.Token(ctx); err != nil {
					t.Errorf("Token: %v", err)
				}
			})
			if i == 0 {
				synctest.Wait() // the one that is the trigger
			}
		}
		calls.Wait()
		synctest.Wait()
		k.wantSpans(`
call
    -> oauth.refresh (operation)
    @ oauth.wait oauth.duration=0.05 oauth.wait.for=refresh
oauth.refresh
    oauth.grant_type=refresh_token
    oauth.issuer=AS
    oauth.refresh.attempts=1
    oauth.refresh.outcome=refreshed
    oauth.resource=MCP
    oauth.scopes.granted=["read"]
    oauth.token.expires_in=3600
    oauth.token.rotated=true
    oauth.trigger=expired
    oauth.waiters=50
    -> call (trigger)
    -> call (waiter) x49
    @ oauth.store.lock oauth.duration=0
    @ oauth.token.saved oauth.duration=0
| POST CLIENT
|     http.request.method=POST
|     http.response.status_code=200
|     url.full=AS/token
call x49
    -> oauth.refresh (operation)
    @ oauth.wait oauth.duration=0.05 oauth.wait.for=refresh
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
    -> oauth.refresh (operation)
    @ oauth.wait oauth.duration oauth.wait.for=refresh
oauth.refresh
    oauth.grant_type=refresh_token
    oauth.issuer=AS
    oauth.refresh.attempts=3
    oauth.refresh.outcome=refreshed
    oauth.resource=MCP
    oauth.scopes.granted=["read"]
    oauth.token.expires_in=3600
    oauth.token.rotated=true
    oauth.trigger=expired
    oauth.waiters=1
    -> call (trigger)
    @ oauth.store.lock oauth.duration=0
    @ oauth.attempt error.type=_OTHER http.response.status_code=429 oauth.attempt.number=1 oauth.attempt.wait
    @ oauth.store.lock oauth.duration=0
    @ oauth.attempt error.type=_OTHER http.response.status_code=503 oauth.attempt.number=2 oauth.attempt.wait
    @ oauth.store.lock oauth.duration=0
    @ oauth.token.saved oauth.duration=0
    @ oauth.attempt oauth.attempt.number=3
| POST CLIENT ERROR
|     error.type=429
|     http.request.method=POST
|     http.response.status_code=429
|     url.full=AS/token
| POST CLIENT ERROR
|     error.type=503
|     http.request.method=POST
|     http.request.resend_count=1
|     http.response.status_code=503
|     url.full=AS/token
| POST CLIENT
|     http.request.method=POST
|     http.request.resend_count=2
|     http.response.status_code=200
|     url.full=AS/token
`)
		waits := []float64{5, 7}
		for i, e := range k.span(otelauth.SpanRefresh).Events {
			if w := value(e.Attributes, otelauth.AttrAttemptWait).AsFloat64(); e.Name == otelauth.EventAttempt && len(waits) > 0 {
				if w < waits[0] {
					t.Errorf("event %d: waited %g s, want %g at least", i, w, waits[0])
				}
				waits = waits[1:]
			}
		}
		for _, e := range k.span("call").Events {
			if w := value(e.Attributes, otelauth.AttrDuration).AsFloat64(); w < 12 {
				t.Errorf("the call waited %g s, want 12 at least", w)
			}
		}
	})
}

func TestStepUpByRefresh(t *testing.T) {
	bubble(t, authtest.Config{RefreshWidens: true}, authtest.Protection{}, func(t *testing.T, k *kit) {
		m, tok := k.started(k.config(), "read")
		k.call(func(ctx context.Context) {
			c := auth.Challenge{Status: 403, Error: "insufficient_scope", Scopes: []string{"write"}, Operation: "tools/call write_note"}
			if _, err := m.Resolve(ctx, tok, c); err != nil {
				t.Errorf("Resolve: %v", err)
			}
		})
		k.wantSpans(`
call
| oauth.step_up
|     mcp.method.name=tools/call
|     oauth.resource=MCP
|     oauth.scopes.granted=["read","write"]
|     oauth.scopes.required=["write"]
|     oauth.step_up.outcome=refresh
|     -> oauth.refresh (operation)
|     @ oauth.wait oauth.duration=0.07 oauth.wait.for=refresh
oauth.refresh
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
    oauth.waiters=1
    -> oauth.step_up (trigger)
    @ oauth.store.lock oauth.duration=0
    @ oauth.token.saved oauth.duration=0
| POST CLIENT
|     http.request.method=POST
|     http.response.status_code=200
|     url.full=AS/token
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
    -> oauth.authorize (operation)
    @ oauth.wait oauth.duration=0.2 oauth.wait.for=authorization
oauth.authorize
    oauth.grant_type=authorization_code
    oauth.issuer=AS
    oauth.resource=MCP
    oauth.scopes.granted=["read"]
    oauth.scopes.required=["read"]
    oauth.token.expires_in=3600
    oauth.trigger=challenge
    oauth.waiters=1
    -> call (trigger)
    @ oauth.store.lock oauth.duration=0 x2
    @ oauth.token.saved oauth.duration=0
| oauth.discover
|     oauth.issuer=AS
|     oauth.resource=MCP
| | GET CLIENT
| |     http.request.method=GET
| |     http.response.status_code=200
| |     url.full=RS/.well-known/oauth-protected-resource/mcp
| | GET CLIENT
| |     http.request.method=GET
| |     http.response.status_code=200
| |     url.full=AS/.well-known/oauth-authorization-server
| oauth.register
|     oauth.issuer=AS
| | POST CLIENT
| |     http.request.method=POST
| |     http.response.status_code=201
| |     url.full=AS/register
| oauth.await_user
|     oauth.grant_type=authorization_code
|     oauth.issuer=AS
| oauth.exchange
|     oauth.grant_type=authorization_code
|     oauth.issuer=AS
| | POST CLIENT
| |     http.request.method=POST
| |     http.response.status_code=200
| |     url.full=AS/token
`)
		k.wantServer(otelauth.SpanAuthorization, otelauth.SpanDiscovery, otelauth.SpanRegistration, otelauth.SpanUser, otelauth.SpanExchange)

		k.spans.Reset()
		k.srv.Inject(authtest.AuthorizeEndpoint, authtest.Delay(20*time.Second))
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
|     oauth.step_up.outcome=authorization
|     -> oauth.refresh (operation)
|     -> oauth.authorize (operation)
|     @ oauth.wait oauth.duration=0.07 oauth.wait.for=refresh
|     @ oauth.wait oauth.duration oauth.wait.for=authorization
oauth.refresh
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
    oauth.waiters=1
    -> oauth.step_up (trigger)
    @ oauth.store.lock oauth.duration=0
    @ oauth.token.saved oauth.duration=0
| POST CLIENT
|     http.request.method=POST
|     http.response.status_code=200
|     url.full=AS/token
oauth.authorize
    oauth.grant_type=authorization_code
    oauth.issuer=AS
    oauth.resource=MCP
    oauth.scopes.granted=["read","write"]
    oauth.scopes.required=["write"]
    oauth.token.expires_in=3600
    oauth.trigger=scopes
    oauth.waiters=1
    -> oauth.step_up (trigger)
    @ oauth.store.lock oauth.duration=0 x2
    @ oauth.token.saved oauth.duration=0
| oauth.discover
|     oauth.issuer=AS
|     oauth.resource=MCP
| | GET CLIENT
| |     http.request.method=GET
| |     http.response.status_code=200
| |     url.full=RS/.well-known/oauth-protected-resource/mcp
| | GET CLIENT
| |     http.request.method=GET
| |     http.response.status_code=200
| |     url.full=AS/.well-known/oauth-authorization-server
| oauth.register
|     oauth.issuer=AS
| | POST CLIENT
| |     http.request.method=POST
| |     http.response.status_code=201
| |     url.full=AS/register
| oauth.await_user
|     oauth.grant_type=authorization_code
|     oauth.issuer=AS
| oauth.exchange
|     oauth.grant_type=authorization_code
|     oauth.issuer=AS
| | POST CLIENT
| |     http.request.method=POST
| |     http.response.status_code=200
| |     url.full=AS/token
`)
		if user := k.span(otelauth.SpanUser); user.EndTime.Sub(user.StartTime) < 20*time.Second {
			t.Errorf("the user took %v, want 20s", user.EndTime.Sub(user.StartTime))
		}
	})
}

func TestAdoptedFromAnotherProcess(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		cfg := k.config()
		cfg.Store = new(slowStore)
		ours, _ := k.started(cfg, "read")
		other := cfg
		other.Tracer = nil
		theirs := k.manager(other)
		time.Sleep(2 * time.Hour)
		if _, err := theirs.Token(t.Context()); err != nil {
			t.Fatalf("the other process: %v", err)
		}
		k.call(func(ctx context.Context) {
			if _, err := ours.Token(ctx); err != nil {
				t.Errorf("Token: %v", err)
			}
		})
		k.wantSpans(`
call
    -> oauth.refresh (operation)
    @ oauth.wait oauth.duration=0.23 oauth.wait.for=refresh
oauth.refresh
    oauth.grant_type=refresh_token
    oauth.issuer=AS
    oauth.refresh.attempts=1
    oauth.refresh.outcome=adopted
    oauth.resource=MCP
    oauth.scopes.granted=["read"]
    oauth.token.expires_in=3600
    oauth.trigger=expired
    oauth.waiters=1
    -> call (trigger)
    @ oauth.store.lock oauth.duration=0.03
    @ oauth.token.adopted
`)
	})
}

// A token that works for other requests is sent again, then replaced, and so is
// its successor sent again. Then the operation is given up: who asks for it is
// refused at once.
func TestRequestThatIsAlwaysRejected(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		m, tok := k.started(k.config(), "read")
		m.Accepted(mustToken(t, m))
		c := auth.Challenge{Status: 401, Error: "invalid_token", Operation: "tools/call write_note"}
		k.call(func(ctx context.Context) {
			for err := error(nil); err == nil; {
				var again *auth.Token
				if again, err = m.Resolve(ctx, tok, c); err == nil {
					tok = again
				}
			}
		})
		k.call(func(ctx context.Context) {
			if _, err := m.Resolve(ctx, mustToken(t, m), c); err == nil {
				t.Error("Resolve: no error")
			}
		})
		k.wantSpans(`
call
    -> oauth.refresh (operation)
    @ oauth.resend mcp.method.name=tools/call oauth.resend.delay=0 oauth.resend.tries=1
    @ oauth.wait oauth.duration=0.05 oauth.wait.for=refresh
    @ oauth.resend mcp.method.name=tools/call oauth.resend.delay=0.25 oauth.resend.tries=1
    @ oauth.resend mcp.method.name=tools/call oauth.resend.delay=1 oauth.resend.tries=2
    @ oauth.resend mcp.method.name=tools/call oauth.resend.delay=3 oauth.resend.tries=3
    @ oauth.refused error.type=_OTHER mcp.method.name=tools/call oauth.refused.retry_in=15
oauth.refresh
    oauth.grant_type=refresh_token
    oauth.issuer=AS
    oauth.refresh.attempts=1
    oauth.refresh.outcome=refreshed
    oauth.resource=MCP
    oauth.scopes.granted=["read"]
    oauth.token.expires_in=3600
    oauth.token.rotated=true
    oauth.trigger=challenge
    oauth.waiters=1
    -> call (trigger)
    @ oauth.store.lock oauth.duration=0
    @ oauth.token.saved oauth.duration=0
| POST CLIENT
|     http.request.method=POST
|     http.response.status_code=200
|     url.full=AS/token
call
    @ oauth.refused error.type=_OTHER mcp.method.name=tools/call oauth.refused.retry_in=14.5
`)
		k.wantMeasured("oauth.client.re",
			"oauth.client.refresh.duration oauth.grant_type=refresh_token,oauth.refresh.outcome=refreshed,oauth.trigger=challenge,AS 1 0.05",
			"oauth.client.refusals error.type=_OTHER 2",
			"oauth.client.resends 4",
		)
	})
}

// During the pause after a failure a call is refused at once.
func TestRefusedDuringAPause(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		m, _ := k.started(k.config(), "read")
		time.Sleep(2 * time.Hour)
		k.srv.InjectAlways(authtest.TokenEndpoint, authtest.OAuthError("invalid_client", 401))
		k.call(func(ctx context.Context) { _, _ = m.Token(ctx) })
		k.spans.Reset()
		k.call(func(ctx context.Context) {
			if _, err := m.Token(ctx); err == nil {
				t.Error("Token: no error")
			}
		})
		k.wantSpans(`
call
    @ oauth.refused error.type=invalid_client oauth.refused.retry_in=0.5
`)
		k.wantMeasured("oauth.client.refusals", "oauth.client.refusals error.type=invalid_client 1")
	})
}

// Without a span there is nothing to write to, and without tracing the caller's
// is left alone. Both are counted.
func TestResendAndRefusalAreCounted(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		on := k.config().Tracer
		off := otelauth.NewTracer(otelauth.WithTracerProvider(k.tracers), otelauth.WithMeterProvider(k.meters), otelauth.WithoutTracing())
		both := func(ctx context.Context, tr authtrace.Tracer) {
			tr.Point(ctx, authtrace.Resend{Tries: 1})
			tr.Point(ctx, authtrace.Refused{RetryAt: time.Now(), Err: errors.New("canary")})
		}
		both(t.Context(), on)
		k.call(func(ctx context.Context) { both(ctx, off) })
		k.wantSpans("\ncall\n")
		k.call(func(ctx context.Context) { both(ctx, on) })
		k.wantSpans(`
call
call
    @ oauth.resend oauth.resend.delay=0 oauth.resend.tries=1
    @ oauth.refused error.type=_OTHER oauth.refused.retry_in=0
`)
		k.wantMeasured("oauth.client.re", "oauth.client.refusals error.type=_OTHER 3", "oauth.client.resends 3")
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
    -> oauth.refresh (operation)
    @ oauth.wait error.type=invalid_grant oauth.duration=0.05 oauth.wait.for=refresh
oauth.refresh ERROR
    error.type=invalid_grant
    http.response.status_code=400
    oauth.grant_type=refresh_token
    oauth.issuer=AS
    oauth.refresh.attempts=1
    oauth.refresh.outcome=failed
    oauth.resource=MCP
    oauth.trigger=expired
    oauth.waiters=1
    -> call (trigger)
    @ oauth.store.lock oauth.duration=0
    @ oauth.attempt error.type=invalid_grant http.response.status_code=400 oauth.attempt.number=1
| POST CLIENT ERROR
|     error.type=400
|     http.request.method=POST
|     http.response.status_code=400
|     url.full=AS/token
`)
	})
}

func TestRefreshByGrant(t *testing.T) {
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
    -> oauth.refresh (operation)
    @ oauth.wait oauth.duration oauth.wait.for=refresh
oauth.refresh
    oauth.grant_type=client_credentials
    oauth.issuer=AS
    oauth.refresh.attempts=2
    oauth.refresh.outcome=refreshed
    oauth.resource=MCP
    oauth.scopes.granted=["read"]
    oauth.token.expires_in=3600
    oauth.trigger=expired
    oauth.waiters=1
    -> call (trigger)
    @ oauth.store.lock oauth.duration=0
    @ oauth.attempt error.type=_OTHER http.response.status_code=429 oauth.attempt.number=1 oauth.attempt.wait
    @ oauth.store.lock oauth.duration=0
    @ oauth.token.saved oauth.duration=0
    @ oauth.attempt oauth.attempt.number=2
| oauth.exchange ERROR
|     error.type=_OTHER
|     http.response.status_code=429
|     oauth.grant_type=client_credentials
|     oauth.issuer=AS
| | POST CLIENT ERROR
| |     error.type=429
| |     http.request.method=POST
| |     http.response.status_code=429
| |     url.full=AS/token
| oauth.exchange
|     oauth.grant_type=client_credentials
|     oauth.issuer=AS
| | POST CLIENT
| |     http.request.method=POST
| |     http.request.resend_count=1
| |     http.response.status_code=200
| |     url.full=AS/token
`)
	})
}

func TestUnsavedToken(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		store := new(failingStore)
		cfg := k.config()
		cfg.Store = store
		m, _ := k.started(cfg, "read")
		store.fail(errors.New("canary: disk full"))
		k.call(func(ctx context.Context) {
			if _, err := m.Refresh(ctx); err != nil {
				t.Errorf("Refresh: %v", err)
			}
		})
		k.wantSpans(`
call
    -> oauth.refresh (operation)
    @ oauth.wait oauth.duration=0.05 oauth.wait.for=refresh
oauth.refresh
    oauth.grant_type=refresh_token
    oauth.issuer=AS
    oauth.refresh.attempts=1
    oauth.refresh.outcome=refreshed
    oauth.resource=MCP
    oauth.scopes.granted=["read"]
    oauth.token.expires_in=3600
    oauth.token.rotated=true
    oauth.token.unsaved=true
    oauth.trigger=explicit
    oauth.waiters=1
    -> call (trigger)
    @ oauth.store.lock oauth.duration=0
    @ oauth.token.saved error.type=_OTHER oauth.duration=0
| POST CLIENT
|     http.request.method=POST
|     http.response.status_code=200
|     url.full=AS/token
`)
		if err := m.Close(); err == nil {
			t.Error("Close: no error, want that of the store")
		}
	})
}

// failingStore fails to save as long as it is told to.
type failingStore struct {
	auth.MemoryStore
	err atomic.Pointer[error]
}

// fail makes Save fail with err from now on; nil: it works again.
func (s *failingStore) fail(err error) { s.err.Store(&err) }

func (s *failingStore) Save(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	if err := s.err.Load(); err != nil && *err != nil {
		return 0, *err
	}
	return s.MemoryStore.Save(ctx, key, r)
}

// The first call in a process waits for the store.
func TestWaitForTheStore(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		cfg := k.config()
		cfg.Store = new(slowStore)
		m := k.manager(cfg)
		k.call(func(ctx context.Context) {
			if _, err := m.Token(ctx); !errors.Is(err, auth.ErrNoToken) {
				t.Errorf("Token: %v", err)
			}
		})
		k.wantSpans(`
call
    @ oauth.wait oauth.duration=0.2 oauth.wait.for=store
`)
	})
}

// Who has a token waits for a look into the store too, for a moment.
func TestWaitForALook(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		cfg := k.config()
		cfg.Store = new(slowStore)
		m, _ := k.started(cfg, "read")
		time.Sleep(time.Minute)
		k.call(func(ctx context.Context) {
			if _, err := m.Token(ctx); err != nil {
				t.Errorf("Token: %v", err)
			}
		})
		k.wantSpans(`
call
    @ oauth.wait oauth.duration=0.2 oauth.wait.for=store
`)
	})
}

// slowStore is far away.
type slowStore struct{ auth.MemoryStore }

// Watch is not that of an [auth.Watcher]: this store gives no hints.
func (s *slowStore) Watch() {}

func (s *slowStore) Load(ctx context.Context, key auth.Key) (*auth.Record, error) {
	time.Sleep(200 * time.Millisecond)
	return s.MemoryStore.Load(ctx, key)
}

func (s *slowStore) Lock(ctx context.Context, key auth.Key) (func(), error) {
	time.Sleep(30 * time.Millisecond)
	return s.MemoryStore.Lock(ctx, key)
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
| | POST CLIENT x2
| |     http.request.method=POST
| |     http.response.status_code=200
| |     url.full=AS/revoke
`)
	})
}

// Who has no span is counted, but not linked to; who leaves is not forgotten.
func TestWaitersWithoutSpanAndWithoutPatience(t *testing.T) {
	bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
		m, _ := k.started(k.config(), "read")
		time.Sleep(2 * time.Hour)
		k.srv.Inject(authtest.TokenEndpoint, authtest.Delay(10*time.Second))
		go func() { _, _ = m.Token(t.Context()) }()
		synctest.Wait()
		k.call(func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
			defer cancel()
			if _, err := m.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Token: %v", err)
			}
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		k.wantSpans(`
oauth.refresh
    oauth.grant_type=refresh_token
    oauth.issuer=AS
    oauth.refresh.attempts=1
    oauth.refresh.outcome=refreshed
    oauth.resource=MCP
    oauth.scopes.granted=["read"]
    oauth.token.expires_in=3590
    oauth.token.rotated=true
    oauth.trigger=expired
    oauth.waiters=2
    -> call (waiter)
    @ oauth.store.lock oauth.duration=0
    @ oauth.token.saved oauth.duration=0
| POST CLIENT
|     http.request.method=POST
|     http.response.status_code=200
|     url.full=AS/token
call
    -> oauth.refresh (operation)
    @ oauth.wait error.type=timeout oauth.duration=0.5 oauth.wait.for=refresh
`)
	})
}

func TestStepUpRefused(t *testing.T) {
	bubble(t, authtest.Config{RefreshWidens: true}, authtest.Protection{}, func(t *testing.T, k *kit) {
		m, tok := k.started(k.config(), "read")
		c := auth.Challenge{Status: 403, Error: "insufficient_scope", Scopes: []string{"write"}}
		for range 2 {
			var err error
			if tok, err = m.Resolve(t.Context(), tok, c); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		k.spans.Reset()
		k.call(func(ctx context.Context) {
			if _, err := m.Resolve(ctx, tok, c); err == nil {
				t.Error("Resolve: no error")
			}
		})
		k.wantSpans(`
call
| oauth.step_up ERROR
|     error.type=_OTHER
|     oauth.resource=MCP
|     oauth.scopes.required=["write"]
|     oauth.step_up.outcome=refused
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
		"code exchange refused":    {authtest.TokenEndpoint, authtest.OAuthError("invalid_target", 400), []string{otelauth.SpanAuthorization, otelauth.SpanExchange}, "invalid_target", 400, false},
		"code exchange, a website": {authtest.TokenEndpoint, authtest.HTMLStatus(404), []string{otelauth.SpanAuthorization, otelauth.SpanExchange}, "_OTHER", 404, false},
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
					if s.Status.Code != codes.Error || s.SpanKind == trace.SpanKindClient {
						continue
					}
					if s.Name == otelauth.SpanDiscovery && value(s.Attributes, "error.type").AsString() == "timeout" {
						continue // the last of several: the end of the operation cut it off
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
			tr.End(tr.Start(ctx, ctx, authtrace.RefreshStart{}), authtrace.RefreshEnd{Outcome: authtrace.OutcomeAdopted, Attempts: 1})
		})
		k.wantSpans(`
call
oauth.refresh
    oauth.refresh.attempts=1
    oauth.refresh.outcome=adopted
    -> call (trigger)
`)
	})
}
