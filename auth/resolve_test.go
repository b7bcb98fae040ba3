package auth_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// unauthorized is the challenge of a 401 from k's MCP server.
func (k *kit) unauthorized(scopes ...string) auth.Challenge {
	return auth.Challenge{Status: 401, Scheme: "Bearer", Error: "invalid_token", Scopes: scopes, ResourceMetadata: k.res.MetadataURL}
}

// Design invariant 8: a 401 rejects the token that was sent and no other.
func TestLateRejection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, _ := k.started(k.config())
		old := mustToken(t, m)
		tok, err := m.Refresh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			got, err := m.Resolve(t.Context(), old, k.unauthorized())
			if err != nil || got != tok {
				t.Fatalf("Resolve for the old token = %v, %v, want the one in use", got, err)
			}
		}
		if got := mustToken(t, m); got != tok {
			t.Errorf("the token in use was replaced")
		}
		k.wantRefreshes(1)

		// The same for a request that went out without a token.
		if got, err := m.Resolve(t.Context(), nil, k.unauthorized()); err != nil || got != tok {
			t.Errorf("Resolve without a rejected token = %v, %v, want the one in use", got, err)
		}
		k.wantRefreshes(1)
	})
}

// A server may issue one string twice; tokens are told apart all the same.
func TestRejectionOfTheSameString(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, first := k.started(k.config())
		old := mustToken(t, m)
		if err := m.SetToken(t.Context(), first); err != nil { // the user pasted it again
			t.Fatal(err)
		}
		tok := mustToken(t, m)
		if tok == old || tok.AccessToken != old.AccessToken {
			t.Fatalf("got %v, want another token of the same string", tok)
		}
		if got, err := m.Resolve(t.Context(), old, k.unauthorized()); err != nil || got != tok {
			t.Errorf("Resolve = %v, %v, want the newer token", got, err)
		}
		k.wantRefreshes(0)
	})
}

// Fifty calls with the same dead token make one refresh, also when Token is
// asked meanwhile.
func TestRejectionRefreshesOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, _ := k.started(k.config())
		old := mustToken(t, m)
		k.srv.RevokeAccess(old.AccessToken)
		k.srv.Inject(authtest.TokenEndpoint, authtest.Delay(time.Second))
		got := make([]*auth.Token, 50)
		together(50, func(i int) {
			var err error
			if i%2 == 0 {
				got[i], err = m.Resolve(t.Context(), old, k.unauthorized())
			} else {
				time.Sleep(100 * time.Millisecond) // the rejection is in: nobody gets the old token
				got[i], err = m.Token(t.Context())
			}
			if err != nil {
				t.Errorf("caller %d: %v", i, err)
			}
		})
		for i, tok := range got {
			if tok != got[0] || tok == old {
				t.Fatalf("caller %d got %v", i, tok)
			}
		}
		k.wantRefreshes(1)
		if status := k.call(got[0]); status != 200 {
			t.Errorf("the server answers %d to the new token", status)
		}
	})
}

// A late 401 is not counted against a token that has expired since: nobody has
// rejected that one.
func TestLateRejectionOfAnExpiredToken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{AccessTokenTTL: 30 * time.Second}, authtest.Protection{})
		cfg := k.config()
		cfg.NoIdleRefresh = true
		m, old := k.started(cfg) // not asked for: it would be refreshed at once
		if _, err := m.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			time.Sleep(30 * time.Second)
			if tok, err := m.Resolve(t.Context(), old, k.unauthorized()); err != nil || k.call(tok) != 200 {
				t.Fatalf("rejection %d: %v, %v", i+1, tok, err)
			}
		}
		k.wantRefreshes(11)
	})
}

// A copy of the token, as a transport may keep one, is as good as the token.
func TestRejectionOfACopy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, _ := k.started(k.config())
		old := *mustToken(t, m)
		look := &auth.Token{AccessToken: old.AccessToken} // made by hand
		for _, rejected := range []*auth.Token{&old, look} {
			if got, err := m.Resolve(t.Context(), rejected, k.unauthorized()); err != nil || got.AccessToken == old.AccessToken {
				t.Errorf("Resolve = %v, %v, want a new token", got, err)
			}
		}
		k.wantRefreshes(1)
	})
}

