package authtest_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtest"
)

// TestFlow walks the whole way that an MCP client walks: challenge, discovery, registration,
// authorization, token, call, refresh, revocation.
func TestFlow(t *testing.T) {
	onBothNetworks(t, func(t *testing.T, inMemory bool) {
		srv := authtest.NewServerConfig(t, authtest.Config{InMemory: inMemory, IssuerPath: "/tenant1"})
		res := srv.Protect(ok, authtest.Protection{Scopes: []string{"read"}})

		r := call(t, srv, res.URL, "", "{}")
		want := `Bearer scope="read", resource_metadata="` + res.MetadataURL + `"`
		if got := r.header.Get("WWW-Authenticate"); r.status != 401 || got != want {
			t.Fatalf("status %d, challenge %q, want 401 and %q", r.status, got, want)
		}
		prm := get(t, srv, res.MetadataURL)
		issuers, _ := prm.json["authorization_servers"].([]any)
		if prm.text("resource") != res.URL || len(issuers) != 1 || issuers[0] != srv.Issuer {
			t.Fatalf("protected resource metadata: %s", prm.body)
		}
		meta := get(t, srv, srv.Endpoint(authtest.MetadataEndpoint))
		if meta.text("issuer") != srv.Issuer {
			t.Fatalf("metadata: %s", meta.body)
		}
		reg := must(t, srv, request(t, http.MethodPost, meta.text("registration_endpoint"), `{"redirect_uris":["http://127.0.0.1/callback"],
			"grant_types":["authorization_code","refresh_token"],"token_endpoint_auth_method":"none","application_type":"native"}`))
		id := reg.text("client_id")
		if reg.status != 201 || id == "" {
			t.Fatalf("registration: %d %s", reg.status, reg.body)
		}
		back := approve(t, srv, strings.Replace(authorizationURL(srv, "client_id", id, "resource", res.URL, "scope", "read"),
			srv.Endpoint(authtest.AuthorizeEndpoint), meta.text("authorization_endpoint"), 1))
		if back.Get("state") != "xyz" || back.Get("iss") != srv.Issuer {
			t.Fatalf("authorization response: %v", back)
		}
		tok := must(t, srv, formRequest(t, meta.text("token_endpoint"), codeForm(back.Get("code"), "client_id", id, "resource", res.URL)))
		if tok.text("token_type") != "Bearer" || tok.json["expires_in"] != 3600.0 || tok.text("scope") != "read" {
			t.Fatalf("token response: %s", tok.body)
		}
		if r := call(t, srv, res.URL, tok.text("access_token"), "{}"); r.status != 200 {
			t.Fatalf("call with the token: %d", r.status)
		}
		tok2 := must(t, srv, formRequest(t, meta.text("token_endpoint"), form("grant_type", "refresh_token", "client_id", id, "refresh_token", tok.text("refresh_token"))))
		if tok2.text("refresh_token") == "" || tok2.text("refresh_token") == tok.text("refresh_token") {
			t.Fatalf("refresh response: %s", tok2.body)
		}
		if r := must(t, srv, formRequest(t, meta.text("revocation_endpoint"), form("client_id", id, "token", tok2.text("refresh_token")))); r.status != 200 {
			t.Fatalf("revocation: %d %s", r.status, r.body)
		}
		if r := call(t, srv, res.URL, tok2.text("access_token"), "{}"); r.status != 401 {
			t.Fatalf("call after revocation: %d", r.status)
		}

		c := srv.Counts()
		if c.Authorize != 1 || c.Token != 2 || c.Refreshes != 1 || c.TokenByGrant["authorization_code"] != 1 || c.Register != 1 ||
			c.Revoke != 1 || c.Metadata != 1 || c.ResourceMetadata != 1 || c.RotationsIssued != 1 || c.Faults != 0 {
			t.Errorf("counts: %+v", c)
		}
		if c := res.Counts(); c != (authtest.ResourceCounts{Requests: 3, Accepted: 1, Unauthorized: 2}) {
			t.Errorf("resource counts: %+v", c)
		}
	})
}

// TestFakeTime is the promise of Config.InMemory: real HTTP in a synctest bubble.
func TestFakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(t, authtest.Config{})
		res := srv.Protect(ok, authtest.Protection{})
		pair := srv.IssueToken([]string{"read"}, res.URL)
		start := time.Now()
		if r := call(t, srv, res.URL, pair.AccessToken, "{}"); r.status != 200 {
			t.Fatalf("fresh token: %d", r.status)
		}
		time.Sleep(time.Hour - time.Second)
		if r := call(t, srv, res.URL, pair.AccessToken, "{}"); r.status != 200 {
			t.Fatalf("a second before expiry: %d", r.status)
		}
		time.Sleep(time.Second)
		if r := call(t, srv, res.URL, pair.AccessToken, "{}"); r.status != 401 {
			t.Fatalf("at expiry: %d", r.status)
		}
		if got := time.Since(start); got != time.Hour {
			t.Errorf("an hour took %s of fake time", got)
		}
		if !pair.Expiry.Equal(start.Add(time.Hour)) {
			t.Errorf("expiry %s, want an hour after %s", pair.Expiry, start)
		}
		seen := res.Seen()
		if last := seen[len(seen)-1]; last.Verdict != authtest.Expired || last.Token != pair.AccessToken {
			t.Errorf("last seen: %+v", last)
		}
		r := refresh(t, srv, pair.RefreshToken)
		if r := call(t, srv, res.URL, r.text("access_token"), "{}"); r.status != 200 {
			t.Fatalf("after a refresh: %d", r.status)
		}
	})
}

