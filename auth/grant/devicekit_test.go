package grant_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// The whole way at a server that wants the pauses of RFC 8628 section 3.5.
func TestDeviceCodeAtTheKit(t *testing.T) {
	for name, decide := range map[string]func(*authtest.Server, string) error{
		"approved": (*authtest.Server).ApproveDevice,
		"denied":   (*authtest.Server).DenyDevice,
		"expired":  func(*authtest.Server, string) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := authtest.NewServerConfig(t, authtest.Config{InMemory: true, DeviceCodeTTL: time.Minute})
				res := srv.Protect(http.NotFoundHandler(), authtest.Protection{Scopes: []string{"read"}})
				srv.AddClient("shell", "")
				m := start(t, auth.Config{
					Resource: res.URL, HTTPClient: srv.Client(), Client: auth.Client{ID: "shell"}, Server: &auth.Server{Issuer: srv.Issuer},
					Grant: grant.DeviceCode{Prompt: func(_ context.Context, p grant.DevicePrompt) error {
						time.AfterFunc(12*time.Second, func() {
							if err := decide(srv, p.UserCode); err != nil {
								t.Error(err)
							}
						})
						return nil
					}},
				})
				tok, err := m.Authorize(t.Context())
				if name == "approved" {
					if info, _ := srv.Inspect(tok.AccessToken); err != nil || info.Resource != res.URL || info.ClientID != "shell" {
						t.Errorf("Authorize: %v, a token of %+v", err, info)
					}
				} else if err == nil {
					t.Errorf("Authorize: %v", tok)
				}
				if c := srv.Counts(); c.Device != 1 || c.Token < 3 {
					t.Errorf("%d device and %d token requests", c.Device, c.Token)
				}
			})
		})
	}
}
