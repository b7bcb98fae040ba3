package auth_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// offline is a manager without a network: a request would fail the test.
func offline(t *testing.T, tok *auth.Token) *auth.Manager {
	t.Helper()
	m, err := auth.NewManager(auth.Config{
		Resource: "https://mcp.example.com/mcp",
		Server:   &auth.Server{Issuer: "https://as.example.com", TokenEndpoint: "https://as.example.com/token"},
		Client:   auth.Client{ID: clientID},
		HTTPClient: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			t.Errorf("request to %s, want none", r.URL)
			return nil, errors.New("no network here")
		})},
	})
	if err != nil {
		t.Fatalf("NewManager: %v", err)
	}
	t.Cleanup(func() { _ = m.Close() })
	if tok != nil {
		if err := m.SetToken(t.Context(), tok); err != nil {
			t.Fatalf("SetToken: %v", err)
		}
	}
	return m
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestFreshTokenPathAllocatesNothing(t *testing.T) {
	m := offline(t, &auth.Token{AccessToken: "a", RefreshToken: "r", Expiry: time.Now().Add(time.Hour)})
	ctx := t.Context()
	var header string
	if n := testing.AllocsPerRun(1000, func() {
		tok, err := m.Token(ctx)
		if err != nil {
			t.Fatal(err)
		}
		header = tok.Authorization()
	}); n != 0 {
		t.Errorf("%v allocations for a fresh token and its header, want 0", n)
	}
	if header != "Bearer a" {
		t.Errorf("Authorization() = %q", header)
	}
}

func TestAuthorizationIsBuiltOncePerToken(t *testing.T) {
	m := offline(t, &auth.Token{AccessToken: "a", TokenType: "bearer"})
	first, second := mustToken(t, m).Authorization(), mustToken(t, m).Authorization()
	if first != "Bearer a" {
		t.Errorf("Authorization() = %q, want the type as RFC 6750 spells it", first)
	}
	if unsafe.StringData(first) != unsafe.StringData(second) {
		t.Error("the header value was built twice")
	}
	own := &auth.Token{AccessToken: "b", TokenType: "dpop"} // never seen by a manager
	if got := own.Authorization(); got != "DPoP b" {
		t.Errorf("Authorization() of a hand-made token = %q", got)
	}
}

func TestChangingTheCallersTokenChangesNothing(t *testing.T) {
	mine := &auth.Token{AccessToken: "a", Scopes: []string{"read"}}
	m := offline(t, mine)
	mine.AccessToken, mine.Scopes[0] = "b", "write"
	if tok := mustToken(t, m); tok.AccessToken != "a" || tok.Scopes[0] != "read" {
		t.Errorf("the manager's token followed the caller's: %v", tok)
	}
}

func TestTokenWithoutAToken(t *testing.T) {
	m := offline(t, nil)
	if _, err := m.Token(t.Context()); !errors.Is(err, auth.ErrNoToken) {
		t.Errorf("Token: %v, want ErrNoToken", err)
	}
	if _, err := m.Refresh(t.Context()); !errors.Is(err, auth.ErrNoToken) {
		t.Errorf("Refresh: %v, want ErrNoToken", err)
	}
}

func TestSetTokenRefusesWhatIsNoToken(t *testing.T) {
	m := offline(t, nil)
	for _, tc := range []struct {
		name  string
		token *auth.Token
		field string
	}{
		{"nil", nil, "Token"},
		{"empty", &auth.Token{}, "Token"},
		{"line break in it", &auth.Token{AccessToken: "a\r\nX-Injected: 1"}, "Token.AccessToken"},
		{"with its type", &auth.Token{AccessToken: "Bearer a"}, "Token.AccessToken"},
		{"type that cannot be presented", &auth.Token{AccessToken: "a", TokenType: "mac"}, "Token.TokenType"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if e := asError[*auth.ConfigError](t, m.SetToken(t.Context(), tc.token)); e.Field != tc.field {
				t.Errorf("names the field %q, want %q", e.Field, tc.field)
			}
		})
	}
	if _, err := m.Token(t.Context()); !errors.Is(err, auth.ErrNoToken) {
		t.Errorf("Token: %v, want ErrNoToken", err)
	}
}

// A refresh token alone is enough to begin with.
func TestSetRefreshTokenAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m := k.manager(k.config())
		if err := m.SetToken(t.Context(), &auth.Token{RefreshToken: k.token("read").RefreshToken}); err != nil {
			t.Fatal(err)
		}
		k.wantRefreshes(0)
		if status := k.call(mustToken(t, m)); status != http.StatusOK {
			t.Errorf("the MCP server answered %d", status)
		}
		k.wantRefreshes(1)
	})
}

// Inside the window the token is served at once and refreshed behind.
func TestServedAtOnceInsideTheWindow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, old := k.started(k.onDemand())
		k.srv.Inject(authtest.TokenEndpoint, authtest.Delay(time.Second))

		time.Sleep(time.Until(m.Info().RefreshAt) - time.Millisecond)
		mustToken(t, m)
		k.wantRefreshes(0)
		time.Sleep(time.Millisecond)

		for range 3 { // one refresh, however often it is asked for
			began := time.Now()
			if tok := mustToken(t, m); tok.AccessToken != old.AccessToken {
				t.Error("the old token was not served")
			}
			if took := time.Since(began); took != 0 {
				t.Errorf("Token waited %v for a token that is still good", took)
			}
		}
		time.Sleep(2 * time.Second)
		k.wantRefreshes(1)
		if tok := mustToken(t, m); tok.AccessToken == old.AccessToken || tok.RefreshToken == old.RefreshToken {
			t.Error("the token was not replaced behind")
		}
	})
}