// A rejected token is not handed out again while its refresh fails, and the
// callers get the error of that refresh until the next is due.
func TestRejectedAndNotRefreshed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, _ := k.started(k.config())
		old := mustToken(t, m)
		k.srv.InjectAlways(authtest.TokenEndpoint, authtest.RetryAfter(503, 4*time.Minute))
		_, err := m.Resolve(t.Context(), old, k.unauthorized())
		te := asError[*auth.TokenError](t, err)
		if te.StatusCode != 503 || te.RetryAfter != 4*time.Minute || time.Until(te.NextAttempt) < 3*time.Minute {
			t.Errorf("error %+v, want 503 with its Retry-After kept", te)
		}
		if _, err := m.Token(t.Context()); !errors.Is(err, te) {
			t.Errorf("Token: %v, want the error of the refresh", err)
		}
		if _, err := m.Resolve(t.Context(), old, k.unauthorized()); !errors.Is(err, te) {
			t.Errorf("Resolve: %v, want the error of the refresh", err)
		}
		k.wantRefreshes(1)
		if i := m.Info(); i.State != auth.StateExpired || i.LastError == nil {
			t.Errorf("state %s, last error %v", i.State, i.LastError)
		}
		k.srv.ClearFaults(authtest.TokenEndpoint)
		time.Sleep(5 * time.Minute)
		if tok := mustToken(t, m); tok.AccessToken == old.AccessToken {
			t.Error("the rejected token was handed out")
		}
	})
}

// A server that rejects every token it is shown gets a bounded number of them,
// then one at growing intervals.
func TestRejectsEverything(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, _ := k.started(k.config())
		var refused *auth.RejectedError
		try := func() bool {
			t.Helper()
			_, err := m.Resolve(t.Context(), mustToken(t, m), k.unauthorized())
			return !errors.As(err, &refused)
		}
		for i := range 3 {
			if !try() {
				t.Fatalf("rejection %d: %v", i+1, refused)
			}
		}
		k.wantRefreshes(3)
		last := mustToken(t, m)
		if try() {
			t.Fatal("the fourth fresh token in a row was replaced as well")
		}
		k.wantRefreshes(3)
		if refused.Rejections != 4 || refused.Resource != k.res.URL || time.Until(refused.RetryAt) != 2*time.Second {
			t.Errorf("error %+v, want 4 rejections and a retry in 2 s", refused)
		}
		// Until then nobody gets further, whoever asks.
		for range 10 {
			if _, err := m.Resolve(t.Context(), last, k.unauthorized()); !errors.As(err, &refused) || refused.Rejections != 4 {
				t.Fatalf("Resolve: %v", err)
			}
		}
		k.wantRefreshes(3)

		for i, wait := range []time.Duration{2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
			wait *= time.Second
			if got := time.Until(refused.RetryAt); got != wait {
				t.Fatalf("interval %d is %v, want %v", i, got, wait)
			}
			time.Sleep(wait)
			next, err := m.Resolve(t.Context(), last, k.unauthorized())
			if err != nil {
				t.Fatalf("after %v: %v", wait, err)
			}
			k.wantRefreshes(4 + i)
			last = next
			if _, err := m.Resolve(t.Context(), last, k.unauthorized()); !errors.As(err, &refused) {
				t.Fatalf("the next fresh token: %v", err)
			}
		}
		// A token that worked for a while is another matter.
		time.Sleep(5 * time.Minute)
		next, err := m.Resolve(t.Context(), last, k.unauthorized())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if _, err := m.Resolve(t.Context(), next, k.unauthorized()); err != nil {
			t.Errorf("a token that lived for two minutes: %v", err)
		}
	})
}

