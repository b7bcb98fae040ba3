package browser

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/internal/dnstest"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

const nowhere = "http://127.0.0.1:33418/callback"

func TestHeadlessRedirectURI(t *testing.T) {
	for name, tc := range map[string]struct {
		h         Headless
		preferred []string
		want      string // empty: an error
	}{
		"default":            {Headless{}, nil, nowhere},
		"preferred":          {Headless{}, []string{"https://a.example/x", "https://b.example"}, "https://a.example/x"},
		"preferred, useless": {Headless{}, []string{"/cb", "", "urn:x"}, nowhere},
		"set":                {Headless{RedirectURI: "com.example:/cb"}, []string{"https://a.example/x"}, "com.example:/cb"},
		"relative":           {Headless{RedirectURI: "/cb"}, nil, ""},
		"fragment":           {Headless{RedirectURI: nowhere + "#x"}, nil, ""},
		"opaque":             {Headless{RedirectURI: "urn:ietf:wg:oauth:2.0:oob"}, nil, ""},
		"no URI":             {Headless{RedirectURI: "http://[::"}, nil, ""},
		"negative redirects": {Headless{MaxRedirects: -1}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := tc.h.Start(t.Context(), tc.preferred)
			if tc.want == "" {
				var config *auth.ConfigError
				if !errors.As(err, &config) {
					t.Errorf("error = %v, want a ConfigError", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Finish(nil)
			if got := s.RedirectURI(); got != tc.want {
				t.Errorf("RedirectURI = %q, want %q", got, tc.want)
			}
		})
	}
}

func TestHeadlessVisit(t *testing.T) {
	for name, tc := range map[string]struct {
		handle func(w http.ResponseWriter, r *http.Request)
		code   string // expected, if errHas is empty
		errIs  error
		errHas string
	}{
		"at once": {
			handle: func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, nowhere+"?code=one&state=st", http.StatusFound)
			}, code: "one"},
		"by way of a login page with a cookie": {
			handle: func(w http.ResponseWriter, r *http.Request) {
				_, err := r.Cookie("sid")
				switch {
				case r.URL.Path == "/login":
					http.SetCookie(w, &http.Cookie{Name: "sid", Value: "1", Path: "/"})
					http.Redirect(w, r, "/done", http.StatusSeeOther)
				case r.URL.Path == "/done" && err == nil:
					http.Redirect(w, r, nowhere+"?code=two&state=st", http.StatusTemporaryRedirect)
				default:
					http.Redirect(w, r, "/login#top", http.StatusFound)
				}
			}, code: "two"},
		"refused": {
			handle: func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, nowhere+"?code=&error=access_denied&state=st", http.StatusFound)
			}},
		"page": {
			handle: func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "<form>log in: secret-text") },
			errIs:  ErrPageShown, errHas: "browser.Loopback"},
		"error status": {
			handle: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "secret-text", http.StatusForbidden) },
			errHas: "403"},
		"wrong state": {
			handle: func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, nowhere+"?code=secret-text&state=other", http.StatusFound)
			}, errHas: "state"},
		"two states": {
			handle: func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, nowhere+"?code=x&state=st&state=st", http.StatusFound)
			}, errHas: "state"},
		"odd query": {
			handle: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", nowhere+"?x=%zz;&code=three&state=st#_=_")
				w.WriteHeader(http.StatusFound)
			}, code: "three"},
		"two codes": {
			handle: func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, nowhere+"?code=secret-text&code=x&state=st", http.StatusFound)
			}, errHas: `"code" more than once`},
		"no location": {
			handle: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusFound) },
			errHas: "Location"},
		"loop": {
			handle: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusFound) },
			errHas: "10 redirects"},
		"to plain http": {
			handle: func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://as.example/secret-text", http.StatusFound)
			}, errHas: "redirect of the authorization server"},
		"cut": {
			handle: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			errHas: "connection closed"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "" || r.Header.Get("Referer") != "" {
					t.Errorf("sent %v", r.Header)
				}
				tc.handle(w, r)
			}))
			defer srv.Close()
			s, err := Headless{Client: srv.Client()}.Start(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Finish(nil)
			query, err := s.Visit(t.Context(), srv.URL+"/authorize?state=st", "st")
			if tc.errHas == "" {
				if err != nil || query.Get("code") != tc.code || query.Get("state") != "st" {
					t.Fatalf("Visit = %v, %v; want code %q", query, err, tc.code)
				}
				return
			}
			if err == nil {
				t.Fatalf("Visit = %v, want an error", query)
			}
			if tc.errIs != nil && !errors.Is(err, tc.errIs) {
				t.Errorf("error = %v, want %v", err, tc.errIs)
			}
			wantSafe(t, err)
			wantIn(t, err.Error(), tc.errHas)
			wantNotIn(t, err.Error(), "secret-text", "state=st")
		})
	}
}

