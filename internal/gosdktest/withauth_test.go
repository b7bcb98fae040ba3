package gosdktest

import (
	"errors"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/mcpgo"
)

// An mcp-go client with the option steps up at a server that is built with the
// SDK: once, and what is not granted ends in an error that names it.
func TestWithAuthAtTheSDKsMiddleware(t *testing.T) {
	for name, tt := range map[string]struct {
		supported []string
		logins    int
	}{
		"granted":     {nil, 2},
		"not granted": {[]string{"mcp:read"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			as := authtest.NewServerConfig(t, authtest.Config{ScopesSupported: tt.supported})
			url := guarded(t, as).URL + "/mcp"
			m, err := auth.NewManager(auth.Config{Resource: url, Grant: grant.AuthorizationCode{UserAgent: browser.Headless{}}})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			c, err := client.NewStreamableHttpClient(url, mcpgo.WithAuth(m))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			hello := mcp.InitializeRequest{}
			hello.Params.ProtocolVersion = "2025-11-25" // the newest that both speak
			if _, err := c.Initialize(t.Context(), hello); err != nil {
				t.Fatal(err)
			}
			for _, tool := range []string{"read", "write", "write", "read"} {
				var request mcp.CallToolRequest
				request.Params.Name = tool
				_, err := c.CallTool(t.Context(), request)
				var insufficient *auth.InsufficientScopeError
				switch refused := tool == "write" && tt.supported != nil; {
				case refused && (!errors.As(err, &insufficient) || !strings.Contains(err.Error(), "mcp:write")):
					t.Errorf("%s: %v, want an *InsufficientScopeError that names the scope", tool, err)
				case !refused && err != nil:
					t.Errorf("%s: %v", tool, err)
				}
			}
			if n := as.Counts().TokenByGrant["authorization_code"]; tt.logins > 0 && n != tt.logins {
				t.Errorf("%d logins, want %d", n, tt.logins)
			}
		})
	}
}
