//go:build realservers

package grant_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/internal/realservers"
	"github.com/mcptokens/mcptokens/transport"
)

// These tests run the grants against oidc-provider, see package realservers.

// realUser is a user at a real browser, as auth.UserAgent.
type realUser struct {
	browser.Loopback
	b *realservers.Browser
	// toVisit are the URLs that the library wants opened.
	toVisit chan string
}

func newRealUser(b *realservers.Browser) *realUser {
	u := &realUser{b: b, toVisit: make(chan string, 1)}
	u.Timeout = 30 * time.Second
	u.Open = func(url string) error { u.toVisit <- url; return nil }
	return u
}

// during runs op, which has to ask for a login, and meanwhile does what act says
// with the URL to visit.
func (u *realUser) during(t *testing.T, op func() error, act func(url string)) {
	t.Helper()
	result := make(chan error, 1)
	go func() { result <- op() }()
	select {
	case target := <-u.toVisit:
		act(target)
	case err := <-result:
		t.Fatalf("it ended before a login was asked for: %v", err)
	}
	if err := <-result; err != nil {
		t.Fatal(err)
	}
}

// signIn logs in at oidc-provider's own pages and consents.
func (u *realUser) signIn(target string) {
	u.b.Visit(target)
	u.enterPassword()
	u.b.WaitFor("Authorize")
	u.b.Click("button[type=submit]")
	u.b.WaitFor("Signed in")
}

func (u *realUser) enterPassword() {
	u.b.WaitFor("Sign-in")
	u.b.Fill("input[name=login]", "alice")
	u.b.Fill("input[name=password]", "any")
	u.b.Click("button[type=submit]")
}

func newRealManager(t *testing.T, p *realservers.OIDCProvider, cfg auth.Config) *auth.Manager {
	t.Helper()
	if cfg.Resource == "" {
		cfg.Resource = p.Resource
	}
	cfg.HTTPClient, cfg.Client.Issuer = p.HTTPClient(), p.Issuer
	m, err := auth.NewManager(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// callResource sends a request as a user of the library does, and returns what
// the resource learnt about the token.
func callResource(t *testing.T, p *realservers.OIDCProvider, m *auth.Manager, path string) (in realservers.Introspection, err error) {
	t.Helper()
	client := &http.Client{Transport: &transport.RoundTripper{Source: m, Base: p.HTTPClient().Transport}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.Resource+path, nil)
	if err != nil {
		return in, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return in, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return in, errors.New(resp.Status + " " + resp.Header.Get("WWW-Authenticate"))
	}
	return in, json.NewDecoder(resp.Body).Decode(&in)
}

func mustCall(t *testing.T, p *realservers.OIDCProvider, m *auth.Manager) realservers.Introspection {
	t.Helper()
	in, err := callResource(t, p, m, "")
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// wantEvents compares counts of oidc-provider's events, and makes sure that no
// request went wrong but those that want names, and the first registration: this
// server knows scopes of resources and lets nobody register them, so that the
// client registers once more without.
func wantEvents(t *testing.T, p *realservers.OIDCProvider, want map[string]int) {
	t.Helper()
	got := p.Events()
	for name, n := range want {
		if got[name] != n {
			t.Errorf("%d times %s, want %d", got[name], name, n)
		}
	}
	for name, n := range got {
		if name == "registration_create.error invalid_client_metadata" && n == 1 && got["registration_create.success"] == 1 {
			continue
		}
		if _, expected := want[name]; !expected && strings.Contains(name, "error") {
			t.Errorf("%d times %s", n, name)
		}
	}
}

// awaitEvent waits until something has happened at oidc-provider.
func awaitEvent(t *testing.T, p *realservers.OIDCProvider, name string) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); p.Events()[name] == 0; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("no event %s", name)
		}
	}
}