// At its expiry a token is dead, to the nanosecond.
func TestExpiryIsDecidedWhenAsked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, old := k.started(k.onDemand()) // as if the timers of a sleeping laptop did not fire
		k.srv.InjectAlways(authtest.TokenEndpoint, authtest.Status(500))

		time.Sleep(time.Until(old.Expiry) - time.Nanosecond)
		if tok := mustToken(t, m); tok.AccessToken != old.AccessToken {
			t.Error("a good token was not served")
		}
		time.Sleep(time.Nanosecond)
		tok, err := m.Token(t.Context())
		if err == nil {
			t.Fatalf("a dead token was served: %v", tok)
		}
		if e := asError[*auth.TokenError](t, err); e.StatusCode != 500 || !e.Retryable() {
			t.Errorf("error is %v", e)
		}
	})
}

// Without expires_in nothing is guessed: the token is used until it is
// rejected [invariant 7].
func TestNoExpiresIn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{NoExpiresIn: true}, authtest.Protection{})
		m, given := k.started(k.config())
		if _, err := m.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		tok := mustToken(t, m)
		if !tok.Expiry.IsZero() || tok.AccessToken == given.AccessToken {
			t.Fatalf("token %v, want a new one of unknown lifetime", tok)
		}
		if at := m.Info().RefreshAt; !at.IsZero() {
			t.Errorf("an early refresh is planned at %v", at)
		}
		time.Sleep(30 * time.Minute)
		if mustToken(t, m) != tok {
			t.Error("the token was replaced without need")
		}
		time.Sleep(24 * time.Hour) // it died at the server, which alone knows
		if mustToken(t, m) != tok {
			t.Error("the token was replaced without need")
		}
		k.wantRefreshes(1)

		if status := k.call(tok); status != http.StatusUnauthorized {
			t.Fatalf("the MCP server answered %d", status)
		}
		next, err := m.Resolve(t.Context(), tok, auth.Challenge{Status: 401, Error: "invalid_token"})
		if err != nil {
			t.Fatal(err)
		}
		if status := k.call(next); status != http.StatusOK {
			t.Errorf("the MCP server answered %d to the new token", status)
		}
		k.wantRefreshes(2)
	})
}

// A 401 for one token is nothing against its successor [invariant 8],
// nor against a token that another manager happened to number the same.
func TestTokensOfTwoManagersAreNotMixedUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		a, _ := k.started(k.config())
		b, _ := k.started(k.config())
		old := mustToken(t, b)
		if err := b.SetToken(t.Context(), mustToken(t, a)); err != nil {
			t.Fatal(err)
		}
		tok, err := b.Resolve(t.Context(), old, auth.Challenge{Status: 401})
		if err != nil {
			t.Fatal(err)
		}
		if tok.AccessToken != mustToken(t, a).AccessToken {
			t.Error("the token that was set is not the one in use")
		}
		k.wantRefreshes(0)
	})
}

func TestInfoStates(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m := k.manager(k.onDemand())
		want := func(s auth.State) auth.Info {
			t.Helper()
			i := m.Info()
			if i.State != s {
				t.Errorf("state %q, want %q", i.State, s)
			}
			return i
		}
		want(auth.StateNone)
		tok := k.token("read", "write")
		if err := m.SetToken(t.Context(), tok); err != nil {
			t.Fatal(err)
		}
		i := want(auth.StateFresh)
		if i.Resource != k.res.URL || i.Issuer != k.srv.Issuer || i.ClientID != clientID || i.TokenType != "Bearer" || !i.HasRefreshToken {
			t.Errorf("info %+v", i)
		}
		if !i.Expiry.Equal(tok.Expiry) || !slices.Equal(i.Scopes, tok.Scopes) || i.LastError != nil || i.Unsaved || i.Refreshing || i.Authorizing {
			t.Errorf("info %+v", i)
		}
		time.Sleep(time.Until(i.RefreshAt))
		want(auth.StateExpiring)

		time.Sleep(time.Until(tok.Expiry))
		want(auth.StateExpired)
		k.srv.InjectAlways(authtest.TokenEndpoint, authtest.Delay(time.Hour))
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := m.Token(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Token: %v", err)
		}
		if i := want(auth.StateExpired); !i.Refreshing {
			t.Error("Info does not say that a refresh is under way")
		}
		time.Sleep(70 * time.Second)
		k.srv.ClearFaults(authtest.TokenEndpoint)
		if i := m.Info(); i.Refreshing || i.LastError == nil {
			t.Errorf("after a failed refresh: %+v", i)
		}
		mustToken(t, m)
		if i := want(auth.StateFresh); i.LastError != nil || !i.RetryAt.IsZero() {
			t.Errorf("after a refresh that worked: %+v", i)
		}

		k.srv.RevokeAll()
		_, err := m.Refresh(t.Context())
		asError[*auth.ReauthorizationRequiredError](t, err)
		if i := want(auth.StateFresh); i.HasRefreshToken || !i.RefreshAt.IsZero() { // the access token may still work
			t.Errorf("without a refresh token: %+v", i)
		}
		time.Sleep(time.Until(m.Info().Expiry))
		want(auth.StateReauthorizationRequired)
		_, err = m.Token(t.Context())
		asError[*auth.ReauthorizationRequiredError](t, err)

		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		want(auth.StateClosed)
	})
}
