package authtest_test

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtest"
)

// named is a server, and a resource, that have names and places of their own.
func named(t *testing.T, inMemory bool) (*authtest.Server, *authtest.Resource) {
	srv := authtest.NewServerConfig(t, authtest.Config{
		InMemory: inMemory, URL: "https://login.example.com", IssuerPath: "/tenant", MetadataAt: []string{"/tenant/.well-known/openid-configuration"},
		Endpoints: map[authtest.Endpoint]string{
			authtest.TokenEndpoint: "https://tokens.example.com/v1/token", authtest.AuthorizeEndpoint: "/v1/authorize",
			authtest.RevocationEndpoint: "https://tokens.example.com/v1/token",
		},
	})
	srv.AddClient(clientID, "", callback)
	return srv, srv.Protect(ok, authtest.Protection{URL: "https://mcp.example.com"})
}

// A whole flow under real names, with endpoints at a host of their own.
func TestNames(t *testing.T) {
	onBothNetworks(t, func(t *testing.T, inMemory bool) {
		srv, res := named(t, inMemory)
		if srv.Issuer != "https://login.example.com/tenant" || res.URL != "https://mcp.example.com/mcp" {
			t.Fatalf("issuer %s, resource %s", srv.Issuer, res.URL)
		}
		meta := get(t, srv, srv.Endpoint(authtest.MetadataEndpoint))
		if meta.text("issuer") != srv.Issuer || meta.text("authorization_endpoint") != "https://login.example.com/v1/authorize" ||
			meta.text("token_endpoint") != "https://tokens.example.com/v1/token" || meta.text("registration_endpoint") != srv.Issuer+"/register" {
			t.Fatalf("metadata: %s", meta.body)
		}
		back := approve(t, srv, authorizationURL(srv, "resource", res.URL))
		tok := post(t, srv, authtest.TokenEndpoint, codeForm(back.Get("code"), "resource", res.URL))
		if r := call(t, srv, res.URL, tok.text("access_token"), "{}"); r.status != 200 {
			t.Errorf("a call with the token: %d %s", r.status, tok.body)
		}
		// The revocation endpoint is the token endpoint.
		if r := post(t, srv, authtest.RevocationEndpoint, form("client_id", clientID, "token", tok.text("refresh_token"))); r.status != 200 {
			t.Errorf("revocation: %d %s", r.status, r.body)
		}
		if r := call(t, srv, res.URL, tok.text("access_token"), "{}"); r.status != 401 {
			t.Errorf("a call with the revoked token: %d", r.status)
		}
		for _, nothing := range []string{
			"https://login.example.com/.well-known/oauth-authorization-server/tenant", srv.Issuer + "/token", "https://tokens.example.com/v1/authorize",
			"https://tokens.example.com/tenant/.well-known/openid-configuration", "https://mcp.example.com/v1/token",
		} {
			if r := get(t, srv, nothing); r.status != 404 {
				t.Errorf("%s: %d, want 404", nothing, r.status)
			}
		}
	})
}

// An outage hits all names of a server, and no other's.
func TestDownByName(t *testing.T) {
	srv, res := named(t, true)
	srv.Down(time.Hour)
	for _, target := range []string{srv.Endpoint(authtest.MetadataEndpoint), srv.Endpoint(authtest.TokenEndpoint)} {
		if _, err := do(t, srv, request(t, "GET", target, "")); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: %v, want connection refused", target, err)
		}
	}
	if r := get(t, srv, res.MetadataURL); r.status != 200 {
		t.Errorf("the resource: %d", r.status)
	}
	srv.Down(0)
	if r := get(t, srv, srv.Endpoint(authtest.MetadataEndpoint)); r.status != 200 {
		t.Errorf("after the outage: %d", r.status)
	}
}

// A host that is not the kit's is spoken to with TLS as always.
func TestOtherHostsHaveTLS(t *testing.T) {
	srv, _ := named(t, false)
	other := httptest.NewUnstartedServer(ok)
	other.Config.ErrorLog = log.New(io.Discard, "", 0)
	other.StartTLS()
	defer other.Close()
	if _, err := do(t, srv, request(t, "GET", other.URL, "")); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("%v, want that the certificate is not trusted", err)
	}
}

func TestPlacesThatCannotBe(t *testing.T) {
	for name, test := range map[string]struct {
		cfg  authtest.Config
		want string
	}{
		"a path":       {authtest.Config{URL: "https://login.example.com/tenant"}, "Config.URL"},
		"no scheme":    {authtest.Config{URL: "login.example.com"}, "Config.URL"},
		"metadata":     {authtest.Config{MetadataAt: []string{"openid-configuration"}}, "Config.MetadataAt"},
		"no URL":       {authtest.Config{Endpoints: map[authtest.Endpoint]string{authtest.TokenEndpoint: "token"}}, "Config.Endpoints"},
		"a resource's": {authtest.Config{Endpoints: map[authtest.Endpoint]string{authtest.ResourceEndpoint: "/mcp"}}, "Config.Endpoints"},
		"the metadata": {authtest.Config{Endpoints: map[authtest.Endpoint]string{authtest.MetadataEndpoint: "/metadata"}}, "Config.Endpoints"},
	} {
		t.Run(name, func(t *testing.T) {
			srv, err := authtest.Start(test.cfg)
			if err == nil {
				srv.Close()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Start = %v, want an error that names %s", err, test.want)
			}
		})
	}
}

