package auth_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/auth/discovery"
)

// revocations is a tracer of revocations.
type revocations struct {
	steps
	issuers []string
	errs    []error
}

func (r *revocations) Start(ctx, _ context.Context, s authtrace.Start) context.Context {
	if s, ok := s.(authtrace.RevocationStart); ok {
		r.issuers = append(r.issuers, s.Issuer)
	}
	return ctx
}

func (r *revocations) End(_ context.Context, e authtrace.End) {
	if e, ok := e.(authtrace.RevocationEnd); ok {
		r.errs = append(r.errs, e.Err)
	}
}

// forms keeps the forms that are posted to an endpoint of k's.
func (k *kit) forms(e authtest.Endpoint) (*[]url.Values, *http.Client) {
	var got []url.Values
	_, client := k.wired(func(r *http.Request) (*http.Response, error) {
		if r.URL.String() == k.srv.Endpoint(e) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			form, err := url.ParseQuery(string(body))
			if err != nil {
				return nil, err
			}
			got = append(got, form)
			r.Body = io.NopCloser(strings.NewReader(string(body)))
		}
		return nil, nil
	})
	return &got, client
}

// Both tokens are revoked, the refresh token first, and forgotten here and in
// the store.
func TestRevoke(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		tracer, s := new(revocations), new(store)
		forms, client := k.forms(authtest.RevocationEndpoint)
		cfg := k.config()
		cfg.Tracer, cfg.Store, cfg.HTTPClient = tracer, s, client
		m, tok := k.started(cfg)
		events, stop := m.Subscribe()
		defer stop()
		if err := m.Revoke(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := []url.Values{
			{"token": {tok.RefreshToken}, "token_type_hint": {"refresh_token"}, "client_id": {clientID}},
			{"token": {tok.AccessToken}, "token_type_hint": {"access_token"}, "client_id": {clientID}},
		}
		if len(*forms) != 2 || (*forms)[0].Encode() != want[0].Encode() || (*forms)[1].Encode() != want[1].Encode() {
			t.Errorf("sent %v, want %v", *forms, want)
		}
		if status := k.call(tok); status != 401 {
			t.Errorf("the server answers %d to the revoked token", status)
		}
		if _, err := m.Token(t.Context()); err != auth.ErrNoToken {
			t.Errorf("Token = %v, want ErrNoToken", err)
		}
		if i := m.Info(); i.State != auth.StateNone || i.HasRefreshToken || len(i.Scopes) != 0 || i.Issuer != k.srv.Issuer {
			t.Errorf("info %+v", i)
		}
		again := k.manager(cfg)
		if err := again.Load(t.Context()); err != nil || again.Info().State != auth.StateNone {
			t.Errorf("Load: %v, state %s: the store still has it", err, again.Info().State)
		}
		wantEvents(t, events, auth.EventForgotten)
		if !slices.Equal(tracer.issuers, []string{k.srv.Issuer}) || len(tracer.errs) != 1 || tracer.errs[0] != nil {
			t.Errorf("traced %q, %v", tracer.issuers, tracer.errs)
		}
		time.Sleep(2 * time.Hour) // no timer is left behind
		k.wantRefreshes(0)

		if err := m.Revoke(t.Context()); err != nil || k.srv.Counts().Revoke != 2 {
			t.Errorf("without a token: %v after %d requests, want neither", err, k.srv.Counts().Revoke)
		}
		// And a new beginning.
		if err := m.SetToken(t.Context(), k.token()); err != nil || k.call(mustToken(t, m)) != 200 {
			t.Errorf("SetToken afterwards: %v", err)
		}
	})
}

