package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	mcptransport "github.com/mark3labs/mcp-go/client/transport"
	"golang.org/x/oauth2"

	"github.com/mcptokens/mcptokens/auth"
)

// tokenJSON is what token endpoints answer here. It does not rotate, so that
// one expired token can be refreshed any number of times.
var tokenJSON = `{"access_token":"` + accessToken + `","token_type":"Bearer","expires_in":3600}`

// endpoint is a token endpoint on a socket that takes 20 ms to answer, and its
// server's metadata.
type endpoint struct {
	*httptest.Server
	status   int // of its answers
	requests atomic.Int64
}

func newEndpoint(status int) *endpoint {
	e := &endpoint{status: status}
	e.Server = httptest.NewServer(e)
	return e
}

const endpointDelay = 20 * time.Millisecond

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.Method == http.MethodGet {
		fmt.Fprintf(w, `{"issuer":%q,"authorization_endpoint":%[1]q,"token_endpoint":%[1]q,"response_types_supported":["code"]}`, e.URL)
		return
	}
	e.requests.Add(1)
	_, _ = io.Copy(io.Discard, r.Body)
	time.Sleep(endpointDelay)
	w.WriteHeader(e.status)
	if e.status == http.StatusOK {
		_, _ = io.WriteString(w, tokenJSON)
	}
}

// newManager returns a manager whose token has expired, and its end.
func newManager(tokenEndpoint string, base http.RoundTripper) (*auth.Manager, func()) {
	m := must(auth.NewManager(auth.Config{
		Resource:   resourceURL,
		Server:     &auth.Server{Issuer: "https://as.example.com", TokenEndpoint: tokenEndpoint},
		Client:     auth.Client{ID: "bench"},
		HTTPClient: &http.Client{Transport: base},
	}))
	check(m.SetToken(context.Background(), &auth.Token{AccessToken: "old", RefreshToken: "refresh", Expiry: time.Now().Add(-time.Minute)}))
	return m, func() { check(m.Close()) }
}

// refreshing are the ways to a new token that are compared: each func returns a
// way to get one from an endpoint, through base, beginning with a token that has
// expired.
type refreshing struct {
	name string
	of   func(tokenEndpoint string, base http.RoundTripper) (get func(context.Context) error, end func())
}

var (
	withManager = refreshing{"auth.Manager", func(tokenEndpoint string, base http.RoundTripper) (func(context.Context) error, func()) {
		m, end := newManager(tokenEndpoint, base)
		return func(ctx context.Context) error {
			_, err := m.Token(ctx)
			return err
		}, end
	}}
	withOAuth2 = refreshing{"oauth2.ReuseTokenSource", func(tokenEndpoint string, base http.RoundTripper) (func(context.Context) error, func()) {
		ctx := context.WithValue(context.Background(), oauth2.HTTPClient, &http.Client{Transport: base})
		cfg := oauth2.Config{ClientID: "bench", Endpoint: oauth2.Endpoint{TokenURL: tokenEndpoint, AuthStyle: oauth2.AuthStyleInParams}}
		source := cfg.TokenSource(ctx, &oauth2.Token{AccessToken: "old", RefreshToken: "refresh", Expiry: time.Now().Add(-time.Minute)})
		return func(context.Context) error {
			_, err := source.Token()
			return err
		}, func() {}
	}}
	withMCPGo = refreshing{"mcp-go: OAuthHandler", func(tokenEndpoint string, base http.RoundTripper) (func(context.Context) error, func()) {
		store := mcptransport.NewMemoryTokenStore()
		check(store.SaveToken(context.Background(), &mcptransport.Token{AccessToken: "old", RefreshToken: "refresh", ExpiresAt: time.Now().Add(-time.Minute)}))
		handler := mcptransport.NewOAuthHandler(mcptransport.OAuthConfig{
			ClientID: "bench", TokenStore: store, AuthServerMetadataURL: tokenEndpoint, HTTPClient: &http.Client{Transport: base},
		})
		_, err := handler.GetServerMetadata(context.Background()) // which it keeps
		check(err)
		return func(ctx context.Context) error {
			_, err := handler.GetAuthorizationHeader(ctx)
			return err
		}, func() {}
	}}
)

// post is the token request that a refresh cannot do without, by net/http and
// net/url.
func post(ctx context.Context, client *http.Client, tokenEndpoint string) ([]byte, error) {
	form := url.Values{"client_id": {"bench"}, "grant_type": {"refresh_token"}, "refresh_token": {"refresh"}, "resource": {resourceURL}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, tokenEndpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}
