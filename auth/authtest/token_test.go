package authtest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtest"
)

func TestCodeExchange(t *testing.T) {
	tests := []struct {
		name    string
		changes []string
		want    string // error; "" for success
	}{
		{"good", nil, ""},
		{"no redirect URI, as in OAuth 2.1", []string{"redirect_uri", ""}, ""},
		{"unknown code", []string{"code", "guess"}, "invalid_grant"},
		{"another client", []string{"client_id", "other"}, "invalid_grant"},
		{"another redirect URI", []string{"redirect_uri", "http://127.0.0.1:1/callback"}, "invalid_grant"},
		{"wrong verifier", []string{"code_verifier", "wrong"}, "invalid_grant"},
		{"unknown resource", []string{"resource", "https://elsewhere.example"}, "invalid_target"},
		{"another resource", []string{"resource", "OTHER"}, "invalid_target"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := newServer(t, authtest.Config{})
			srv.AddClient("other", "")
			res := srv.Protect(ok, authtest.Protection{})
			other := srv.Protect(ok, authtest.Protection{})
			for i, s := range tt.changes {
				if s == "OTHER" {
					tt.changes[i] = other.URL
				}
			}
			code := approve(t, srv, authorizationURL(srv, "resource", res.URL)).Get("code")
			r := post(t, srv, authtest.TokenEndpoint, codeForm(code, tt.changes...))
			if r.text("error") != tt.want || (r.status == 200) != (tt.want == "") {
				t.Errorf("%d %s, want %q", r.status, r.body, tt.want)
			}
			if r.header.Get("Cache-Control") != "no-store" {
				t.Error("the answer may be cached")
			}
		})
	}
}

func TestCodeIsUsedOnce(t *testing.T) {
	srv := newServer(t, authtest.Config{})
	res := srv.Protect(ok, authtest.Protection{})
	code := approve(t, srv, authorizationURL(srv, "resource", res.URL)).Get("code")
	first := post(t, srv, authtest.TokenEndpoint, codeForm(code))
	if r := call(t, srv, res.URL, first.text("access_token"), ""); r.status != 200 {
		t.Fatalf("first exchange: %d", r.status)
	}
	if r := post(t, srv, authtest.TokenEndpoint, codeForm(code)); r.text("error") != "invalid_grant" {
		t.Errorf("second exchange: %s", r.body)
	}
	if r := call(t, srv, res.URL, first.text("access_token"), ""); r.status != 401 {
		t.Errorf("the first token outlived the code's reuse: %d", r.status)
	}
}

func TestCodeExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(t, authtest.Config{})
		code := approve(t, srv, authorizationURL(srv)).Get("code")
		time.Sleep(time.Minute)
		if r := post(t, srv, authtest.TokenEndpoint, codeForm(code)); r.text("error") != "invalid_grant" {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
}

func TestResourceOfTokenRequestAlone(t *testing.T) {
	srv := newServer(t, authtest.Config{})
	res := srv.Protect(ok, authtest.Protection{})
	code := approve(t, srv, authorizationURL(srv)).Get("code")
	tok := post(t, srv, authtest.TokenEndpoint, codeForm(code, "resource", res.URL+"/"))
	if r := call(t, srv, res.URL, tok.text("access_token"), ""); r.status != 200 {
		t.Errorf("status %d", r.status)
	}
}

func TestRotationAndReuse(t *testing.T) {
	srv := newServer(t, authtest.Config{})
	res := srv.Protect(ok, authtest.Protection{})
	pair := srv.IssueToken([]string{"read"}, res.URL)
	first := refresh(t, srv, pair.RefreshToken)
	second := refresh(t, srv, first.text("refresh_token"))
	if second.status != 200 {
		t.Fatalf("second refresh: %s", second.body)
	}
	for range 2 {
		if r := refresh(t, srv, pair.RefreshToken); r.status != 400 || r.text("error") != "invalid_grant" {
			t.Fatalf("reuse: %d %s", r.status, r.body)
		}
	}
	if r := refresh(t, srv, second.text("refresh_token")); r.text("error") != "invalid_grant" {
		t.Errorf("the newest refresh token outlived the reuse: %s", r.body)
	}
	for _, token := range []string{pair.AccessToken, first.text("access_token"), second.text("access_token")} {
		if r := call(t, srv, res.URL, token, ""); r.status != 401 {
			t.Errorf("an access token outlived the reuse: %d", r.status)
		}
	}
	c := srv.Counts()
	if c.RotationsIssued != 2 || c.ReusedRefreshTokens != 2 || c.FamiliesRevoked != 1 || c.Refreshes != 5 {
		t.Errorf("counts: %+v", c)
	}
	uses := srv.RefreshTokenUses()
	if uses[pair.RefreshToken] != 3 || uses[first.text("refresh_token")] != 1 || uses[second.text("refresh_token")] != 1 {
		t.Errorf("uses: %v", uses)
	}
}

