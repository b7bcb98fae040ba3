package transport_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/transport"
)

// A CA, a proxy or a network in memory is set in one place.
func TestBaseIsTheManagers(t *testing.T) {
	srv := authtest.NewServerConfig(t, authtest.Config{InMemory: true}) // only its own client gets there
	res := srv.Protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }), authtest.Protection{})
	cfg := auth.Config{Resource: res.URL, HTTPClient: srv.Client(), Grant: grant.AuthorizationCode{UserAgent: browser.Headless{Client: srv.Client()}}}
	m, err := auth.NewManager(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	pool, err := auth.NewPool(auth.PoolConfig{Config: func(string, string) (*auth.Config, error) { return &cfg, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pool.Close() }()
	for name, source := range map[string]auth.Source{"a manager": m, "a pool": pool.Source("somebody", res.URL)} {
		t.Run(name, func(t *testing.T) {
			resp, err := (&http.Client{Transport: &transport.RoundTripper{Source: source}}).Get(res.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			if body, _ := io.ReadAll(resp.Body); string(body) != "hello" {
				t.Errorf("answer %d %q", resp.StatusCode, body)
			}
			elsewhere := &transport.RoundTripper{Source: source, Base: http.DefaultTransport}
			if resp, err := (&http.Client{Transport: elsewhere}).Get(res.URL); err == nil {
				_ = resp.Body.Close()
				t.Error("Base was not used")
			}
		})
	}
}
