//go:build realservers

package realservers

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// MCPTools are the tools of the MCP servers here, by the scope that a call needs.
// Every other request needs mcp:read. A tool answers with its name. The servers'
// metadata do not mention mcp:admin.
var MCPTools = map[string]string{"read": "mcp:read", "write": "mcp:write", "admin": "mcp:admin"}

// tokenFacts is what an authorization server says about a token (RFC 7662 section
// 2.2), as far as all of them say it.
type tokenFacts struct {
	Active bool   `json:"active"`
	Scope  string `json:"scope"`
}

// serveMCP runs an MCP server that asks introspect about every token and names
// the authorization server in its metadata (RFC 9728). It returns its URL.
func serveMCP(t testing.TB, issuer string, introspect func(token string) (tokenFacts, error)) string {
	mcpServer := server.NewMCPServer("real", "1")
	for tool := range MCPTools {
		mcpServer.AddTool(mcp.NewTool(tool), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return mcp.NewToolResultText(tool), nil
		})
	}
	handler := server.NewStreamableHTTPServer(mcpServer)
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	const wellKnown = "/.well-known/oauth-protected-resource/mcp"
	mux.HandleFunc("GET "+wellKnown, func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, object{
			"resource": srv.URL + "/mcp", "authorization_servers": []string{issuer}, "scopes_supported": []string{"mcp:read", "mcp:write"},
		})
	})
	mux.HandleFunc("/mcp", func(w http.ResponseWriter, r *http.Request) {
		scope := neededScope(r)
		challenge := func(status int, params string) {
			w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="`+srv.URL+wellKnown+`", scope="`+scope+`"`+params)
			w.WriteHeader(status)
		}
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			challenge(http.StatusUnauthorized, "")
			return
		}
		switch in, err := introspect(token); {
		case err != nil:
			http.Error(w, err.Error(), http.StatusBadGateway)
		case !in.Active:
			challenge(http.StatusUnauthorized, `, error="invalid_token"`)
		case !slices.Contains(strings.Fields(in.Scope), scope):
			challenge(http.StatusForbidden, `, error="insufficient_scope"`)
		default:
			handler.ServeHTTP(w, r)
		}
	})
	return srv.URL + "/mcp"
}

// neededScope reads the request, which can be read again, and returns the scope
// that it needs.
func neededScope(r *http.Request) string {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	var message struct {
		Params struct {
			Name string `json:"name"`
		} `json:"params"`
	}
	_ = json.Unmarshal(body, &message)
	if scope := MCPTools[message.Params.Name]; scope != "" {
		return scope
	}
	return MCPTools["read"]
}