// TestConcurrentRefreshOfOneToken is the race that a client has to prevent: one request wins, and
// then loses its tokens to the others.
func TestConcurrentRefreshOfOneToken(t *testing.T) {
	onBothNetworks(t, func(t *testing.T, inMemory bool) {
		srv := authtest.NewServerConfig(t, authtest.Config{InMemory: inMemory})
		srv.AddClient(clientID, "")
		pair := srv.IssueToken(nil, "")
		const clients = 20
		statuses := make(chan int, clients)
		v := form("grant_type", "refresh_token", "client_id", clientID, "refresh_token", pair.RefreshToken)
		for range clients {
			req := formRequest(t, srv.Endpoint(authtest.TokenEndpoint), v)
			go func() {
				r, err := do(t, srv, req)
				if err != nil {
					t.Error(err)
				}
				statuses <- r.status
			}()
		}
		count := map[int]int{}
		for range clients {
			count[<-statuses]++
		}
		if count[200] != 1 || count[400] != clients-1 {
			t.Errorf("statuses %v", count)
		}
		c := srv.Counts()
		if c.ReusedRefreshTokens != clients-1 || c.FamiliesRevoked != 1 || c.Refreshes != clients || srv.RefreshTokenUses()[pair.RefreshToken] != clients {
			t.Errorf("counts %+v", c)
		}
	})
}

func TestRotationGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(t, authtest.Config{RotationGrace: 10 * time.Second})
		pair := srv.IssueToken(nil, "")
		first := refresh(t, srv, pair.RefreshToken)
		time.Sleep(9 * time.Second)
		if again := refresh(t, srv, pair.RefreshToken); again.body != first.body {
			t.Errorf("within the grace: %s, want %s", again.body, first.body)
		}
		time.Sleep(time.Second)
		if r := refresh(t, srv, pair.RefreshToken); r.text("error") != "invalid_grant" {
			t.Errorf("after the grace: %s", r.body)
		}
		if c := srv.Counts(); c.RotationsIssued != 1 || c.ReusedRefreshTokens != 1 || c.FamiliesRevoked != 1 {
			t.Errorf("counts: %+v", c)
		}
	})
}

func TestNoRotation(t *testing.T) {
	srv := newServer(t, authtest.Config{NoRotation: true})
	pair := srv.IssueToken(nil, "")
	for range 3 {
		if r := refresh(t, srv, pair.RefreshToken); r.status != 200 || r.text("access_token") == "" || r.text("refresh_token") != "" {
			t.Fatalf("%d %s", r.status, r.body)
		}
	}
	if c := srv.Counts(); c.RotationsIssued != 0 || c.ReusedRefreshTokens != 0 {
		t.Errorf("counts: %+v", c)
	}
}

func TestRefreshScopes(t *testing.T) {
	tests := []struct {
		name   string
		cfg    authtest.Config
		ask    string
		scope  string // granted
		error  string
		widens bool // a later refresh without scope grants it as well
	}{
		{"all by default", authtest.Config{}, "", "read list", "", false},
		{"fewer", authtest.Config{}, "list", "list", "", false},
		{"more, narrowed", authtest.Config{}, "read write read", "read", "", false},
		{"only others, narrowed", authtest.Config{}, "write", "", "invalid_scope", false},
		{"more, refused", authtest.Config{RefreshScopePolicy: authtest.RefuseScopes}, "read write", "", "invalid_scope", false},
		{"more, widened", authtest.Config{RefreshWidens: true}, "read list write", "read list write", "", true},
		{"unsupported is not widened", authtest.Config{RefreshWidens: true, ScopesSupported: []string{"read", "list"}}, "read write", "read", "", false},
		{"only unsupported", authtest.Config{ScopesSupported: []string{"read", "list"}}, "write", "", "invalid_scope", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := newServer(t, tt.cfg)
			pair := srv.IssueToken([]string{"read", "list"}, "")
			r := refresh(t, srv, pair.RefreshToken, "scope", tt.ask)
			if r.text("error") != tt.error || r.text("scope") != tt.scope {
				t.Fatalf("%d %s, want scope %q, error %q", r.status, r.body, tt.scope, tt.error)
			}
			if tt.error != "" {
				r.json["refresh_token"] = pair.RefreshToken // a refused request spends nothing
			}
			want := "read list"
			if tt.widens {
				want = "read list write"
			}
			if r := refresh(t, srv, r.text("refresh_token")); r.text("scope") != want {
				t.Errorf("then: %s, want %q", r.body, want)
			}
		})
	}
}

