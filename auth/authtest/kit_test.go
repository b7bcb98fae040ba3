package authtest_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/mcptokens/mcptokens/auth/authtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	callback  = "http://127.0.0.1:7777/callback"
	verifier  = "a-verifier-of-at-least-forty-three-characters-0123"
	clientID  = "tester"
	webSecret = "s3cret"
)

// onBothNetworks runs a test on sockets and in memory.
func onBothNetworks(t *testing.T, test func(t *testing.T, inMemory bool)) {
	t.Run("loopback", func(t *testing.T) { test(t, false) })
	t.Run("in memory", func(t *testing.T) { test(t, true) })
}

// ok is the MCP handler of most tests.
var ok = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
})

func newServer(t *testing.T, cfg authtest.Config) *authtest.Server {
	t.Helper()
	cfg.InMemory = true
	srv := authtest.NewServerConfig(t, cfg)
	srv.AddClient(clientID, "", callback)
	srv.AddClient("web", webSecret, callback)
	return srv
}

// reply is an HTTP answer, read.
type reply struct {
	status int
	header http.Header
	body   string
	json   map[string]any // nil if the body is not a JSON object
}

func (r reply) text(member string) string {
	s, _ := r.json[member].(string)
	return s
}

func do(t *testing.T, srv *authtest.Server, req *http.Request) (reply, error) {
	t.Helper()
	c := srv.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := c.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	r := reply{status: resp.StatusCode, header: resp.Header, body: string(body)}
	_ = json.Unmarshal(body, &r.json)
	return r, err
}

func request(t *testing.T, method, target, body string, header ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return req
}

func must(t *testing.T, srv *authtest.Server, req *http.Request) reply {
	t.Helper()
	r, err := do(t, srv, req)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func get(t *testing.T, srv *authtest.Server, target string) reply {
	t.Helper()
	return must(t, srv, request(t, http.MethodGet, target, ""))
}

// form makes parameters of name, value pairs.
func form(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v
}

func formRequest(t *testing.T, target string, v url.Values, header ...string) *http.Request {
	t.Helper()
	return request(t, http.MethodPost, target, v.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, header...)...)
}

func post(t *testing.T, srv *authtest.Server, e authtest.Endpoint, v url.Values, header ...string) reply {
	t.Helper()
	return must(t, srv, formRequest(t, srv.Endpoint(e), v, header...))
}

func refresh(t *testing.T, srv *authtest.Server, token string, pairs ...string) reply {
	t.Helper()
	v := form(append([]string{"grant_type", "refresh_token", "client_id", clientID, "refresh_token", token}, pairs...)...)
	return post(t, srv, authtest.TokenEndpoint, v)
}

// call sends an MCP request with a token, "" for none.
func call(t *testing.T, srv *authtest.Server, target, token, body string) reply {
	t.Helper()
	req := request(t, http.MethodPost, target, body)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return must(t, srv, req)
}

func s256(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// authorizationURL is a request that the server approves, but for the changes: name, value pairs, a
// value of "-" removes the parameter.
func authorizationURL(srv *authtest.Server, changes ...string) string {
	v := form("response_type", "code", "client_id", clientID, "redirect_uri", callback, "state", "xyz",
		"code_challenge", s256(verifier), "code_challenge_method", "S256")
	for i := 0; i+1 < len(changes); i += 2 {
		v.Del(changes[i])
		if changes[i+1] != "-" {
			v.Set(changes[i], changes[i+1])
		}
	}
	return srv.Endpoint(authtest.AuthorizeEndpoint) + "?" + v.Encode()
}

// approve approves an authorization request and returns the parameters of the response.
func approve(t *testing.T, srv *authtest.Server, target string) url.Values {
	t.Helper()
	location, err := srv.Approve(context.WithoutCancel(t.Context()), target)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

func codeForm(code string, changes ...string) url.Values {
	v := form("grant_type", "authorization_code", "client_id", clientID, "code", code, "code_verifier", verifier, "redirect_uri", callback)
	for i := 0; i+1 < len(changes); i += 2 {
		v.Set(changes[i], changes[i+1])
	}
	return v
}
