package grant

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
)

// The machine and the server decide which login it is.
func TestAuto(t *testing.T) {
	window := browser.Loopback{NoTerminal: true, Open: func(url string) error {
		go func() {
			if resp, err := http.Get(url); err == nil {
				_ = resp.Body.Close()
			}
		}()
		return nil
	}}
	for name, tt := range map[string]struct {
		browser, terminal bool
		agent             auth.UserAgent
		server            func(*auth.Server)
		device            int // logins by device
	}{
		"a browser":                        {browser: true, agent: window},
		"a terminal":                       {terminal: true, agent: window},
		"neither":                          {agent: window, device: 1},
		"neither, and no agent":            {device: 1},
		"neither, the program has a way":   {agent: browser.Headless{}},
		"neither, the server has no other": {agent: window, server: func(s *auth.Server) { s.DeviceAuthorizationEndpoint = "" }},
		"the server does devices only":     {browser: true, agent: window, server: func(s *auth.Server) { s.AuthorizationEndpoint = "" }, device: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := authtest.NewServerConfig(t, authtest.Config{DeviceInterval: time.Second})
			res := srv.Protect(http.NotFoundHandler(), authtest.Protection{})
			srv.AddClient("shell", "", "http://127.0.0.1/callback")
			server := auth.Server{
				Issuer: srv.Issuer, AuthorizationEndpoint: srv.Endpoint(authtest.AuthorizeEndpoint), TokenEndpoint: srv.Endpoint(authtest.TokenEndpoint),
				DeviceAuthorizationEndpoint: srv.Endpoint(authtest.DeviceEndpoint), AuthorizationResponseIssParameterSupported: true,
			}
			if tt.server != nil {
				tt.server(&server)
			}
			m, err := auth.NewManager(auth.Config{
				Resource: res.URL, Server: &server, Client: auth.Client{ID: "shell"},
				Grant: Auto{
					UserAgent: tt.agent, reachable: func() (bool, bool) { return tt.browser, tt.terminal },
					Prompt: func(_ context.Context, p DevicePrompt) error { return srv.ApproveDevice(p.UserCode) },
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = m.Close() }()
			if _, err := m.Authorize(t.Context()); err != nil {
				t.Fatal(err)
			}
			counts := srv.Counts()
			if got := counts.Device; got != tt.device {
				t.Errorf("%d device requests, want %d", got, tt.device)
			}
			if got := counts.Authorize; got != 1-tt.device {
				t.Errorf("%d logins in a browser, want %d", got, 1-tt.device)
			}
		})
	}
}
