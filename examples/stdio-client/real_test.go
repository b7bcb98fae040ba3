//go:build realservers

package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/internal/realservers"
)

// The official reference server says what is in its environment.
func TestRealEverythingServer(t *testing.T) {
	t.Setenv("MY_TOKEN", "the-token")
	server := filepath.Join(realservers.Dir(t), "node_modules/@modelcontextprotocol/server-everything/dist/index.js")
	var stdout, stderr bytes.Buffer
	args := []string{"-token-variable", "API_TOKEN", "-token-from", "MY_TOKEN", "-tool", "get-env", "--", "node", server, "stdio"}
	if status := run(t.Context(), args, &stdout, &stderr); status != 0 {
		t.Fatalf("exit status %d\n%s", status, &stderr)
	}
	if out := stdout.String(); !strings.Contains(out, `"API_TOKEN": "the-token"`) || strings.Contains(out, "MY_TOKEN") {
		t.Errorf("the server's environment is %s", out)
	}
}