// What servers do differently about refresh tokens, redirect URIs and resources.
func TestHabits(t *testing.T) {
	login := func(srv *authtest.Server, changes ...string) reply {
		return post(t, srv, authtest.TokenEndpoint, codeForm(approve(t, srv, authorizationURL(srv, changes...)).Get("code")))
	}
	t.Run("Offline", func(t *testing.T) {
		srv := newServer(t, authtest.Config{Offline: func(q url.Values) bool { return q.Get("access_type") == "offline" }})
		if a, b := login(srv).text("refresh_token"), login(srv, "access_type", "offline").text("refresh_token"); a != "" || b == "" {
			t.Errorf("refresh tokens %q and %q, want the second only", a, b)
		}
	})
	t.Run("NoReuseDetection", func(t *testing.T) {
		srv := newServer(t, authtest.Config{NoReuseDetection: true})
		first := login(srv).text("refresh_token")
		seen := []string{first}
		for range 3 {
			r := refresh(t, srv, first)
			if next := r.text("refresh_token"); r.status != 200 || slices.Contains(seen, next) {
				t.Errorf("%d %s, want another refresh token", r.status, r.body)
			} else {
				seen = append(seen, next)
			}
		}
	})
	t.Run("ExactRedirectURIs", func(t *testing.T) {
		srv := newServer(t, authtest.Config{ExactRedirectURIs: true})
		other := authorizationURL(srv, "redirect_uri", "http://127.0.0.1:7778/callback")
		if r := get(t, srv, other); r.status != 400 {
			t.Errorf("another port: %d", r.status)
		}
		login(srv)
	})
	t.Run("ResourceParameter", func(t *testing.T) {
		for name, want := range map[string]authtest.Verdict{"audience": authtest.Accepted, "resource": authtest.WrongResource} {
			srv := newServer(t, authtest.Config{ResourceParameter: "audience"})
			res := srv.Protect(ok, authtest.Protection{})
			call(t, srv, res.URL, login(srv, name, res.URL).text("access_token"), "{}")
			if got := res.Seen()[0].Verdict; got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
		srv := newServer(t, authtest.Config{ResourceParameter: "none"})
		res := srv.Protect(ok, authtest.Protection{AllowUnbound: true})
		if r := call(t, srv, res.URL, login(srv, "resource", "https://elsewhere.example").text("access_token"), "{}"); r.status != 200 {
			t.Errorf("none: %d", r.status)
		}
	})
	t.Run("Refuse with a description", func(t *testing.T) {
		srv := newServer(t, authtest.Config{Refuse: func(authtest.Endpoint, url.Values) string { return "invalid_scope: AADSTS70011: no: such scope" }})
		if q := approve(t, srv, authorizationURL(srv)); q.Get("error") != "invalid_scope" || q.Get("error_description") != "AADSTS70011: no: such scope" {
			t.Errorf("%v", q)
		}
	})
}

// An answer is rewritten as a whole: status, header, members, body, of any endpoint.
func TestRewrite(t *testing.T) {
	srv := newServer(t, authtest.Config{Rewrite: func(e authtest.Endpoint, r *http.Request, a *authtest.Reply) {
		switch {
		case e == authtest.MetadataEndpoint:
			a.Document["issuer"] = "https://else.example"
		case e == authtest.AuthorizeEndpoint:
			a.Header.Set("Location", a.Header.Get("Location")+"&more=1")
		case r.PostForm.Get("grant_type") == "refresh_token":
			a.Status, a.Document = http.StatusOK, map[string]any{"ok": false, "error": a.Document["error"]}
		case e == authtest.TokenEndpoint:
			a.Body = []byte("access_token=x")
		}
	}})
	if got := get(t, srv, srv.Endpoint(authtest.MetadataEndpoint)).text("issuer"); got != "https://else.example" {
		t.Errorf("issuer %q", got)
	}
	back := approve(t, srv, authorizationURL(srv))
	if back.Get("more") != "1" {
		t.Errorf("the redirect: %v", back)
	}
	if r := post(t, srv, authtest.TokenEndpoint, codeForm(back.Get("code"))); r.body != "access_token=x" {
		t.Errorf("the token: %s", r.body)
	}
	if r := refresh(t, srv, "nonsense"); r.status != 200 || r.body != `{"error":"invalid_grant","ok":false}` {
		t.Errorf("the refusal: %d %s", r.status, r.body)
	}
}

// Profiles start, each on its own, and have what their tests rely on.
func TestProfiles(t *testing.T) {
	var names []string
	for _, p := range authtest.Profiles() {
		names = append(names, strings.ToLower(p.Name))
		t.Run(p.Name, func(t *testing.T) {
			p.Server.InMemory = true
			srv, res := authtest.NewProfile(t, p, ok)
			meta := get(t, srv, srv.Endpoint(authtest.MetadataEndpoint))
			if meta.text("token_endpoint") != srv.Endpoint(authtest.TokenEndpoint) || meta.text("issuer") == "" {
				t.Errorf("metadata: %s", meta.body)
			}
			if r := call(t, srv, res.URL, "", "{}"); r.status != 401 {
				t.Errorf("a call without a token: %d", r.status)
			}
		})
	}
	if len(names) < 12 || !slices.IsSorted(names) {
		t.Errorf("the profiles: %q", names)
	}
}