// redirectTo answers every request without a network.
type redirectTo string

func (to redirectTo) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusFound, Header: http.Header{"Location": {string(to)}}, Body: http.NoBody, Request: r}, nil
}

// A server elsewhere must not make this machine send requests to itself.
func TestHeadlessKeepsRemoteServersOffLoopback(t *testing.T) {
	for _, target := range []string{"http://127.0.0.1:8080/admin", "http://localhost/", "https://[::1]/", nowhere + "/x"} {
		s, err := Headless{Client: &http.Client{Transport: redirectTo(target)}}.Start(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Visit(t.Context(), authorizeURL, "st")
		if err == nil || !strings.Contains(err.Error(), "loopback") {
			t.Errorf("redirect to %s: %v, want a refusal", target, err)
		}
	}
}

func TestHeadlessVisitRefuses(t *testing.T) {
	s, err := Headless{}.Start(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Visit(t.Context(), authorizeURL, ""); err == nil {
		t.Error("no state: no error")
	}
	if _, err := s.Visit(t.Context(), "http://as.example/", "st"); err == nil {
		t.Error("plain http: no error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Visit(ctx, "http://127.0.0.1:1/", "st"); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func guardFor(home *httpx.Home) func(*http.Client) *http.Client {
	return func(c *http.Client) *http.Client { return httpx.NewGuard(nil).Client(home, c) }
}

// A public server leads to nothing that only this machine can reach, whatever
// name it uses; one that is in a private network itself may.
func TestHeadlessKeepsToPublicAddresses(t *testing.T) {
	reached := make(chan struct{}, 4)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			reached <- struct{}{}
		}
	}
	srv.StartTLS()
	defer srv.Close()
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	here := "https://as.test:" + port + "/authorize"
	dnstest.Serve(t, map[string][]string{"mcp.test": {"8.8.8.8"}, "as.test": {"127.0.0.1"}})
	visit := func(ctx context.Context) error {
		s, err := Headless{}.Start(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Finish(nil)
		_, err = s.Visit(ctx, here, "st")
		return err
	}
	// As under a manager.
	home := httpx.NewHome("https://mcp.test/mcp")
	err = visit(httpx.WithGuard(t.Context(), guardFor(home), nil))
	if !errors.Is(err, httpx.ErrPrivateAddress) || len(reached) != 0 {
		t.Errorf("Visit = %v, want ErrPrivateAddress and no connection (%d)", err, len(reached))
	} else {
		wantSafe(t, err)
		wantIn(t, err.Error(), "Config.Network.Private")
	}
	// The resource is here as well: nothing is guarded.
	home = httpx.NewHome("https://localhost/mcp")
	err = visit(httpx.WithGuard(t.Context(), guardFor(home), nil))
	if err == nil || errors.Is(err, httpx.ErrPrivateAddress) || len(reached) == 0 {
		t.Errorf("Visit = %v, want an error of TLS", err)
	}
}