func TestMetadataForms(t *testing.T) {
	tests := []struct {
		name, path string
		status     map[string]int // by path
	}{
		{"root issuer", "", map[string]int{
			"/.well-known/oauth-authorization-server": 200, "/.well-known/openid-configuration": 200, "/elsewhere": 404,
		}},
		{"issuer with a path", "/a/b", map[string]int{
			"/.well-known/oauth-authorization-server/a/b": 200, "/.well-known/openid-configuration/a/b": 200,
			"/a/b/.well-known/openid-configuration": 200, "/.well-known/oauth-authorization-server": 404, "/token": 404,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := newServer(t, authtest.Config{IssuerPath: tt.path})
			for path, want := range tt.status {
				r := get(t, srv, srv.URL+path)
				if r.status != want || want == 200 && r.text("issuer") != srv.URL+tt.path {
					t.Errorf("%s: %d %s, want %d", path, r.status, r.body, want)
				}
			}
		})
	}
}

func TestMetadataContent(t *testing.T) {
	const (
		iss  = "authorization_response_iss_parameter_supported"
		cimd = "client_id_metadata_document_supported"
	)
	tests := []struct {
		name    string
		cfg     authtest.Config
		present []string
		absent  []string
	}{
		{"defaults", authtest.Config{}, []string{iss, "registration_endpoint", "code_challenge_methods_supported"}, []string{cimd, "scopes_supported"}},
		{"switched", authtest.Config{NoIssParameter: true, NoRegistration: true, ClientIDMetadata: true, ScopesSupported: []string{"read"}},
			[]string{cimd, "scopes_supported"}, []string{iss, "registration_endpoint"}},
		{"hook", authtest.Config{Metadata: func(doc map[string]any) { delete(doc, "code_challenge_methods_supported"); doc["extra"] = 1 }},
			[]string{"extra"}, []string{"code_challenge_methods_supported"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := newServer(t, tt.cfg)
			r := get(t, srv, srv.Endpoint(authtest.MetadataEndpoint))
			for _, name := range tt.present {
				if _, found := r.json[name]; !found {
					t.Errorf("%s is missing in %s", name, r.body)
				}
			}
			for _, name := range tt.absent {
				if _, found := r.json[name]; found {
					t.Errorf("%s should not be in %s", name, r.body)
				}
			}
		})
	}
}

func TestConfigErrors(t *testing.T) {
	tests := []struct {
		field string
		cfg   authtest.Config
	}{
		{"AccessTokenTTL", authtest.Config{AccessTokenTTL: -1}},
		{"RotationGrace", authtest.Config{RotationGrace: -1}},
		{"RefreshScopePolicy", authtest.Config{RefreshScopePolicy: 7}},
		{"IssuerPath", authtest.Config{IssuerPath: "tenant"}},
		{"IssuerPath", authtest.Config{IssuerPath: "/tenant/"}},
		{"IssuerPath", authtest.Config{IssuerPath: "/tenant?x"}},
		{"TokenEndpointAuthMethods", authtest.Config{TokenEndpointAuthMethods: []string{"tls_client_auth"}}},
	}
	for _, tt := range tests {
		t.Run(tt.field, func(t *testing.T) {
			srv, err := authtest.Start(tt.cfg)
			if err == nil {
				srv.Close()
				t.Fatalf("%+v was accepted", tt.cfg)
			}
			if !strings.Contains(err.Error(), "Config."+tt.field) {
				t.Errorf("%q does not name the field", err)
			}
			fake := &fakeTB{}
			if authtest.NewServerConfig(fake, tt.cfg) != nil || !fake.failed {
				t.Error("NewServerConfig did not fail the test")
			}
		})
	}
}

// fakeTB is a test whose Fatalf returns.
type fakeTB struct {
	failed   bool
	cleanups []func()
}

func (f *fakeTB) Helper()               {}
func (f *fakeTB) Fatalf(string, ...any) { f.failed = true }
func (f *fakeTB) Cleanup(fn func())     { f.cleanups = append(f.cleanups, fn) }

