package transport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/internal/rawtest"
	"github.com/mcptokens/mcptokens/transport"
)

const (
	resourceHost = "127.0.0.1:1"
	serverHost   = "127.0.0.1:2"
	otherHost    = "127.0.0.1:3"
	resourceURL  = "http://" + resourceHost + "/mcp"
)

// A hostile MCP server costs its caller no more than a typed error, in bounded
// time, memory and requests, and learns nothing but its own tokens.
func TestHostileResource(t *testing.T) {
	challenge := func(params string) string { return "WWW-Authenticate: Bearer " + params }
	var many, fresh strings.Builder
	for i := range 10_000 {
		_, _ = fmt.Fprintf(&many, `Scheme%d realm="canary", `, i)
	}
	for i := range 3_000 {
		_, _ = fmt.Fprintf(&fresh, " canary-%d", i)
	}
	number := 0
	tests := []struct {
		name string
		say  rawtest.Handler // the MCP server's answer, whatever the token
		want any             // a type that is in the error; nil: the server's answer is returned
		is   error           // that the error is; nil: not asked
		most int             // requests for the MCP server
	}{
		{name: "401 forever", say: rawtest.Answer(401, challenge(`error="invalid_token"`), ""), want: new(*auth.RejectedError), most: 5},
		{name: "401 without a word", say: rawtest.Answer(401, "", ""), want: new(*auth.RejectedError), most: 5},
		{name: "401 with an endless body", say: rawtest.Endless(401, challenge("")), want: new(*auth.RejectedError), most: 5},
		{name: "401 with a slow body", say: rawtest.SlowBody(401, challenge("")), want: new(*auth.RejectedError), most: 5},
		{name: "401 with a bomb for a body", say: rawtest.Bomb(401, challenge("")), want: new(*auth.RejectedError), most: 5},
		{name: "slow header", say: rawtest.SlowHeader, is: context.DeadlineExceeded, most: 1},
		{name: "10,000 challenges in one header", say: rawtest.Answer(401, "WWW-Authenticate: "+many.String()+"Bearer", ""), want: new(*auth.RejectedError), most: 5},
		{name: "10,000 headers", say: rawtest.Answer(401, strings.Repeat(challenge("realm=canary")+"\n", 10_000), ""), want: new(*auth.RejectedError), most: 5},
		{name: "a challenge of half a megabyte", say: rawtest.Answer(401, challenge(`error="`+strings.Repeat("canary", 90_000)+`"`), ""), want: new(*auth.RejectedError), most: 5},
		// The well-known location is asked instead; the 401 goes on.
		{name: "metadata of another host", say: rawtest.Answer(401, challenge(`resource_metadata="http://`+otherHost+`/metadata"`), ""), want: new(*auth.RejectedError), most: 5},
		{name: "metadata in a file", say: rawtest.Answer(401, challenge(`resource_metadata="file:///etc/canary"`), ""), want: new(*auth.RejectedError), most: 5},
		{name: "metadata without encryption", say: rawtest.Answer(401, challenge(`resource_metadata="http://10.0.0.1/canary"`), ""), want: new(*auth.RejectedError), most: 5},
		{name: "metadata with a password", say: rawtest.Answer(401, challenge(`resource_metadata="https://canary:canary@example.com/"`), ""), want: new(*auth.RejectedError), most: 5},
		{name: "the same scope forever", say: rawtest.Answer(403, challenge(`error="insufficient_scope", scope="admin"`), ""), want: new(*auth.InsufficientScopeError), most: 4},
		{name: "no scope forever", say: rawtest.Answer(403, challenge(`error="insufficient_scope"`), ""), want: new(*auth.InsufficientScopeError), most: 4},
		{name: "another scope each time", say: func(conn io.Writer, r *http.Request) {
			number++
			rawtest.Answer(403, challenge(fmt.Sprintf(`error="insufficient_scope", scope="canary-%d"`, number)), "")(conn, r)
		}, most: 7},
		{name: "3,000 other scopes each time", say: func(conn io.Writer, r *http.Request) {
			number++
			rawtest.Answer(403, challenge(`error="insufficient_scope", scope="`+strings.ReplaceAll(fresh.String(), "-", fmt.Sprintf("-%d-", number))+`"`), "")(conn, r)
		}, want: new(*auth.InsufficientScopeError), most: 7},
		{name: "403 that is no challenge", say: rawtest.Answer(403, "", "no"), most: 1},
		{name: "a redirect to another host", say: rawtest.Answer(307, "Location: http://"+otherHost+"/mcp", ""), most: 1},
		{name: "a redirect without end", say: rawtest.Answer(307, "Location: "+resourceURL, ""), want: new(interface{ Timeout() bool }), most: 11},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				number = 0
				n := hostileNet(t, tt.say)
				client := n.client(t)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				began := time.Now()
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, resourceURL, strings.NewReader("ping"))
				if err != nil {
					t.Fatal(err)
				}
				resp, err := client.Do(req)
				took := time.Since(began)
				runtime.ReadMemStats(&after)
				if err == nil {
					_ = resp.Body.Close()
				}
				if grown := (after.TotalAlloc - before.TotalAlloc) >> 20; grown > 64 {
					t.Errorf("it allocated %d MiB", grown)
				}
				if took > 10*time.Second && tt.is != context.DeadlineExceeded {
					t.Errorf("it took %v", took)
				}
				switch {
				case tt.want == nil && tt.is == nil && err != nil, (tt.want != nil || tt.is != nil) && err == nil:
					t.Fatalf("error %v", err)
				case tt.want != nil && !errors.As(err, tt.want):
					t.Errorf("error %v (%T), want %T in it", err, errors.Unwrap(err), tt.want)
				case tt.is != nil && !errors.Is(err, tt.is):
					t.Errorf("error %v, want %v", err, tt.is)
				}
				// The scopes asked for are what the user needs to know; other
				// words of the server's are not for error texts.
				if err != nil && (strings.Contains(err.Error(), "canary") && !strings.Contains(tt.name, "scope") || len(err.Error()) > 70<<10) {
					t.Errorf("error text %.300q", err)
				}
				n.check(t, tt.most)
			})
		})
	}
}

