package authtest_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/auth/authtest"
)

func TestVerdicts(t *testing.T) {
	srv := newServer(t, authtest.Config{})
	res := srv.Protect(ok, authtest.Protection{Scopes: []string{"read"}})
	other := srv.Protect(ok, authtest.Protection{})
	scopes := []string{"read"}
	revoked := srv.IssueToken(scopes, res.URL).AccessToken
	srv.RevokeAccess(revoked)
	tests := []struct {
		verdict authtest.Verdict
		header  []string
		status  int
		error   string // in the challenge
	}{
		{authtest.Missing, nil, 401, ""},
		{authtest.Malformed, []string{"Basic abc"}, 401, "invalid_token"},
		{authtest.Malformed, []string{"Bearer"}, 401, "invalid_token"},
		{authtest.Malformed, []string{"Bearer a", "Bearer b"}, 401, "invalid_token"},
		{authtest.Unknown, []string{"Bearer guess"}, 401, "invalid_token"},
		{authtest.Revoked, []string{"Bearer " + revoked}, 401, "invalid_token"},
		{authtest.WrongResource, []string{"Bearer " + srv.IssueToken(scopes, other.URL).AccessToken}, 401, "invalid_token"},
		{authtest.WrongResource, []string{"Bearer " + srv.IssueToken(scopes, "").AccessToken}, 401, "invalid_token"},
		{authtest.InsufficientScope, []string{"Bearer " + srv.IssueToken(nil, res.URL).AccessToken}, 403, "insufficient_scope"},
		{authtest.Accepted, []string{"Bearer " + srv.IssueToken(scopes, res.URL).AccessToken}, 200, ""},
		{authtest.Accepted, []string{"bearer " + srv.IssueToken(scopes, strings.ToUpper(res.URL[:4])+res.URL[4:]+"/").AccessToken}, 200, ""},
	}
	for i, tt := range tests {
		t.Run(fmt.Sprintf("%d %s", i, tt.verdict), func(t *testing.T) {
			req := request(t, http.MethodGet, res.URL+"/sub", "")
			req.Header["Authorization"] = tt.header
			r := must(t, srv, req)
			challenge := r.header.Get("WWW-Authenticate")
			if r.status != tt.status || strings.Contains(challenge, "error=") != (tt.error != "") || !strings.Contains(challenge, tt.error) {
				t.Errorf("%d %q, want %d, %s", r.status, challenge, tt.status, tt.error)
			}
			if refused := tt.status != 200; strings.Contains(challenge, `scope="read"`) != refused {
				t.Errorf("scope in %q", challenge)
			}
			seen := res.Seen()
			last := seen[len(seen)-1]
			if len(seen) != i+1 || last.Verdict != tt.verdict || last.Method != http.MethodGet || tt.header != nil && last.Header != tt.header[0] {
				t.Errorf("seen %+v", last)
			}
		})
	}
	if c := res.Counts(); c != (authtest.ResourceCounts{Requests: 11, Accepted: 2, Unauthorized: 8, Forbidden: 1}) {
		t.Errorf("counts %+v", c)
	}
	if c := other.Counts(); c != (authtest.ResourceCounts{}) {
		t.Errorf("counts of the other resource %+v", c)
	}
}

