package authtest_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// Who forgets to give the in-memory client to a manager hears it at once.
func TestForgottenHTTPClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := authtest.NewServerConfig(t, authtest.Config{InMemory: true})
		url := srv.Protect(http.NotFoundHandler(), authtest.Protection{}).URL
		says := func(err error) {
			t.Helper()
			var config *auth.ConfigError
			if !errors.As(err, &config) || config.Field != "Config.HTTPClient" || !strings.Contains(err.Error(), "Client()") {
				t.Errorf("%v, want a *ConfigError that says what to set", err)
			}
		}
		_, err := auth.NewManager(auth.Config{Resource: url})
		says(err)
		pool, err := auth.NewPool(auth.PoolConfig{Config: func(string, string) (*auth.Config, error) { return &auth.Config{}, nil }})
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		_, err = pool.Source("ada", url).Token(t.Context())
		says(err)

		m, err := auth.NewManager(auth.Config{Resource: url, HTTPClient: srv.Client()})
		if err != nil {
			t.Fatal(err)
		}
		_ = m.Close()
	})
}

// On the loopback interface there is nothing to forget.
func TestNothingToForget(t *testing.T) {
	srv := authtest.NewServer(t)
	m, err := auth.NewManager(auth.Config{Resource: srv.Protect(http.NotFoundHandler(), authtest.Protection{}).URL})
	if err != nil {
		t.Fatal(err)
	}
	_ = m.Close()
}