func TestStartAndClose(t *testing.T) {
	srv, err := authtest.Start(authtest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if r := get(t, srv, srv.URL+"/.well-known/oauth-authorization-server"); r.status != 200 {
		t.Errorf("status %d", r.status)
	}
	srv.Close()
	srv.Close()
	if _, err := do(t, srv, request(t, http.MethodGet, srv.URL, "")); err == nil {
		t.Error("a closed server answered")
	}
}

// TestCloseWhileDelayed shows that Close waits for no delay and leaves nothing behind.
func TestCloseWhileDelayed(t *testing.T) {
	for _, f := range []authtest.Fault{authtest.Delay(time.Hour), authtest.DelayAfter(time.Hour)} {
		t.Run(f.String(), func(t *testing.T) {
			onBothNetworks(t, func(t *testing.T, inMemory bool) {
				srv, err := authtest.Start(authtest.Config{InMemory: inMemory})
				if err != nil {
					t.Fatal(err)
				}
				arrived := make(chan struct{})
				res := srv.Protect(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					close(arrived)
					<-r.Context().Done()
				}), authtest.Protection{})
				pair := srv.IssueToken(nil, res.URL)
				srv.Inject(authtest.TokenEndpoint, f)
				failed := make(chan error, 2)
				for _, req := range []*http.Request{
					formRequest(t, srv.Endpoint(authtest.TokenEndpoint), form("grant_type", "none")),
					request(t, http.MethodGet, res.URL, "", "Authorization", "Bearer "+pair.AccessToken),
				} {
					go func() {
						_, err := do(t, srv, req)
						failed <- err
					}()
				}
				<-arrived
				srv.Close()
				for range 2 {
					if err := <-failed; err == nil {
						t.Error("a request survived Close")
					}
				}
			})
		})
	}
}

func TestPeer(t *testing.T) {
	first := newServer(t, authtest.Config{})
	second := authtest.NewServerConfig(t, authtest.Config{Peer: first})
	if first.Issuer == second.Issuer {
		t.Fatal("both servers have one issuer")
	}
	res := first.Protect(ok, authtest.Protection{AuthorizationServers: []string{second.Issuer}})
	if r := get(t, first, second.Endpoint(authtest.MetadataEndpoint)); r.text("issuer") != second.Issuer {
		t.Errorf("the first server's client did not reach the second: %s", r.body)
	}
	if r := get(t, second, res.MetadataURL); !strings.Contains(r.body, second.Issuer) {
		t.Errorf("resource metadata: %s", r.body)
	}
}

func TestNobodyListens(t *testing.T) {
	srv := newServer(t, authtest.Config{})
	_, err := do(t, srv, request(t, http.MethodGet, "http://127.0.0.1:1/", ""))
	if err == nil || !strings.Contains(err.Error(), "nothing listens at 127.0.0.1:1") {
		t.Errorf("error %v", err)
	}
}

func TestEndpoint(t *testing.T) {
	srv := newServer(t, authtest.Config{IssuerPath: "/t"})
	want := map[authtest.Endpoint]string{
		authtest.AuthorizeEndpoint:        srv.URL + "/t/authorize",
		authtest.TokenEndpoint:            srv.URL + "/t/token",
		authtest.RegistrationEndpoint:     srv.URL + "/t/register",
		authtest.RevocationEndpoint:       srv.URL + "/t/revoke",
		authtest.IntrospectionEndpoint:    srv.URL + "/t/introspect",
		authtest.MetadataEndpoint:         srv.URL + "/.well-known/oauth-authorization-server/t",
		authtest.ResourceEndpoint:         "",
		authtest.ResourceMetadataEndpoint: "",
	}
	for e, u := range want {
		if got := srv.Endpoint(e); got != u {
			t.Errorf("%s: %q, want %q", e, got, u)
		}
	}
	if srv.Transport() == nil {
		t.Error("no transport")
	}
}

func TestMethodNotAllowed(t *testing.T) {
	srv := newServer(t, authtest.Config{})
	res := srv.Protect(ok, authtest.Protection{})
	tests := []struct{ method, target string }{
		{http.MethodPost, srv.Endpoint(authtest.MetadataEndpoint)},
		{http.MethodPost, res.MetadataURL},
		{http.MethodDelete, srv.Endpoint(authtest.AuthorizeEndpoint)},
		{http.MethodGet, srv.Endpoint(authtest.TokenEndpoint)},
		{http.MethodGet, srv.Endpoint(authtest.RevocationEndpoint)},
		{http.MethodGet, srv.Endpoint(authtest.IntrospectionEndpoint)},
		{http.MethodGet, srv.Endpoint(authtest.RegistrationEndpoint)},
	}
	for _, tt := range tests {
		u, err := url.Parse(tt.target)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(tt.method+u.Path, func(t *testing.T) {
			r := must(t, srv, request(t, tt.method, tt.target, ""))
			if r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") == "" {
				t.Errorf("status %d, Allow %q", r.status, r.header.Get("Allow"))
			}
		})
	}
}

func TestHugeRequest(t *testing.T) {
	srv := newServer(t, authtest.Config{})
	body := strings.Repeat("x", 17<<20)
	req := request(t, http.MethodPost, srv.Endpoint(authtest.TokenEndpoint), body)
	if r, err := do(t, srv, req); err == nil && r.status != http.StatusBadRequest {
		t.Errorf("status %d", r.status)
	}
	if n := srv.Counts().Token; n != 0 {
		t.Errorf("%d requests got through", n)
	}
}