func TestScopesOfOperations(t *testing.T) {
	const toolCall = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q}}`
	write := fmt.Sprintf(toolCall, "write")
	tests := []struct {
		name, method, body string
		have               []string
		want               string // scopes of the challenge; "" for none
	}{
		{"free tool", "POST", fmt.Sprintf(toolCall, "other"), []string{"base"}, ""},
		{"tool", "POST", write, []string{"base"}, "files:write files:read"},
		{"tool, half", "POST", write, []string{"base", "files:read"}, "files:write files:read"},
		{"tool, enough", "POST", write, []string{"base", "files:read", "files:write"}, ""},
		{"tool, base missing too", "POST", write, []string{"files:read", "files:write"}, "base files:write files:read"},
		{"method", "POST", `{"method":"resources/read"}`, []string{"base"}, "res"},
		{"batch", "POST", ` [{"method":"resources/read"},` + write + `]`, []string{"base"}, "res files:write files:read"},
		{"name of another method", "POST", `{"method":"prompts/get","params":{"name":"write"}}`, []string{"base"}, ""},
		{"not JSON", "POST", `hello`, []string{"base"}, ""},
		{"GET", "GET", write, []string{"base"}, ""},
	}
	srv := newServer(t, authtest.Config{})
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	res := srv.Protect(echo, authtest.Protection{
		Scopes:       []string{"base"},
		ToolScopes:   map[string][]string{"write": {"files:write", "files:read"}},
		MethodScopes: map[string][]string{"resources/read": {"res"}},
	})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			token := srv.IssueToken(tt.have, res.URL).AccessToken
			r := must(t, srv, request(t, tt.method, res.URL, tt.body, "Authorization", "Bearer "+token))
			if tt.want == "" {
				if r.status != 200 || r.body != tt.body {
					t.Errorf("%d %q: the handler should have got the whole body", r.status, r.body)
				}
				return
			}
			want := `Bearer error="insufficient_scope", scope="` + tt.want + `", resource_metadata="` + res.MetadataURL + `"`
			if got := r.header.Get("WWW-Authenticate"); r.status != 403 || got != want {
				t.Errorf("%d %q, want 403 %q", r.status, got, want)
			}
		})
	}
}

func TestHugeToolCall(t *testing.T) {
	srv := newServer(t, authtest.Config{})
	res := srv.Protect(ok, authtest.Protection{ToolScopes: map[string][]string{"write": {"w"}}})
	token := srv.IssueToken(nil, res.URL).AccessToken
	body := strings.Repeat(" ", 17<<20)
	for _, f := range []authtest.Fault{{}, authtest.Status(500)} {
		t.Run(f.String(), func(t *testing.T) {
			srv.Inject(authtest.ResourceEndpoint, f)
			r, err := do(t, srv, request(t, "POST", res.URL, body, "Authorization", "Bearer "+token))
			if err == nil && r.status != http.StatusBadRequest {
				t.Errorf("status %d", r.status)
			}
		})
	}
	if n := res.Counts().Accepted; n != 0 {
		t.Errorf("%d accepted", n)
	}
}

func TestPaths(t *testing.T) {
	tests := []struct {
		path, url, metadata string // without the origin
		status              map[string]int
	}{
		{"", "/mcp", "/.well-known/oauth-protected-resource/mcp", map[string]int{"/mcp": 401, "/mcp/x": 401, "/mcp2": 404, "/": 404, "/.well-known/oauth-protected-resource": 200}},
		{"a/b/", "/a/b", "/.well-known/oauth-protected-resource/a/b", map[string]int{"/a/b": 401, "/a": 404}},
		{"/", "", "/.well-known/oauth-protected-resource", map[string]int{"/": 401, "/sse": 401, "/.well-known/openid-configuration": 404}},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			srv := newServer(t, authtest.Config{})
			res := srv.Protect(ok, authtest.Protection{Path: tt.path})
			origin := strings.TrimSuffix(res.URL, tt.url)
			if res.URL != origin+tt.url || res.MetadataURL != origin+tt.metadata {
				t.Errorf("URL %q, metadata %q", res.URL, res.MetadataURL)
			}
			tt.status[tt.metadata] = 200
			for path, want := range tt.status {
				if r := get(t, srv, origin+path); r.status != want || want == 200 && r.text("resource") != res.URL {
					t.Errorf("%s: %d %s, want %d", path, r.status, r.body, want)
				}
			}
		})
	}
}

func TestProtectionOptions(t *testing.T) {
	t.Run("no metadata", func(t *testing.T) {
		srv := newServer(t, authtest.Config{})
		res := srv.Protect(ok, authtest.Protection{NoMetadata: true})
		if r := get(t, srv, res.URL); r.header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("challenge %q", r.header.Get("WWW-Authenticate"))
		}
		if r := get(t, srv, res.MetadataURL); r.status != 404 {
			t.Errorf("metadata: %d", r.status)
		}
	})
	t.Run("no challenge parameters", func(t *testing.T) {
		srv := newServer(t, authtest.Config{})
		res := srv.Protect(ok, authtest.Protection{NoChallengeParams: true, Scopes: []string{"x"}})
		if r := call(t, srv, res.URL, "guess", ""); r.header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("challenge %q", r.header.Get("WWW-Authenticate"))
		}
	})
	t.Run("unbound tokens", func(t *testing.T) {
		srv := newServer(t, authtest.Config{})
		res := srv.Protect(ok, authtest.Protection{AllowUnbound: true})
		for resource, want := range map[string]int{"": 200, "https://elsewhere.example": 401} {
			if r := call(t, srv, res.URL, srv.IssueToken(nil, resource).AccessToken, ""); r.status != want {
				t.Errorf("%q: %d, want %d", resource, r.status, want)
			}
		}
	})
	t.Run("metadata hook names the resource", func(t *testing.T) {
		srv := newServer(t, authtest.Config{})
		const name = "https://mcp.example"
		res := srv.Protect(ok, authtest.Protection{Scopes: []string{"x"}, Metadata: func(doc map[string]any) {
			doc["resource"] = name
			srv.Counts() // a hook may use the server
		}})
		if r := get(t, srv, res.MetadataURL); r.text("resource") != name || r.json["scopes_supported"] == nil {
			t.Errorf("metadata %s", r.body)
		}
		if q := approve(t, srv, authorizationURL(srv, "resource", name)); q.Get("code") == "" {
			t.Errorf("authorization %v", q)
		}
		if r := call(t, srv, res.URL, srv.IssueToken([]string{"x"}, name).AccessToken, ""); r.status != 200 {
			t.Errorf("call: %d", r.status)
		}
		if r := call(t, srv, res.URL, srv.IssueToken([]string{"x"}, "https://[").AccessToken, ""); r.status != 401 {
			t.Errorf("call with a token for nonsense: %d", r.status)
		}
	})
	t.Run("challenge hook", func(t *testing.T) {
		srv := newServer(t, authtest.Config{})
		got := make(chan authtest.Challenge, 1)
		res := srv.Protect(ok, authtest.Protection{Scopes: []string{"x"}, Challenge: func(w http.ResponseWriter, _ *http.Request, c authtest.Challenge) {
			got <- c
			w.WriteHeader(http.StatusTeapot)
		}})
		if r := call(t, srv, res.URL, "guess", ""); r.status != http.StatusTeapot || r.header.Get("WWW-Authenticate") != "" {
			t.Errorf("status %d", r.status)
		}
		if c := <-got; c.Status != 401 || c.Error != "invalid_token" || len(c.Scopes) != 1 || !strings.HasPrefix(c.Header, "Bearer error=") {
			t.Errorf("challenge %+v", c)
		}
		if n := res.Counts().Unauthorized; n != 1 {
			t.Errorf("%d refusals counted", n)
		}
	})
	t.Run("same origin", func(t *testing.T) {
		srv := newServer(t, authtest.Config{})
		one := srv.Protect(ok, authtest.Protection{SameOrigin: true, Path: "/one", NoMetadata: true})
		two := srv.Protect(ok, authtest.Protection{SameOrigin: true, Path: "/two"})
		if one.URL != srv.URL+"/one" || two.URL != srv.URL+"/two" {
			t.Fatalf("URLs %q, %q", one.URL, two.URL)
		}
		for target, want := range map[string]int{one.URL: 401, two.URL: 401, srv.URL + "/three": 404, two.MetadataURL: 200, one.MetadataURL: 404} {
			if r := get(t, srv, target); r.status != want {
				t.Errorf("%s: %d, want %d", target, r.status, want)
			}
		}
	})
}

func TestProtectAfterClose(t *testing.T) {
	srv, err := authtest.Start(authtest.Config{InMemory: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Close()
	res := srv.Protect(ok, authtest.Protection{})
	if _, err := do(t, srv, request(t, "GET", res.URL, "")); err == nil {
		t.Error("a resource of a closed server answered")
	}
}

// TestStreams shows that a handler can stream through the protection, before its request ends.
func TestStreams(t *testing.T) {
	onBothNetworks(t, func(t *testing.T, inMemory bool) {
		srv := authtest.NewServerConfig(t, authtest.Config{InMemory: inMemory})
		next := make(chan struct{})
		res := srv.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for range 2 {
				_, _ = io.WriteString(w, "data\n")
				_ = http.NewResponseController(w).Flush()
				<-next
			}
		}), authtest.Protection{})
		resp, err := srv.Client().Do(request(t, "GET", res.URL, "", "Authorization", "Bearer "+srv.IssueToken(nil, res.URL).AccessToken))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		for range 2 {
			line := make([]byte, 5)
			if _, err := io.ReadFull(resp.Body, line); err != nil {
				t.Fatal(err)
			}
			next <- struct{}{}
		}
	})
}
