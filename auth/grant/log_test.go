package grant_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// An operator reads in the log which server it is about and why a login failed.
func TestLogSaysWhyALoginFailed(t *testing.T) {
	srv := authtest.NewServer(t)
	url := srv.Protect(http.NotFoundHandler(), authtest.Protection{}).URL
	authorize := func(agent auth.UserAgent) []string {
		var log bytes.Buffer
		m, err := auth.NewManager(auth.Config{
			Resource: url, Grant: grant.AuthorizationCode{UserAgent: agent},
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = m.Authorize(t.Context())
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSpace(log.String()), "\n")
	}

	failed := authorize(browser.Loopback{NoTerminal: true, Open: func(string) error { return errors.New("no display") }})
	if last := failed[len(failed)-1]; !strings.Contains(last, "authorization failed") || !strings.Contains(last, "no browser could be opened") {
		t.Errorf("the log ends with %s", last)
	}
	srv.Inject(authtest.TokenEndpoint, authtest.Status(http.StatusServiceUnavailable))
	for _, line := range append(failed, authorize(browser.Headless{})...) {
		if !strings.Contains(line, "resource="+url) {
			t.Errorf("no resource in %s", line)
		}
		if !strings.Contains(line, "authorization begins") && !strings.Contains(line, "issuer=") {
			t.Errorf("no issuer in %s", line)
		}
		t.Log(line)
	}
}