// A person is not asked again and again: the first token that a login got and
// the server rejects is one too many.
func TestRejectsEveryLogin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{NoRefreshToken: true}, authtest.Protection{})
		m := k.manager(k.discovered())
		tok, err := m.Resolve(t.Context(), nil, k.unauthorized())
		if err != nil {
			t.Fatal(err)
		}
		tok, err = m.Resolve(t.Context(), tok, k.unauthorized())
		if err != nil {
			t.Fatalf("the first rejection: %v", err)
		}
		_, err = m.Resolve(t.Context(), tok, k.unauthorized())
		if asError[*auth.RejectedError](t, err); k.srv.Counts().Authorize != 2 {
			t.Errorf("%d authorizations, want 2", k.srv.Counts().Authorize)
		}
	})
}

// Without a grant a 401 can only be told to somebody, with all that has to be
// asked for.
func TestNobodyToAsk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.config()
		cfg.Scopes = []string{"base"}
		m := k.manager(cfg)
		if _, err := m.Token(t.Context()); err != auth.ErrNoToken {
			t.Errorf("Token = %v, want ErrNoToken", err)
		}
		_, err := m.Resolve(t.Context(), nil, k.unauthorized("read", "base"))
		re := asError[*auth.ReauthorizationRequiredError](t, err)
		if !slices.Equal(re.Scopes, []string{"base", "read"}) || re.Resource != k.res.URL || re.Issuer != k.srv.Issuer || !errors.Is(err, auth.ErrNoToken) {
			t.Errorf("error %+v", re)
		}

		tok := k.token("granted")
		tok.RefreshToken = ""
		if err := m.SetToken(t.Context(), tok); err != nil {
			t.Fatal(err)
		}
		_, err = m.Resolve(t.Context(), mustToken(t, m), k.unauthorized("read"))
		if re := asError[*auth.ReauthorizationRequiredError](t, err); !slices.Equal(re.Scopes, []string{"base", "granted", "read"}) {
			t.Errorf("scopes %q", re.Scopes)
		}
		if n := k.srv.Counts().Token; n != 0 {
			t.Errorf("%d token requests", n)
		}
	})
}

// When the refresh of a rejected token is refused, the rejected token is no
// good for that.
func TestRejectedAndRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, _ := k.started(k.config(), "a")
		tok := mustToken(t, m)
		k.srv.RevokeAll()
		for range 2 {
			_, err := m.Resolve(t.Context(), tok, k.unauthorized("b"))
			re := asError[*auth.ReauthorizationRequiredError](t, err)
			if te := asError[*auth.TokenError](t, re.Err); te.Code != "invalid_grant" || !slices.Equal(re.Scopes, []string{"a", "b"}) {
				t.Errorf("error %v for %q", te, re.Scopes)
			}
			if got, err := m.Token(t.Context()); err == nil {
				t.Errorf("Token = %v, which the server has rejected", got)
			} else {
				asError[*auth.ReauthorizationRequiredError](t, err)
			}
		}
		if i := m.Info(); i.State != auth.StateReauthorizationRequired || i.HasRefreshToken {
			t.Errorf("info %+v", i)
		}
		k.wantRefreshes(1)
	})
}

// A closed manager resolves nothing, and a caller does not wait longer than
// its context.
func TestResolveEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, _ := k.started(k.config())
		tok := mustToken(t, m)
		k.srv.Inject(authtest.TokenEndpoint, authtest.Delay(time.Minute))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if _, err := m.Resolve(ctx, tok, k.unauthorized()); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("Resolve = %v after %v, want the deadline after 1 s", err, time.Since(began))
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		for name, resolve := range map[string]func() (*auth.Token, error){
			"401": func() (*auth.Token, error) { return m.Resolve(t.Context(), tok, k.unauthorized()) },
			"403": func() (*auth.Token, error) { return m.Resolve(t.Context(), tok, insufficient("more")) },
		} {
			if _, err := resolve(); err != auth.ErrClosed {
				t.Errorf("%s: %v, want ErrClosed", name, err)
			}
		}
	})
}

// insufficient is the challenge of a 403.
func insufficient(scopes ...string) auth.Challenge {
	return auth.Challenge{Status: 403, Scheme: "Bearer", Error: "insufficient_scope", Scopes: scopes}
}
