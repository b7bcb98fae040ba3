package transport_test

import (
	"context"
	"net/http"
	"testing"

	"golang.org/x/oauth2"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/transport"
)

// nowhere answers at once, so that only the RoundTripper's own cost is left.
type nowhere struct{ resp *http.Response }

func (n nowhere) RoundTrip(*http.Request) (*http.Response, error) { return n.resp, nil }

// constant is a source whose token is always fresh.
type constant struct{ token *auth.Token }

func (c constant) Token(context.Context) (*auth.Token, error) { return c.token, nil }
func (c constant) Resolve(context.Context, *auth.Token, auth.Challenge) (*auth.Token, error) {
	return c.token, nil
}
func (c constant) Resource() string { return "https://mcp.example.com/mcp" }

// BenchmarkRoundTrip compares the overhead per request with a fresh token. The
// floor is what the contract of http.RoundTripper costs: a copy of the request
// and of its header map.
func BenchmarkRoundTrip(b *testing.B) {
	req, err := http.NewRequest(http.MethodPost, "https://mcp.example.com/mcp", nil)
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("Mcp-Session-Id", "session")
	base := nowhere{&http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}}
	for name, rt := range map[string]http.RoundTripper{
		"floor":  copying{base},
		"ours":   &transport.RoundTripper{Source: constant{&auth.Token{AccessToken: "token"}}, Base: base},
		"oauth2": &oauth2.Transport{Source: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "token"}), Base: base},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := rt.RoundTrip(req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// copying does the least that a RoundTripper which adds a header has to do.
type copying struct{ base http.RoundTripper }

func (c copying) RoundTrip(req *http.Request) (*http.Response, error) {
	out := *req
	out.Header = make(http.Header, len(req.Header)+1)
	for k, v := range req.Header {
		out.Header[k] = v
	}
	return c.base.RoundTrip(&out)
}
