package transport_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/transport"
)

// Tokens go to the resource's own origin only [invariant 21].
func TestOrigin(t *testing.T) {
	tests := []struct {
		name, resource, url string
		home                bool
	}{
		{"the resource", mcpURL, mcpURL, true},
		{"another path", mcpURL, "https://mcp.example.com/other?x=y", true},
		{"default port", mcpURL, "https://mcp.example.com:443/mcp", true},
		{"default port of the resource", "https://mcp.example.com:443/mcp", mcpURL, true},
		{"case", "HTTPS://MCP.example.com/mcp", mcpURL, true},
		{"another host", mcpURL, "https://evil.example.com/mcp", false},
		{"a host below", mcpURL, "https://a.mcp.example.com/mcp", false},
		{"a host above", mcpURL, "https://example.com/mcp", false},
		{"another port", mcpURL, "https://mcp.example.com:8443/mcp", false},
		{"another scheme", mcpURL, "http://mcp.example.com/mcp", false},
		{"scheme and port", "https://mcp.example.com:80/mcp", "http://mcp.example.com/mcp", false},
	}
	for _, tt := range tests {
		for how, rt := range map[string]*transport.RoundTripper{
			"field":  {Source: having("secret", "secret"), Resource: tt.resource},
			"source": {Source: at{having("secret", "secret"), tt.resource}},
			"both":   {Source: at{having("secret", "secret"), "https://evil.example.com"}, Resource: tt.resource},
		} {
			t.Run(tt.name+"/"+how, func(t *testing.T) {
				srv := accepting("secret", 401, "Bearer")
				rt.Base = srv
				req, _ := post(t, tt.url, "ping")
				resp, err := rt.RoundTrip(req)
				got := srv.got[0].authorization
				if tt.home {
					if err != nil || resp.StatusCode != 200 || got != "Bearer secret" {
						t.Errorf("%v, %v, Authorization %q", resp, err, got)
					}
					return
				}
				var foreign *transport.OriginError
				if !errors.As(err, &foreign) || foreign.Redirect != 0 || got != "" || len(srv.got) != 1 {
					t.Errorf("%v, %v, Authorization %q, %d requests; want *OriginError", resp, err, got, len(srv.got))
				}
			})
		}
	}
}

// A source that does not know its resource is asked for the origin that the
// caller first named, and a redirect away from there carries nothing. That is
// looked at through a plain http.Client, which makes the second request.
func TestRedirectElsewhere(t *testing.T) {
	for _, status := range []int{302, 307} {
		for how, src := range map[string]auth.Source{
			"source without a resource": having("secret", "secret"),
			"source with one":           at{having("secret", "secret"), mcpURL},
		} {
			t.Run(http.StatusText(status)+"/"+how, func(t *testing.T) {
				srv := &server{answer: func(r *http.Request) (*http.Response, error) {
					resp := response(200, "")
					switch r.URL.String() {
					case mcpURL:
						resp = response(status, "")
						resp.Header.Set("Location", "/moved")
					case "https://mcp.example.com/moved":
						resp = response(status, "")
						resp.Header.Set("Location", "https://evil.example.com/1")
					case "https://evil.example.com/1":
						resp = response(status, "")
						resp.Header.Set("Location", "https://evil.example.com/2")
					case "https://evil.example.com/2": // asks for the token
						resp = response(401, "")
						resp.Header.Set("WWW-Authenticate", `Bearer resource_metadata="https://evil.example.com/m"`)
					}
					return resp, nil
				}}
				client := &http.Client{Transport: &transport.RoundTripper{Source: src, Base: srv}}
				resp, err := client.Get(mcpURL)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				want := []string{"Bearer secret", "Bearer secret", "", ""}
				if resp.StatusCode != 401 || len(srv.got) != len(want) {
					t.Fatalf("status %d after %d requests, want the stranger's 401 after %d", resp.StatusCode, len(srv.got), len(want))
				}
				for i := range want {
					if srv.got[i].authorization != want[i] {
						t.Errorf("request to %s: Authorization %q, want %q", srv.got[i].url, srv.got[i].authorization, want[i])
					}
				}
			})
		}
	}
}

// What a caller does at another origin is its own business: its own header
// stays, and so does the answer.
func TestForeignRequestIsUntouched(t *testing.T) {
	src, srv := having("secret", "secret"), accepting("", 401, "Bearer")
	req, _ := post(t, "https://other.example.com/", "ping")
	req.Header.Set("Authorization", "Bearer of the caller")
	status, _ := send(t, &transport.RoundTripper{Source: src, Resource: mcpURL, Base: srv}, req)
	if status != 401 || len(src.challenges) != 0 || srv.got[0].authorization != "Bearer of the caller" {
		t.Errorf("status %d after %d challenges, Authorization %q", status, len(src.challenges), srv.got[0].authorization)
	}
}