// Whatever goes wrong, the token is forgotten, and the error says what did.
func TestRevokeFails(t *testing.T) {
	t.Run("transient", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			m, tok := k.started(k.config())
			k.srv.Inject(authtest.RevocationEndpoint, authtest.RetryAfter(503, 2*time.Second), authtest.ResetAfter())
			if err := m.Revoke(t.Context()); err != nil || k.call(tok) != 401 {
				t.Errorf("%v, and the server answers %d", err, k.call(tok))
			}
			if n := k.srv.Counts().Revoke; n != 4 {
				t.Errorf("%d requests, want 3 for the refresh token and 1 for the access token", n)
			}
		})
	})

	for name, tt := range map[string]struct {
		fault authtest.Fault
		edit  func(*auth.Config)
		is    func(t *testing.T, err error)
	}{
		"refused": {authtest.OAuthError("invalid_client", 401), nil, func(t *testing.T, err error) {
			if te := asError[*auth.TokenError](t, err); te.StatusCode != 401 || te.Retryable() {
				t.Errorf("error %+v", te)
			}
			for _, hint := range []string{"refresh_token", "access_token"} {
				if !strings.Contains(err.Error(), "revocation of "+hint) {
					t.Errorf("error %q does not say which failed", err)
				}
			}
		}},
		"redirected": {authtest.Redirect("https://evil.example.com/"), nil, func(t *testing.T, err error) {
			if te := asError[*auth.TokenError](t, err); te.StatusCode != 307 {
				t.Errorf("error %+v", te)
			}
		}},
		"no endpoint": {authtest.Fault{}, func(c *auth.Config) { c.Server.RevocationEndpoint = "" }, func(t *testing.T, err error) {
			if err == nil || !strings.Contains(err.Error(), "no revocation endpoint") {
				t.Errorf("error %v", err)
			}
		}},
		"no client": {authtest.Fault{}, func(c *auth.Config) { c.Client = auth.Client{} }, func(t *testing.T, err error) {
			asError[*auth.ConfigError](t, err)
		}},
		"no metadata": {authtest.Fault{}, func(c *auth.Config) { c.Server = &auth.Server{Issuer: c.Server.Issuer + "/other"} }, func(t *testing.T, err error) {
			if asError[*discovery.Error](t, err); !errors.Is(err, discovery.ErrNotFound) {
				t.Errorf("error %v", err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				cfg := k.config()
				if tt.edit != nil {
					tt.edit(&cfg)
				}
				s := new(store)
				cfg.Store = s
				m, _ := k.started(cfg)
				events, stop := m.Subscribe()
				defer stop()
				k.srv.InjectAlways(authtest.RevocationEndpoint, tt.fault)
				err := m.Revoke(t.Context())
				tt.is(t, err)
				if got := wantEvents(t, events, auth.EventForgotten); got[0].Err == nil {
					t.Error("the event does not say that the server was not told")
				}
				if _, err := m.Token(t.Context()); err != auth.ErrNoToken {
					t.Errorf("Token = %v, want ErrNoToken", err)
				}
				if s.deletes != 1 {
					t.Errorf("%d deletions in the store, want 1", s.deletes)
				}
			})
		})
	}

	t.Run("store", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			s := new(undeletable)
			cfg := k.config()
			cfg.Store = s
			m, tok := k.started(cfg)
			s.fail(nil, nil, errors.New("locked"))
			err := m.Revoke(t.Context())
			ops := make(map[string]bool)
			for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
				if j, ok := e.(interface{ Unwrap() []error }); ok {
					for _, e := range j.Unwrap() {
						ops[asError[*auth.StoreError](t, e).Op] = true
					}
					continue
				}
				ops[asError[*auth.StoreError](t, e).Op] = true
			}
			if !ops["lock"] || !ops["delete"] {
				t.Errorf("error %v, want both failures", err)
			}
			if status := k.call(tok); status != 401 {
				t.Errorf("the server answers %d: it was not told", status)
			}
		})
	})

	t.Run("closed", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			m, _ := k.started(k.config())
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			if err := m.Revoke(t.Context()); err != auth.ErrClosed {
				t.Errorf("Revoke = %v, want ErrClosed", err)
			}
		})
	})
}

// undeletable is a store that deletes nothing.
type undeletable struct{ store }

func (*undeletable) Delete(context.Context, auth.Key, uint64) error { return errors.New("read-only") }

// A refresh that waits while the token is revoked does not bring it back.
func TestRevokeDuringARefresh(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, _ := k.started(k.config())
		k.srv.Inject(authtest.TokenEndpoint, authtest.Delay(time.Second))
		k.srv.Inject(authtest.RevocationEndpoint, authtest.Delay(time.Second))
		together(2, func(i int) {
			if i == 0 {
				// The refresh ends first. Whether its caller looks before the token
				// is gone again is a matter of scheduling.
				if _, err := m.Refresh(t.Context()); err != nil && err != auth.ErrNoToken {
					t.Errorf("Refresh: %v", err)
				}
				return
			}
			time.Sleep(time.Second / 2)
			if err := m.Revoke(t.Context()); err != nil { // waits for the refresh, and revokes what it got
				t.Errorf("Revoke: %v", err)
			}
		})
		if _, err := m.Token(t.Context()); err != auth.ErrNoToken {
			t.Errorf("Token = %v, want ErrNoToken", err)
		}
		for token, uses := range k.srv.RefreshTokenUses() {
			if uses > 1 {
				t.Errorf("refresh token %s was used %d times", token, uses)
			}
		}
	})
}

// Revoke and a login that has its token already, and waits for the store to put
// it there: whichever comes first, nobody is logged in afterwards, here, in the
// store or at the server.
func TestRevokeMeetsALogin(t *testing.T) {
	for range 50 {
		bubble(t, func(t *testing.T) {
			k, s := newKit(t, authtest.Config{}, authtest.Protection{}), new(store)
			cfg := k.onDemand()
			cfg.Store, cfg.Grant = s, k.login()
			m := k.manager(cfg)
			unlock, err := s.MemoryStore.Lock(t.Context(), k.storeKey())
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_, _ = m.Resolve(t.Context(), nil, auth.Challenge{Status: 401})
			}()
			synctest.Wait()
			if n := k.srv.Counts(); n.Token != 1 {
				t.Fatalf("%d token requests, want the login's", n.Token)
			}
			time.AfterFunc(time.Second, unlock)
			if err := m.Revoke(t.Context()); err != nil {
				t.Error(err)
			}
			<-ended
			if _, err := m.Token(t.Context()); !errors.Is(err, auth.ErrNoToken) {
				t.Errorf("Token: %v", err)
			}
			if rec, err := s.Load(t.Context(), k.storeKey()); !errors.Is(err, auth.ErrNotFound) {
				t.Errorf("stored %v, %v", rec, err)
			}
			if n := k.srv.Counts(); n.Revoke == 0 {
				t.Error("the token lives on at the server")
			}
		})
	}
}
