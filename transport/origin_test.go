package transport_test

import (
	"net/http"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/transport"
)

// Design invariant 17: tokens go to the resource's own origin only.
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
				status, _ := send(t, rt, req)
				got := srv.got[0].authorization
				if tt.home && (status != 200 || got != "Bearer secret") || !tt.home && (status != 401 || got != "" || len(srv.got) != 1) {
					t.Errorf("status %d, Authorization %q, %d requests; home: %v", status, got, len(srv.got), tt.home)
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
