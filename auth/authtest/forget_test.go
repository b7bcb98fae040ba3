package authtest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// ask sends an authorization request of a client and returns the answer,
// following nothing.
func ask(t *testing.T, s *Server, client, redirect, scope string) *http.Response {
	t.Helper()
	q := url.Values{
		"response_type": {"code"}, "client_id": {client}, "redirect_uri": {redirect}, "scope": {scope}, "state": {"s"},
		"code_challenge": {strings.Repeat("c", 43)}, "code_challenge_method": {"S256"},
	}
	c := s.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := c.Get(s.Endpoint(AuthorizeEndpoint) + "?" + q.Encode())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// register registers a client and returns the answer.
func register(t *testing.T, s *Server, body string) (doc map[string]any) {
	t.Helper()
	resp, err := s.Client().Post(s.Endpoint(RegistrationEndpoint), "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil || resp.StatusCode != 201 {
		t.Fatalf("%d: %v", resp.StatusCode, err)
	}
	return doc
}

func TestRegisteredScopes(t *testing.T) {
	for body, want := range map[string]string{
		`{"redirect_uris":["http://127.0.0.1/cb"],"scope":"a b b z"}`: "a b",
		`{"redirect_uris":["http://127.0.0.1/cb"]}`:                   "openid",
	} {
		s := NewServerConfig(t, Config{RegisteredScopes: true, ScopesSupported: []string{"a", "b", "c", "openid"}})
		doc := register(t, s, body)
		if doc["scope"] != want {
			t.Errorf("registered for %v, want %s", doc["scope"], want)
		}
		id := doc["client_id"].(string)
		for scope, code := range map[string]string{want: "", want + " c": "invalid_scope"} {
			to, err := ask(t, s, id, "http://127.0.0.1/cb", scope).Location()
			if err != nil || to.Query().Get("error") != code {
				t.Errorf("asked for %q: %v, %v, want error %q", scope, to, err, code)
			}
		}
	}
}

func TestPortlessRedirectURIs(t *testing.T) {
	s := NewServerConfig(t, Config{PortlessRedirectURIs: true})
	doc := register(t, s, `{"redirect_uris":["http://127.0.0.1:4711/cb?x=1","http://localhost/cb","https://h.example:8443/cb"]}`)
	uris, _ := json.Marshal(doc["redirect_uris"])
	if string(uris) != `["http://127.0.0.1/cb?x=1","http://localhost/cb","https://h.example:8443/cb"]` {
		t.Errorf("registered %s", uris)
	}
	id := doc["client_id"].(string)
	if r := ask(t, s, id, "http://127.0.0.1:5000/cb?x=1", ""); r.StatusCode != http.StatusFound {
		t.Errorf("another port: %s", r.Status)
	}
	if r := ask(t, s, id, "https://h.example:8444/cb", ""); r.StatusCode != http.StatusBadRequest {
		t.Errorf("another port of another host: %s", r.Status)
	}
}

func TestUnknownClient(t *testing.T) {
	s := NewServerConfig(t, Config{UnknownClient: func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "who?")
	}})
	s.AddClient("c", "", "http://127.0.0.1/cb")
	if r := ask(t, s, "c", "http://127.0.0.1/cb", ""); r.StatusCode != http.StatusFound {
		t.Errorf("a client that is known: %s", r.Status)
	}
	s.RemoveClient("c")
	if r := ask(t, s, "c", "http://127.0.0.1/cb", ""); r.StatusCode != http.StatusTeapot {
		t.Errorf("a client that is not: %s", r.Status)
	}
}

func TestKeepAccessTokens(t *testing.T) {
	s := NewServerConfig(t, Config{KeepAccessTokens: true})
	s.AddClient("c", "")
	pair := s.IssueToken(nil, "")
	for _, tt := range []struct {
		token, code string
		status      int
	}{{pair.AccessToken, "unsupported_token_type", 400}, {pair.RefreshToken, "", 200}} {
		resp, err := s.Client().PostForm(s.Endpoint(RevocationEndpoint), url.Values{"token": {tt.token}, "client_id": {"c"}})
		if err != nil {
			t.Fatal(err)
		}
		var doc struct{ Error string }
		_ = json.NewDecoder(resp.Body).Decode(&doc) // a success has no body
		_ = resp.Body.Close()
		if resp.StatusCode != tt.status || doc.Error != tt.code {
			t.Errorf("%s: %d %s", tt.token, resp.StatusCode, doc.Error)
		}
	}
}
