package auth_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// unauthorized is the challenge of a 401 from k's MCP server.
func (k *kit) unauthorized(scopes ...string) auth.Challenge {
	return auth.Challenge{Status: 401, Scheme: "Bearer", Error: "invalid_token", Scopes: scopes, ResourceMetadata: k.res.MetadataURL}
}

// A 401 rejects the token that was sent and no other [invariant 8].
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

// Fifty calls with the same dead token make one refresh. Who asks meanwhile is
// given the old token: it may be good elsewhere [invariant 11].
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
				time.Sleep(100 * time.Millisecond) // the rejection is in
				tok, waits := m.Token(t.Context())
				if tok != old || waits != nil {
					t.Errorf("Token of caller %d waits for the refresh: %v", i, waits)
				}
				got[i], err = k.send(m, tok)
			}
			if err != nil {
				t.Errorf("caller %d: %v", i, err)
			}
		})
		for i, tok := range got {
			if tok.AccessToken != got[0].AccessToken || tok.AccessToken == old.AccessToken {
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

// While the refresh of a rejected token fails, those who were rejected get the
// error of that refresh until the next is due. All others get the token, which
// other requests may be accepted with [invariant 11].
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
		if tok, err := m.Token(t.Context()); err != nil || tok != old {
			t.Errorf("Token = %v, %v, want the token that there is", tok, err)
		}
		if _, err := m.Resolve(t.Context(), old, k.unauthorized()); !errors.Is(err, te) {
			t.Errorf("Resolve: %v, want the error of the refresh", err)
		}
		k.wantRefreshes(1)
		if i := m.Info(); !errors.Is(i.LastError, te) || !i.RetryAt.Equal(te.NextAttempt) {
			t.Errorf("last error %v, next attempt at %v", i.LastError, i.RetryAt)
		}
		k.srv.ClearFaults(authtest.TokenEndpoint)
		time.Sleep(5 * time.Minute)
		if tok, err := m.Resolve(t.Context(), old, k.unauthorized()); err != nil || tok.AccessToken == old.AccessToken {
			t.Errorf("Resolve = %v, %v, want another token", tok, err)
		}
		k.wantRefreshes(2)
	})
}

// A server that rejects every token it is shown gets a bounded number of them,
// then one at growing intervals, however often it is called. When it is well
// again the newest token is tried first [invariants 11, 12].
func TestRejectsEverything(t *testing.T) {
	for name, operations := range map[string]int{"one operation": 1, "many operations": 50} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{AccessTokenTTL: 24 * time.Hour}, authtest.Protection{})
				m, _ := k.started(k.config())
				broken := true
				call := func(i int) (*auth.Token, error) {
					tok, err := m.Token(t.Context())
					if err != nil {
						return nil, err
					}
					c := k.unauthorized()
					c.Operation = strconv.Itoa(i % operations)
					if !broken {
						m.Accepted(tok)
						return tok, nil
					}
					return k.insist(m, tok, c, func(*auth.Token) bool { return false })
				}
				began, spent := time.Now(), []int{0}
				for i := 0; time.Since(began) < 4*time.Hour; i++ {
					_, err := call(i)
					re := asError[*auth.RejectedError](t, err)
					if wait := time.Until(re.NextAttempt); re.Resource != k.res.URL || wait <= 0 || wait > 5*time.Minute {
						t.Fatalf("call %d: %+v, the next attempt in %v", i, re, wait)
					}
					if h := int(time.Since(began) / time.Hour); h == len(spent) {
						spent = append(spent, k.refreshes())
					}
					time.Sleep(5 * time.Second)
				}
				// At first a few at once, then one in five minutes.
				for h := 1; h < len(spent); h++ {
					if n := spent[h] - spent[h-1]; n > 20 || n == 0 {
						t.Errorf("%d refresh requests in hour %d", n, h)
					}
				}
				broken = false
				before := k.refreshes()
				time.Sleep(15 * time.Second)
				if _, err := call(0); err != nil {
					t.Errorf("15 s after it is well again: %v", err)
				}
				if n := k.refreshes() - before; n != 0 {
					t.Errorf("%d refreshes when the newest token is good", n)
				}
			})
		})
	}
}

// A person is not asked again and again: what a login got is sent again for a
// while, and then there is no second login [invariants 10, 13], until the
// program itself asks for one.
func TestRejectsEveryLogin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{NoRefreshToken: true}, authtest.Protection{})
		m := k.manager(k.discovered())
		never := func(*auth.Token) bool { return false }
		began := time.Now()
		_, err := k.insist(m, nil, k.unauthorized(), never)
		asError[*auth.RejectedError](t, err)
		if took := time.Since(began); took != 4250*time.Millisecond {
			t.Errorf("gave up after %v, want 0.25 + 1 + 3 s", took)
		}
		for range 20 {
			if tok, err := m.Token(t.Context()); err == nil {
				_, err = k.insist(m, tok, k.unauthorized(), never)
				asError[*auth.RejectedError](t, err)
			}
			time.Sleep(10 * time.Second)
		}
		if n := k.srv.Counts().Authorize; n != 1 {
			t.Errorf("%d authorizations, want 1", n)
		}
		if tok, err := m.Authorize(t.Context()); err != nil || k.call(tok) != 200 || k.srv.Counts().Authorize != 2 {
			t.Errorf("Authorize: %v after %d authorizations, want the second", err, k.srv.Counts().Authorize)
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

// When the refresh of a rejected token is refused, the session has ended: only a
// login helps, and nobody is given the token any more.
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
			_, err = m.Token(t.Context())
			asError[*auth.ReauthorizationRequiredError](t, err)
		}
		k.wantRefreshes(1)
		time.Sleep(time.Until(tok.Expiry))
		_, err := m.Token(t.Context())
		asError[*auth.ReauthorizationRequiredError](t, err)
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

// A caller may keep the token that Resolve returned for later requests, about
// which what happened to the first one says nothing.
func TestKeptTokenIsForAnyRequest(t *testing.T) {
	for _, accepted := range []bool{true, false} {
		t.Run(map[bool]string{true: "of an accepter", false: "of two calls"}[accepted], func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				m, old := k.started(k.config())
				k.srv.RevokeAccess(old.AccessToken)
				kept, err := m.Resolve(t.Context(), mustToken(t, m), k.unauthorized())
				if err != nil || k.call(kept) != 200 {
					t.Fatalf("Resolve = %v, %v", kept, err)
				}
				if accepted {
					m.Accepted(kept)
				} else {
					time.Sleep(time.Minute)
				}
				k.srv.RevokeAccess(kept.AccessToken)
				if tok, err := k.send(m, kept); err != nil || tok.AccessToken == kept.AccessToken {
					t.Errorf("the next request gets %v, %v", tok, err)
				}
			})
		})
	}
}
