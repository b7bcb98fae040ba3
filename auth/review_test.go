package auth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// A server that rejects whatever it is shown gets no token after token: until
// RetryAt neither Token nor a request without a token leads to another.
func TestRejectionsBarTheWayForAllCallers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, _ := k.started(k.config())
		ctx := t.Context()
		var rejected *auth.RejectedError
		for i := range 10 {
			tok, err := m.Token(ctx)
			if err == nil { // an operation of its own: no other is held against it
				c := auth.Challenge{Status: 401, Scheme: "Bearer", Operation: strconv.Itoa(i)}
				_, err = k.insist(m, tok, c, func(*auth.Token) bool { return false })
			}
			if errors.As(err, &rejected) && rejected.Operation == "" {
				break
			}
		}
		if rejected == nil || rejected.Operation != "" {
			t.Fatalf("error %v after ten rejections", rejected)
		}
		newest := k.refreshes()
		before := k.srv.Counts().Token
		for range 20 {
			if _, err := m.Token(ctx); !errors.As(err, &rejected) {
				t.Fatalf("Token = %v, want *RejectedError until RetryAt", err)
			}
			if _, err := m.Resolve(ctx, nil, auth.Challenge{Status: 401, Scheme: "Bearer"}); !errors.As(err, &rejected) {
				t.Fatalf("Resolve = %v, want *RejectedError until RetryAt", err)
			}
		}
		if n := k.srv.Counts().Token - before; n != 0 {
			t.Errorf("%d token requests before RetryAt", n)
		}
		time.Sleep(time.Until(rejected.NextAttempt))
		if _, err := m.Token(ctx); err != nil || k.refreshes() != newest {
			t.Errorf("Token at RetryAt = %v after %d more refreshes, want the newest token", err, k.refreshes()-newest)
		}
	})
}

// A token that is rejected because it died on its way says nothing about the
// next one, however often that happens to tokens that live for a second.
func TestTokensThatDieOnTheirWayAreNotHeldAgainstTheServer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{AccessTokenTTL: time.Second}, authtest.Protection{})
		m, _ := k.started(k.onDemand())
		for range 20 {
			tok := mustToken(t, m)
			time.Sleep(time.Second)
			if k.call(tok) != http.StatusUnauthorized {
				t.Fatal("it lives")
			}
			if _, err := m.Resolve(t.Context(), tok, auth.Challenge{Status: 401, Scheme: "Bearer"}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A server that names a new scope each time is stopped all the same.
func TestStepUpsAreBoundedOverAllScopes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{RefreshWidens: true}, authtest.Protection{})
		m, tok := k.started(k.config())
		var insufficient *auth.InsufficientScopeError
		upgrades := 0
		for i := range 100 {
			next, err := m.Resolve(t.Context(), tok, auth.Challenge{Status: 403, Scheme: "Bearer", Error: "insufficient_scope", Scopes: []string{fmt.Sprintf("scope%d", i)}})
			if errors.As(err, &insufficient) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			tok = next
			upgrades++
		}
		if insufficient == nil || upgrades > 20 {
			t.Errorf("%d upgrades, want a few and then *InsufficientScopeError", upgrades)
		}
	})
}

// Some servers refuse with status 200 (GitHub's does). That is a refusal, not a
// lost answer.
//
//compat:refusal a refusal with status 200 (GitHub, Slack)
//compat:default a refusal
//compat:attack auth/internal/wire.TestRefusedWithSuccess
func TestRefusalWithStatus200(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.config()
		cfg.HTTPClient = &http.Client{Transport: answering{200, `{"error":"invalid_grant"}`}}
		m, _ := k.started(cfg)
		_, err := m.Refresh(t.Context())
		te := asError[*auth.TokenError](t, err)
		if te.Code != "invalid_grant" || te.Retryable() {
			t.Errorf("Refresh = %v, want a permanent invalid_grant", err)
		}
		if m.Info().HasRefreshToken {
			t.Error("the refresh token is still there")
		}
	})
}

// Revoke ends a login that is under way: nobody is logged in again afterwards.
func TestRevokeEndsALoginUnderWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		p := k.asked(time.Minute)
		cfg := k.bothering(p)
		cfg.Client = auth.Client{ID: clientID}
		m, _ := k.started(cfg)
		failed := make(chan error, 1)
		go func() {
			_, err := m.UpgradeScopes(t.Context(), "more")
			failed <- err
		}()
		time.Sleep(10 * time.Second) // the refresh did not widen, the browser is open
		if err := m.Revoke(context.Background()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if s := m.Info().State; s != auth.StateNone {
			t.Errorf("an hour after Revoke the token is %s", s)
		}
		select {
		case <-failed:
		default:
			t.Error("UpgradeScopes still waits")
		}
	})
}

type answering struct {
	status int
	body   string
}

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: a.status, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(a.body)), Request: r,
	}, nil
}
