package transport_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/transport"
)

// A hundred callers, from nothing to a token, over its expiry and through a
// step-up: one login, one refresh, one login for the scopes; every call gets
// through.
func TestManyCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := authtest.NewServerConfig(t, authtest.Config{InMemory: true})
		res := srv.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			_, _ = w.Write(body)
		}), authtest.Protection{Scopes: []string{"read"}, ToolScopes: map[string][]string{"write": {"write"}}})
		m, err := auth.NewManager(auth.Config{
			Resource: res.URL, HTTPClient: srv.Client(), NoIdleRefresh: true,
			Grant: grant.AuthorizationCode{UserAgent: browser.Headless{Client: srv.Client()}},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		client := &http.Client{Transport: &transport.RoundTripper{Source: m, Base: srv.Transport()}}

		call := func(message string) {
			t.Helper()
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					resp, err := client.Post(res.URL, "application/json", io.NopCloser(strings.NewReader(message))) // no GetBody
					if err != nil {
						t.Errorf("Post: %v", err)
						return
					}
					defer resp.Body.Close()
					if echo, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 || string(echo) != message {
						t.Errorf("got %d %q, %v", resp.StatusCode, echo, err)
					}
				})
			}
			wg.Wait()
		}
		want := func(authorizations, refreshes, registrations int) {
			t.Helper()
			if c := srv.Counts(); c.Authorize != authorizations || c.Refreshes != refreshes || c.Register != registrations {
				t.Fatalf("%d authorizations, %d refreshes, %d registrations, want %d, %d, %d", c.Authorize, c.Refreshes, c.Register, authorizations, refreshes, registrations)
			}
		}
		const (
			read  = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read"}}`
			write = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"write"}}`
		)
		call(read)
		want(1, 0, 1)
		time.Sleep(2 * time.Hour)
		call(read)
		want(1, 1, 1)
		srv.RevokeAccess(mustToken(t, m))
		call(read) // a 401 for a token that looks fresh
		want(1, 2, 1)
		call(write) // refreshed in vain, then authorized, by a client that may have it
		want(2, 3, 2)
		call(read)
		want(2, 3, 2)
		if n := res.Counts().Accepted; n != 500 {
			t.Errorf("%d requests accepted, want 500: one for each call", n)
		}
	})
}

func mustToken(t *testing.T, m *auth.Manager) string {
	t.Helper()
	tok, err := m.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tok.AccessToken
}
