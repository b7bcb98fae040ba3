package gosdktest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	sdkauth "github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/transport"
)

// guarded is the SDK's server behind the SDK's own middleware: any request needs
// mcp:read, the tool "write" needs mcp:write too.
func guarded(t *testing.T, as *authtest.Server) *httptest.Server {
	verify := func(_ context.Context, token string, _ *http.Request) (*sdkauth.TokenInfo, error) {
		info, ok := as.Inspect(token)
		if !ok || !info.Active {
			return nil, sdkauth.ErrInvalidToken
		}
		return &sdkauth.TokenInfo{Scopes: info.Scopes, Expiration: info.Expiry}, nil
	}
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	const at = "/.well-known/oauth-protected-resource"
	sessions := newServer()
	protect := func(scopes ...string) http.Handler {
		return sdkauth.RequireBearerToken(verify, &sdkauth.RequireBearerTokenOptions{Scopes: scopes, ResourceMetadataURL: srv.URL + at})(sessions)
	}
	read, write := protect("mcp:read"), protect("mcp:read", "mcp:write")
	mux.Handle(at, sdkauth.ProtectedResourceMetadataHandler(&oauthex.ProtectedResourceMetadata{
		Resource: srv.URL + "/mcp", AuthorizationServers: []string{as.Issuer}, ScopesSupported: []string{"mcp:read", "mcp:write"},
	}))
	mux.HandleFunc("/mcp", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "unreadable", http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if strings.Contains(string(body), `"name":"write"`) {
			write.ServeHTTP(w, r)
			return
		}
		read.ServeHTTP(w, r)
	})
	return srv
}

func guardedSession(t *testing.T, as *authtest.Server, url string) *mcp.ClientSession {
	t.Helper()
	m, err := auth.NewManager(auth.Config{Resource: url, Grant: grant.AuthorizationCode{UserAgent: browser.Headless{}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{
		Endpoint: url, DisableStandaloneSSE: true,
		HTTPClient: &http.Client{Transport: &transport.RoundTripper{Source: m}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}

// The SDK's middleware answers a lack of scopes with 403 and a challenge that
// names them, and no error code. That is a step-up, once.
func TestStepUpAtTheSDKsMiddleware(t *testing.T) {
	as := authtest.NewServerConfig(t, authtest.Config{})
	session := guardedSession(t, as, guarded(t, as).URL+"/mcp")
	for _, tool := range []string{"read", "write", "write", "read"} {
		if err := call(t.Context(), session, tool); err != nil {
			t.Fatalf("%s: %v", tool, err)
		}
	}
	if n := as.Counts(); n.Authorize != 2 || n.Register != 1 {
		t.Errorf("%+v, want one login and one more for the scope", n)
	}
}

// A scope that is not granted ends in an error that names it, and no second
// window opens for the same call.
func TestStepUpRefusedAtTheSDKsMiddleware(t *testing.T) {
	as := authtest.NewServerConfig(t, authtest.Config{ScopesSupported: []string{"mcp:read"}})
	session := guardedSession(t, as, guarded(t, as).URL+"/mcp")
	for range 3 {
		err := call(t.Context(), session, "write")
		var insufficient *auth.InsufficientScopeError
		if !errors.As(err, &insufficient) || !strings.Contains(err.Error(), "mcp:write") {
			t.Fatalf("CallTool = %v, want *InsufficientScopeError", err)
		}
	}
	if n := as.Counts(); n.Authorize > 3 {
		t.Errorf("%d logins, want the first and at most as many as Config.StepUpLimit", n.Authorize)
	}
	if err := call(t.Context(), session, "read"); err != nil {
		t.Errorf("the session is gone: %v", err)
	}
}
