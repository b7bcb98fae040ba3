package main

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	mcptransport "github.com/mark3labs/mcp-go/client/transport"
	"golang.org/x/oauth2"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/transport"
)

const resourceURL = "https://mcp.example.com/mcp"

// accessToken is as long as a small JWT.
var accessToken = strings.Repeat("x", 800)

// freshManager returns a manager whose token outlives every measurement, and
// its end.
func freshManager(resource string) (*auth.Manager, func()) {
	m := must(auth.NewManager(auth.Config{
		Resource: resource,
		Server:   &auth.Server{TokenEndpoint: "https://as.example.com/token"},
		Client:   auth.Client{ID: "bench"},
	}))
	check(m.SetToken(context.Background(), &auth.Token{AccessToken: accessToken, RefreshToken: "refresh", Expiry: time.Now().Add(24 * time.Hour)}))
	return m, func() { check(m.Close()) }
}

func freshOAuth2() oauth2.TokenSource {
	return oauth2.ReuseTokenSource(&oauth2.Token{AccessToken: accessToken, Expiry: time.Now().Add(24 * time.Hour)}, nil)
}

// freshMCPGo is what client.WithHTTPOAuth puts in front of every request.
func freshMCPGo() *mcptransport.OAuthHandler {
	store := mcptransport.NewMemoryTokenStore()
	check(store.SaveToken(context.Background(), &mcptransport.Token{AccessToken: accessToken, TokenType: "Bearer", ExpiresAt: time.Now().Add(24 * time.Hour)}))
	return mcptransport.NewOAuthHandler(mcptransport.OAuthConfig{ClientID: "bench", TokenStore: store})
}

// freshToken compares what nearly every request does: get a token that is
// fresh. The floor is what cannot be left out: an atomic load, and the time.
func freshToken() ([]variant, func()) {
	ctx := context.Background()
	type snapshot struct {
		token *auth.Token
		until int64
	}
	var current atomic.Pointer[snapshot]
	current.Store(&snapshot{&auth.Token{}, time.Now().Add(24 * time.Hour).UnixNano()})
	m, end := freshManager(resourceURL)
	source := freshOAuth2()
	return []variant{
		{"floor: atomic load, time.Now", func(n int) {
			for range n {
				if s := current.Load(); s == nil || s.token == nil || time.Now().UnixNano() >= s.until {
					panic("not fresh")
				}
			}
		}},
		{"Manager.Token", func(n int) {
			for range n {
				_ = must(m.Token(ctx))
			}
		}},
		{"oauth2.ReuseTokenSource", func(n int) {
			for range n {
				_ = must(source.Token())
			}
		}},
	}, end
}

// headerValue compares how to get the value of the Authorization header.
func headerValue() ([]variant, func()) {
	ctx := context.Background()
	variants, endFresh := freshToken()
	m, end := freshManager(resourceURL)
	source, handler := freshOAuth2(), freshMCPGo()
	return []variant{
		variants[0],
		{"Manager.Token, Token.Authorization", func(n int) {
			for range n {
				if must(m.Token(ctx)).Authorization() == "" {
					panic("no header")
				}
			}
		}},
		{"oauth2: Type and AccessToken", func(n int) {
			for range n {
				if t := must(source.Token()); len(t.Type()+" "+t.AccessToken) == 0 {
					panic("no header")
				}
			}
		}},
		{"mcp-go: GetAuthorizationHeader", func(n int) {
			for range n {
				_ = must(handler.GetAuthorizationHeader(ctx))
			}
		}},
	}, func() { endFresh(); end() }
}

// nowhere answers at once, so that only the cost of what is above it is left.
type nowhere struct{ resp http.Response }

func (n *nowhere) RoundTrip(*http.Request) (*http.Response, error) { return &n.resp, nil }

// copying does the least that the contract of http.RoundTripper leaves to one
// that adds a header: a copy of the request and of its header map.
type copying struct{ base http.RoundTripper }

func (c copying) RoundTrip(req *http.Request) (*http.Response, error) {
	out := *req
	out.Header = make(http.Header, len(req.Header)+1)
	for k, v := range req.Header {
		out.Header[k] = v
	}
	return c.base.RoundTrip(&out)
}

// cloning is copying with maps.Clone, which takes less time than a loop.
type cloning struct{ base http.RoundTripper }

func (c cloning) RoundTrip(req *http.Request) (*http.Response, error) {
	out := *req
	out.Header = maps.Clone(req.Header)
	return c.base.RoundTrip(&out)
}

// roundTrip compares what a RoundTripper adds to each request, with a request
// such as mcp-go makes.
func roundTrip() ([]variant, func()) {
	req := must(http.NewRequest(http.MethodPost, resourceURL, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ping"}`)))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("Mcp-Session-Id", "session")
	req.Header.Set("Mcp-Protocol-Version", "2025-11-25")
	base := &nowhere{http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}}
	m, end := freshManager(resourceURL)
	send := func(rt http.RoundTripper) func(int) {
		return func(n int) {
			for range n {
				_ = must(rt.RoundTrip(req))
			}
		}
	}
	return []variant{
		{"floor: copy of request and header map", send(copying{base})},
		{"the same with maps.Clone", send(cloning{base})},
		{"transport.RoundTripper", send(&transport.RoundTripper{Source: m, Base: base})},
		{"oauth2.Transport", send(&oauth2.Transport{Source: freshOAuth2(), Base: base})},
	}, end
}
