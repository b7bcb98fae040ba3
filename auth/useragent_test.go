package auth_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
)

type eachRequest func(*http.Request) (*http.Response, error)

func (f eachRequest) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Every request says which library it comes from, and Network.Wrap can say
// something else.
func TestUserAgentHeader(t *testing.T) {
	for name, own := range map[string]string{"the library's": "", "the program's": "notes/2.0"} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			seen := map[string]bool{}
			srv := authtest.NewServerConfig(t, authtest.Config{Rewrite: func(e authtest.Endpoint, r *http.Request, _ *authtest.Reply) {
				if e == authtest.AuthorizeEndpoint {
					return // the browser's
				}
				mu.Lock()
				defer mu.Unlock()
				seen[r.URL.Path+" "+r.UserAgent()] = true
			}})
			res := srv.Protect(http.NotFoundHandler(), authtest.Protection{})
			cfg := auth.Config{Resource: res.URL, Grant: grant.AuthorizationCode{UserAgent: browser.Headless{}}}
			if own != "" {
				cfg.Network.Wrap = func(base http.RoundTripper) http.RoundTripper {
					return eachRequest(func(r *http.Request) (*http.Response, error) {
						r = r.Clone(r.Context())
						r.Header.Set("User-Agent", own)
						return base.RoundTrip(r)
					})
				}
			}
			m, err := auth.NewManager(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if _, err := m.Authorize(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := m.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(seen) < 3 {
				t.Errorf("%v: want metadata, registration and token requests", seen)
			}
			for request := range seen {
				_, agent, _ := strings.Cut(request, " ")
				if own == "" && !strings.HasPrefix(agent, "mcptokens/") || own != "" && agent != own {
					t.Errorf("%s", request)
				}
			}
		})
	}
}