// A server that names other scopes with each request, a thousand times at once
// and then for a day, gets an upgrade now and then, and what is kept of it does
// not grow.
func TestResourceThatAlwaysWantsOtherScopes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		number, size := 0, 1
		n := hostileNet(t, func(conn io.Writer, r *http.Request) {
			number++
			rawtest.Answer(403, fmt.Sprintf(`WWW-Authenticate: Bearer error="insufficient_scope", scope="%s-%d"`, strings.Repeat("x", size), number), "")(conn, r)
		})
		client := n.client(t)
		call := func() {
			resp, err := client.Post(resourceURL, "text/plain", strings.NewReader("ping"))
			if err == nil {
				_ = resp.Body.Close()
			}
		}
		upgrades := func() (count, longest int) {
			for _, r := range n.Requests() {
				if r.Path == "/token" {
					count++
					longest = max(longest, len(r.Body))
				}
			}
			return count, longest
		}
		for range 1000 {
			call()
		}
		// The first token, 16 upgrades within five minutes, and one refresh that tried in vain
		// to spare the first login of those.
		first, _ := upgrades()
		if first > 18 {
			t.Errorf("%d upgrades at once", first)
		}
		size = 1000
		for range 24 * 60 {
			call()
			time.Sleep(time.Minute)
		}
		// The scopes are full after 64 KiB, the form that asks for them somewhat later.
		if all, longest := upgrades(); all > first+65 || longest > 70<<10 {
			t.Errorf("%d upgrades, the longest of %d bytes", all, longest)
		}
	})
}

// hostile is a network with a hostile MCP server, its authorization server,
// which does all right, and another host, which speaks for itself.
type hostile struct{ *rawtest.Net }

func hostileNet(t *testing.T, say rawtest.Handler) hostile {
	n := hostile{rawtest.New(t)}
	server := "http://" + serverHost
	tokens := 0
	doc := func(host string) rawtest.Handler {
		return rawtest.JSON(`{"resource":"http://` + host + `/mcp","authorization_servers":["` + server + `"]}`)
	}
	n.Serve(resourceHost, rawtest.Paths(map[string]rawtest.Handler{
		"/mcp": say, "/.well-known/oauth-protected-resource/mcp": doc(resourceHost),
	}))
	n.Serve(otherHost, rawtest.Paths(map[string]rawtest.Handler{"/metadata": doc(otherHost), "/mcp": rawtest.Answer(200, "", "hello")}))
	n.Serve(serverHost, rawtest.Paths(map[string]rawtest.Handler{
		"/.well-known/oauth-authorization-server": rawtest.JSON(`{"issuer":"` + server + `","authorization_endpoint":"` + server + `/authorize","token_endpoint":"` + server +
			`/token","registration_endpoint":"` + server + `/register","code_challenge_methods_supported":["S256"]}`),
		"/register": rawtest.JSON(`{"client_id":"client"}`),
		"/authorize": func(conn io.Writer, r *http.Request) {
			q := r.URL.Query()
			rawtest.Answer(302, "Location: "+q.Get("redirect_uri")+"?code=c&state="+q.Get("state"), "")(conn, r)
		},
		"/token": func(conn io.Writer, r *http.Request) {
			tokens++
			rawtest.JSON(fmt.Sprintf(`{"access_token":"secret-%d","token_type":"Bearer","refresh_token":"r%d","expires_in":864000}`, tokens, tokens))(conn, r)
		},
	}))
	return n
}

// client is an HTTP client with a manager behind it.
func (n hostile) client(t *testing.T) *http.Client {
	m, err := auth.NewManager(auth.Config{
		Resource: resourceURL, HTTPClient: n.Client(), NoIdleRefresh: true,
		Grant: grant.AuthorizationCode{UserAgent: browser.Headless{Client: n.Client()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return &http.Client{Transport: &transport.RoundTripper{Source: m, Base: n.Client().Transport}}
}

// check looks at what arrived where: no host but the MCP server sees a token.
func (n hostile) check(t *testing.T, most int) {
	t.Helper()
	calls, logins := 0, 0
	for _, r := range n.Requests() {
		switch {
		case r.Host == resourceHost && r.Path == "/mcp":
			calls++
		case strings.Contains(r.Authorization, "secret"):
			t.Errorf("%s%s got the token", r.Host, r.Path)
		case r.Path == "/authorize":
			logins++
		}
	}
	if calls < 1 || calls > most || logins > 7 {
		t.Errorf("%d calls and %d logins, want at most %d calls", calls, logins, most)
	}
}
