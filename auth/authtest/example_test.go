package authtest_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"syscall"
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

// A client without a token learns where to get one; with one it gets through.
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

// A server whose replicas learn of a token late refuses it while it is young.
func ExampleResource_Refuse() {
	t := &test{} // in a test: its *testing.T
	defer t.end()

	srv := authtest.NewServer(t)
	mcp := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	res := srv.Protect(mcp, authtest.Protection{})
	token := srv.IssueToken(nil, res.URL)
	rule := res.Refuse(authtest.Refusal{Younger: time.Minute})

	for range 2 {
		req, err := http.NewRequest(http.MethodPost, res.URL, nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		req.Header.Set("Authorization", "Bearer "+token.AccessToken)
		resp, err := srv.Client().Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
		fmt.Println(resp.Status)
		rule.End() // in a synctest bubble: time.Sleep(time.Minute)
	}
	fmt.Println(rule.Refused(), "refused")
	// Output:
	// 401 Unauthorized
	// 200 OK
	// 1 refused
}

// A client that meets a server which is not there is refused the connection.
func ExampleServer_Down() {
	t := &test{} // in a test: its *testing.T
	defer t.end()

	srv := authtest.NewServer(t)
	srv.Down(20 * time.Second)
	_, err := srv.Client().Get(srv.Endpoint(authtest.MetadataEndpoint))
	fmt.Println(errors.Is(err, syscall.ECONNREFUSED))
	srv.Down(0) // or wait
	resp, err := srv.Client().Get(srv.Endpoint(authtest.MetadataEndpoint))
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	// Output:
	// true
	// 200 OK
}
