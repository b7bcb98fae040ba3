package authtest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtest"
)

// test stands for the *testing.T of a real test: examples have none.
type test struct{ cleanups []func() }

func (t *test) Helper()                           {}
func (t *test) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (t *test) Cleanup(f func())                  { t.cleanups = append(t.cleanups, f) }
func (t *test) end() {
	for _, f := range t.cleanups {
		f()
	}
}

// A client without a token is told where to get one; with one it gets through.
func ExampleNewServer() {
	t := &test{} // in a test: its *testing.T
	defer t.end()

	srv := authtest.NewServer(t)
	mcp := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	res := srv.Protect(mcp, authtest.Protection{Scopes: []string{"mcp:read"}})
	token := srv.IssueToken([]string{"mcp:read"}, res.URL)

	for _, header := range []string{"", "Bearer " + token.AccessToken} {
		req, err := http.NewRequest(http.MethodPost, res.URL, nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		if header != "" {
			req.Header.Set("Authorization", header)
		}
		resp, err := srv.Client().Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
		fmt.Println(resp.Status)
	}
	fmt.Printf("%+v\n", res.Counts())
	// Output:
	// 401 Unauthorized
	// 200 OK
	// {Requests:2 Accepted:1 Unauthorized:1 Forbidden:0}
}

// The first token request is throttled, the second gets its answer.
func ExampleServer_Inject() {
	srv, err := authtest.Start(authtest.Config{InMemory: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close()
	srv.AddClient("my-client", "my-secret")
	srv.Inject(authtest.TokenEndpoint, authtest.RetryAfter(503, 2*time.Second))

	for range 2 {
		resp, err := srv.Client().PostForm(srv.Endpoint(authtest.TokenEndpoint), url.Values{
			"grant_type":    {"client_credentials"},
			"client_id":     {"my-client"},
			"client_secret": {"my-secret"},
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
		fmt.Printf("%s, Retry-After %q\n", resp.Status, resp.Header.Get("Retry-After"))
	}
	for _, r := range srv.TokenRequests() {
		fmt.Printf("%s: fault %q, processed %t\n", r.GrantType, r.Fault, r.Processed)
	}
	// Output:
	// 503 Service Unavailable, Retry-After "2"
	// 200 OK, Retry-After ""
	// client_credentials: fault "RetryAfter(503,2s)", processed false
	// client_credentials: fault "", processed true
}