func TestRefreshRefusals(t *testing.T) {
	srv := newServer(t, authtest.Config{})
	res := srv.Protect(ok, authtest.Protection{})
	other := srv.Protect(ok, authtest.Protection{})
	pair := srv.IssueToken(nil, res.URL)
	if r := refresh(t, srv, "guess"); r.text("error") != "invalid_grant" {
		t.Errorf("unknown token: %s", r.body)
	}
	for name, resource := range map[string]string{"another": other.URL, "unknown": "https://elsewhere.example"} {
		if r := refresh(t, srv, pair.RefreshToken, "resource", resource); r.text("error") != "invalid_target" {
			t.Errorf("%s resource: %s", name, r.body)
		}
	}
	v := form("grant_type", "refresh_token", "refresh_token", pair.RefreshToken)
	if r := post(t, srv, authtest.TokenEndpoint, v, "Authorization", basic("web", webSecret)); r.text("error") != "invalid_grant" {
		t.Errorf("another client: %s", r.body)
	}
	srv.RevokeAll()
	if r := refresh(t, srv, pair.RefreshToken); r.text("error") != "invalid_grant" {
		t.Errorf("revoked: %s", r.body)
	}
	if c := srv.Counts(); c.ReusedRefreshTokens != 0 {
		t.Errorf("counts: %+v", c)
	}
}

func TestTokenResponseOptions(t *testing.T) {
	tests := []struct {
		name   string
		cfg    authtest.Config
		absent []string
	}{
		{"no refresh token", authtest.Config{NoRefreshToken: true}, []string{"refresh_token"}},
		{"no expires_in", authtest.Config{NoExpiresIn: true}, []string{"expires_in"}},
		{"no scope", authtest.Config{OmitScope: true}, []string{"scope"}},
		{"all", authtest.Config{}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := newServer(t, tt.cfg)
			code := approve(t, srv, authorizationURL(srv, "scope", "read")).Get("code")
			r := post(t, srv, authtest.TokenEndpoint, codeForm(code))
			for _, name := range tt.absent {
				if _, found := r.json[name]; found {
					t.Errorf("%s in %s", name, r.body)
				}
			}
			if len(r.json) != 5-len(tt.absent) {
				t.Errorf("members of %s", r.body)
			}
		})
	}
}

func TestClientCredentials(t *testing.T) {
	srv := newServer(t, authtest.Config{ScopesSupported: []string{"read"}})
	res := srv.Protect(ok, authtest.Protection{Scopes: []string{"read"}})
	base := []string{"grant_type", "client_credentials", "client_id", "web", "client_secret", webSecret}
	r := post(t, srv, authtest.TokenEndpoint, form(append(base, "scope", "read write", "resource", res.URL)...))
	if r.text("scope") != "read" || r.text("refresh_token") != "" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := call(t, srv, res.URL, r.text("access_token"), ""); r.status != 200 {
		t.Errorf("call: %d", r.status)
	}
	for name, tt := range map[string]struct{ scope, resource, want string }{
		"scope":    {"write", res.URL, "invalid_scope"},
		"resource": {"read", "https://elsewhere.example", "invalid_target"},
	} {
		if r := post(t, srv, authtest.TokenEndpoint, form(append(base, "scope", tt.scope, "resource", tt.resource)...)); r.text("error") != tt.want {
			t.Errorf("%s: %s", name, r.body)
		}
	}
	if r := post(t, srv, authtest.TokenEndpoint, form("grant_type", "client_credentials", "client_id", clientID)); r.text("error") != "unauthorized_client" {
		t.Errorf("public client: %s", r.body)
	}
}

func TestMalformedTokenRequests(t *testing.T) {
	srv := newServer(t, authtest.Config{})
	const formType = "application/x-www-form-urlencoded"
	tests := []struct{ name, contentType, body, want string }{
		{"JSON", "application/json", `{}`, "invalid_request"},
		{"bad escape", formType, "grant_type=%zz", "invalid_request"},
		{"repeated parameter", formType, "client_id=tester&client_id=tester", "invalid_request"},
		{"no grant type", formType, "client_id=tester", "invalid_request"},
		{"unknown grant type", formType, "client_id=tester&grant_type=password", "unsupported_grant_type"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := must(t, srv, request(t, "POST", srv.Endpoint(authtest.TokenEndpoint), tt.body, "Content-Type", tt.contentType))
			if r.status != 400 || r.text("error") != tt.want {
				t.Errorf("%d %s, want %s", r.status, r.body, tt.want)
			}
		})
	}
}
