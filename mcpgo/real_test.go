//go:build realservers

package mcpgo_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	mcptransport "github.com/mark3labs/mcp-go/client/transport"

	"github.com/mcptokens/mcptokens/internal/realservers"
	"github.com/mcptokens/mcptokens/mcpgo"
)

// The official reference server says what is in its environment.
func everything(t *testing.T) (command string, args []string) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal(err)
	}
	return node, []string{filepath.Join(realservers.Dir(t), "node_modules/@modelcontextprotocol/server-everything/dist/index.js"), "stdio"}
}

// environmentOf checks that the server sees what it may see, and returns its
// token.
func environmentOf(t *testing.T, c *client.Client, extra ...string) string {
	t.Helper()
	text, err := callText(t.Context(), c, "get-env", nil)
	if err != nil {
		t.Fatal(err)
	}
	var env map[string]string
	if err := json.Unmarshal([]byte(text), &env); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	allowed := append([]string{"HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"}, extra...)
	for name, value := range env {
		if !slices.Contains(allowed, name) {
			t.Errorf("the server sees %s", name)
		}
		if want, ok := os.LookupEnv(name); ok && value != want {
			t.Errorf("%s is %q, want %q as here", name, value, want)
		}
	}
	for _, name := range allowed {
		_, here := os.LookupEnv(name)
		if _, there := env[name]; !there && (here || slices.Contains(extra, name)) {
			t.Errorf("the server does not see %s", name)
		}
	}
	return env["API_TOKEN"]
}

func TestRealCommandFunc(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "must not leak")
	m := tokenManager(t, "first")
	command, args := everything(t)
	c, err := client.NewStdioMCPClientWithOptions(command, []string{"OF_MCPGO=1"}, args,
		mcptransport.WithCommandFunc(mcpgo.CommandFunc(m, mcpgo.WithTokenVariable("API_TOKEN"))))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := initialize(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if got := environmentOf(t, c, "API_TOKEN", "OF_MCPGO"); got != "first" {
		t.Errorf("the server has the token %q", got)
	}
}

func TestRealRestart(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "must not leak")
	m := tokenManager(t, "first")
	command, args := everything(t)
	c := connectStdio(t, mcpgo.NewStdio(m, command, args, mcpgo.WithTokenVariable("API_TOKEN"),
		mcpgo.WithTokenFile("API_TOKEN_FILE", nil), mcpgo.WithRestart()))
	for _, token := range []string{"first", "second", "third"} {
		setToken(t, m, token)
		if got := environmentOf(t, c, "API_TOKEN", "API_TOKEN_FILE"); got != token {
			t.Errorf("the server has the token %q, want %q", got, token)
		}
		if text, err := callText(t.Context(), c, "echo", map[string]any{"message": token}); err != nil || !strings.Contains(text, token) {
			t.Errorf("echo: %q, %v", text, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
