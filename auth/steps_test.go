package auth_test

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/dpop"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// approve visits the URL of a login as a browser of a person who says yes, and
// returns the query that it brings back.
func (k *kit) approve(visit string) url.Values {
	k.t.Helper()
	c := k.srv.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := c.Get(visit)
	if err != nil {
		k.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	to, err := resp.Location()
	if err != nil {
		k.t.Fatalf("HTTP %d: %v", resp.StatusCode, err)
	}
	return to.Query()
}

// twoSteps is a configuration for logins in two steps. Everything is discovered.
func (k *kit) twoSteps() auth.Config {
	return auth.Config{Resource: k.res.URL, HTTPClient: k.srv.Client(), Grant: grant.AuthorizationCode{}, Store: new(auth.MemoryStore), NoIdleRefresh: true}
}

// One process begins a login and another one finishes it. Both use the token then.
func TestLoginInTwoSteps(t *testing.T) {
	for name, cfg := range map[string]authtest.Config{"": {}, "pushed": {RequirePAR: true}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, cfg, authtest.Protection{Scopes: []string{"read"}})
				first, second := k.twoSteps(), k.twoSteps()
				first.DPoP, second.DPoP = dpop.Keys{}, dpop.Keys{}
				second.Store = first.Store
				a, b := k.manager(first), k.manager(second)
				if _, err := a.Token(t.Context()); !errors.Is(err, auth.ErrNoToken) {
					t.Fatal(err)
				}
				visit, kept, err := a.BeginLogin(t.Context(), callback, "", "more")
				if err != nil {
					t.Fatal(err)
				}
				if len(kept) > 1200 {
					t.Errorf("%d bytes have to be kept", len(kept))
				}
				if !cfg.RequirePAR { // what was pushed is good for a minute or so
					time.Sleep(9 * time.Minute)
				}
				answer := k.approve(visit)
				tok, err := b.FinishLogin(t.Context(), kept, answer)
				if err != nil {
					t.Fatal(err)
				}
				if got := strings.Join(tok.Scopes, " "); !strings.Contains(got, "read") && !strings.Contains(got, "more") {
					t.Errorf("scopes %q", got)
				}
				synctest.Wait()
				if got := mustToken(t, a); got.AccessToken != tok.AccessToken {
					t.Error("the process that began has another token")
				}
				if err := b.Revoke(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// What is kept is good for one manager, one client and ten minutes, and the answer
// has to be one to it. Nothing is changed otherwise.
func TestFinishLoginRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		other func(cfg *auth.Config)
		spoil func(kept []byte, answer url.Values) []byte
		wait  time.Duration
		want  error
	}{
		"another subject":  {other: func(cfg *auth.Config) { cfg.Subject = "mallory" }, want: auth.ErrOtherLogin},
		"another resource": {other: func(cfg *auth.Config) { cfg.Resource += "/other" }, want: auth.ErrOtherLogin},
		"another client":   {other: func(cfg *auth.Config) { cfg.Client.ID = clientID }, want: auth.ErrOtherLogin},
		"too late":         {wait: 10 * time.Minute, want: auth.ErrLoginExpired},
		"another state":    {spoil: func(k []byte, a url.Values) []byte { a.Set("state", "forged"); return k }, want: auth.ErrState},
		"no state":         {spoil: func(k []byte, a url.Values) []byte { a.Del("state"); return k }, want: auth.ErrState},
		"another iss":      {spoil: func(k []byte, a url.Values) []byte { a.Set("iss", "https://evil.example"); return k }, want: auth.ErrIssuerParameter},
		"no iss":           {spoil: func(k []byte, a url.Values) []byte { a.Del("iss"); return k }, want: auth.ErrIssuerParameter},
		"no code":          {spoil: func(k []byte, a url.Values) []byte { a.Del("code"); return k }, want: auth.ErrMissingCode},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				cfg := k.twoSteps()
				visit, kept, err := k.manager(cfg).BeginLogin(t.Context(), callback, "")
				if err != nil {
					t.Fatal(err)
				}
				answer := k.approve(visit)
				if tc.other != nil {
					tc.other(&cfg)
				}
				if tc.spoil != nil {
					kept = tc.spoil(kept, answer)
				}
				time.Sleep(tc.wait)
				m := k.manager(cfg)
				events, stop := m.Subscribe()
				defer stop()
				if _, err := m.FinishLogin(t.Context(), kept, answer); !errors.Is(err, tc.want) {
					t.Errorf("got %v, want %v", err, tc.want)
				}
				if e := <-events; e.Type != auth.EventLoginFailed || !errors.Is(e.Err, tc.want) {
					t.Errorf("event %v", e)
				}
				if _, err := m.Token(t.Context()); !errors.Is(err, auth.ErrNoToken) {
					t.Errorf("Token = %v", err)
				}
			})
		})
	}
}

// A server that refuses is quoted, and its code is refused the second time.
func TestFinishLoginIsForOneCode(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m := k.manager(k.twoSteps())
		visit, kept, err := m.BeginLogin(t.Context(), callback, "mine")
		if err != nil {
			t.Fatal(err)
		}
		answer := k.approve(visit)
		if answer.Get("state") != "mine" {
			t.Errorf("state %q", answer.Get("state"))
		}
		if _, err := m.FinishLogin(t.Context(), kept, answer); err != nil {
			t.Fatal(err)
		}
		_, err = m.FinishLogin(t.Context(), kept, answer)
		if e := asError[*auth.TokenError](t, err); e.Code != "invalid_grant" {
			t.Errorf("got %v", err)
		}
		_, _, err = k.manager(k.onDemand()).BeginLogin(t.Context(), callback, "")
		if e := asError[*auth.ConfigError](t, err); e.Field != "Config.Grant" {
			t.Errorf("got %v", err)
		}
	})
}

// A user who writes the answer of a web login leaves everybody's client as it is: the
// next login asks the server itself.
func TestForgedRefusalKeepsTheClient(t *testing.T) {
	for name, document := range map[string]string{"registered": "", "document": "https://client.example.com/oauth/metadata.json"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{ClientIDMetadata: document != ""}, authtest.Protection{})
				cfg := k.twoSteps()
				cfg.ClientMetadataURL = document
				p := k.pool(auth.PoolConfig{Config: always(cfg)})
				var clients []string
				for _, user := range []string{"mallory", "alice", "bob"} {
					if user == "bob" && document == "" {
						k.srv.RemoveClient(clients[0])
					}
					err := p.Source(user, k.res.URL).Use(func(m *auth.Manager) error {
						visit, kept, err := m.BeginLogin(t.Context(), callback, "the-state")
						if err != nil {
							return err
						}
						u, err := url.Parse(visit)
						if err != nil {
							return err
						}
						clients = append(clients, u.Query().Get("client_id"))
						_, err = m.FinishLogin(t.Context(), kept, url.Values{"state": {"the-state"}, "iss": {k.srv.Issuer}, "error": {"unauthorized_client"}})
						if e := asError[*auth.AuthorizationError](t, err); e.Code != "unauthorized_client" {
							t.Error(err)
						}
						return nil
					})
					if err != nil {
						t.Fatal(err)
					}
				}
				if clients[0] != clients[1] || (clients[1] == clients[2]) != (document != "") {
					t.Errorf("logins with the clients %q", clients)
				}
			})
		})
	}
}
