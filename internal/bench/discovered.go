package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mcptokens/mcptokens/auth"
)

const issuerURL = "https://as.example.com"

// internet has the metadata of the resource and of its authorization server,
// which issues tokens of tokenLength.
type internet struct{ asked, issued atomic.Int64 }

func (n *internet) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	var body string
	switch {
	case strings.HasSuffix(r.URL.Path, "/token"):
		token := fmt.Sprintf("%0*d", tokenLength, n.issued.Add(1))
		body = fmt.Sprintf(`{"access_token":%[1]q,"refresh_token":%[1]q,"token_type":"Bearer","expires_in":3600}`, token)
	case strings.Contains(r.URL.Path, "oauth-protected-resource"):
		n.asked.Add(1)
		body = fmt.Sprintf(`{"resource":%q,"authorization_servers":[%q],"scopes_supported":["mcp:read"]}`, resourceURL, issuerURL)
	default:
		n.asked.Add(1)
		body = fmt.Sprintf(`{"issuer":%[1]q,"authorization_endpoint":"%[1]s/authorize","token_endpoint":"%[1]s/token",
			"code_challenge_methods_supported":["S256"],"response_types_supported":["code"]}`, issuerURL)
	}
	return &http.Response{
		StatusCode: http.StatusOK, Request: r, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)),
	}, nil
}

// forgetful is a database that takes what it is given, and forgets it.
type forgetful struct{ database }

func (forgetful) Save(_ context.Context, _ auth.Key, r *auth.Record) (uint64, error) {
	return r.Generation + 1, nil
}

func (forgetful) Lock(context.Context, auth.Key) (func(), error) { return func() {}, nil }

// lost has every one of n subjects find a token in the store that the resource
// rejects, look where to get another, and refresh it. The resource accepts that.
func lost(p *auth.Pool, n int) {
	ctx := context.Background()
	for i := range n {
		s := p.Source(strconv.Itoa(i), resourceURL)
		s.Accepted(must(s.Resolve(ctx, must(s.Token(ctx)), auth.Challenge{Status: http.StatusUnauthorized})))
	}
}

// discovered is the footprint of a manager in a pool of n whose configuration
// names no authorization server, and how often all together asked for metadata.
func discovered(n int) (f footprint, asked int64) {
	net := new(internet)
	// A token that is seconds old would first be sent again after a wait.
	tokens := database{obtained: time.Now().Add(-2 * time.Hour), expiry: time.Now().Add(time.Hour)}
	cfg := &auth.Config{
		Client: auth.Client{ID: "gateway"}, HTTPClient: &http.Client{Transport: net},
		Network: auth.Network{AnyAddress: true}, // net connects nowhere
		Store:   forgetful{tokens},
	}
	p := must(auth.NewPool(auth.PoolConfig{
		Config:      func(string, string) (*auth.Config, error) { return cfg, nil },
		MaxManagers: n + 1,
		RefreshIdle: true,
	}))
	defer func() { check(p.Close()) }()
	lost(p, 1)
	f = measureFootprint(n, func(n int) any {
		lost(p, n)
		return p
	})
	return f, net.asked.Load()
}