// A server with two names is the usual reason for a 401 without an end. The error
// names both, and nothing secret of either.
func TestOriginErrorNamesBothServers(t *testing.T) {
	srv := accepting("secret", 401, "Bearer")
	rt := &transport.RoundTripper{Source: having("secret", "secret"), Resource: "http://localhost:8080/mcp?key=canary", Base: srv}
	req, _ := post(t, "http://127.0.0.1:8080/mcp?key=canary", "ping")
	_, err := rt.RoundTrip(req)
	want := "transport: http://127.0.0.1:8080/mcp wants a token, and the token is for http://localhost:8080/mcp and goes to no other origin: use the same URL for the client and for Config.Resource"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// What is no 401 stays an answer: other servers are the caller's business.
func TestForeignAnswersStay(t *testing.T) {
	for _, status := range []int{200, 302, 400, 403, 404, 500} {
		srv := &server{answer: func(*http.Request) (*http.Response, error) { return response(status, ""), nil }}
		rt := &transport.RoundTripper{Source: having("secret", "secret"), Resource: mcpURL, Base: srv}
		req, _ := post(t, "https://other.example.com/", "ping")
		resp, err := rt.RoundTrip(req)
		if err != nil || resp.StatusCode != status {
			t.Errorf("%v, %v, want the %d", resp, err, status)
		}
	}
}

// An MCP server that has moved to another host answers 308 or, to a POST, 307.
// http.Client goes there, without the token, and is refused: the error says so.
func TestMovedServer(t *testing.T) {
	for _, tt := range []struct {
		method string
		status int
		moved  bool
	}{
		{http.MethodPost, 308, true},
		{http.MethodPost, 307, true},
		{http.MethodGet, 308, true},
		{http.MethodGet, 307, false}, // a download, say
		{http.MethodPost, 302, false},
		{http.MethodPost, 303, false},
	} {
		t.Run(tt.method+" "+http.StatusText(tt.status), func(t *testing.T) {
			srv := &server{answer: func(r *http.Request) (*http.Response, error) {
				if r.URL.String() == mcpURL {
					resp := response(tt.status, "")
					resp.Header.Set("Location", "https://new.example.com/canary?canary")
					return resp, nil
				}
				return response(401, `Bearer resource_metadata="https://new.example.com/m"`), nil
			}}
			client := &http.Client{Transport: &transport.RoundTripper{Source: at{having("secret", "secret"), mcpURL}, Base: srv}}
			req, err := http.NewRequest(tt.method, mcpURL, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if len(srv.got) != 2 || srv.got[1].authorization != "" {
				t.Errorf("sent %+v, want the second request without the token", srv.got)
			}
			if !tt.moved {
				if err != nil || resp.StatusCode != 401 {
					t.Errorf("%v, %v, want the 401", resp, err)
				}
				return
			}
			var foreign *transport.OriginError
			if !errors.As(err, &foreign) || foreign.Redirect != tt.status {
				t.Fatalf("%v, want *OriginError", err)
			}
			for _, want := range []string{"https://new.example.com wants", mcpURL, fmt.Sprintf("HTTP %d", tt.status)} {
				if !strings.Contains(foreign.Error(), want) || strings.Contains(foreign.Error(), "canary") {
					t.Errorf("%v, want %q in it", foreign, want)
				}
			}
		})
	}
}

// Where the caller began counts also when the first request that comes here is
// one that something in front was redirected to, and it counts from then on.
func TestFirstOriginStands(t *testing.T) {
	srv := accepting("", 401, "Bearer")
	rt := &transport.RoundTripper{Source: having("secret", "secret"), Base: srv}
	began, _ := post(t, mcpURL, "ping")
	redirected, _ := post(t, "https://evil.example.com/mcp", "ping")
	redirected.Response = &http.Response{Request: began}
	if status, _ := send(t, rt, redirected); status != 401 || len(srv.got) != 1 || srv.got[0].authorization != "" {
		t.Errorf("status %d after %+v", status, srv.got)
	}
	srv.got = nil
	direct, _ := post(t, "https://evil.example.com/mcp", "ping")
	_, err := rt.RoundTrip(direct)
	var foreign *transport.OriginError
	if !errors.As(err, &foreign) || len(srv.got) != 1 || srv.got[0].authorization != "" {
		t.Errorf("%v after %+v, want *OriginError", err, srv.got)
	}
	srv.got = nil
	home, _ := post(t, mcpURL, "ping")
	if send(t, rt, home); srv.got[0].authorization != "Bearer secret" {
		t.Errorf("at home the Authorization is %q", srv.got[0].authorization)
	}
}
