//go:build realservers

package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/internal/realservers"
)

// startExampleServer starts the TypeScript SDK's example server with its own
// authorization server and returns the MCP URL.
func startExampleServer(t *testing.T) string {
	t.Helper()
	mcp, as := realservers.FreePort(t), realservers.FreePort(t)
	cmd := exec.Command("node",
		"node_modules/@modelcontextprotocol/sdk/dist/esm/examples/server/simpleStreamableHttp.js", "--oauth")
	cmd.Dir = realservers.Dir(t)
	cmd.Env = append(os.Environ(), "MCP_PORT="+mcp, "MCP_AUTH_PORT="+as)
	url := "http://localhost:" + mcp + "/mcp"
	realservers.Start(t, cmd, url, "http://localhost:"+as+"/.well-known/oauth-authorization-server")
	return url
}

func TestRealTypeScriptSDKHeadless(t *testing.T) {
	url := startExampleServer(t)
	var stdout, stderr bytes.Buffer
	if status := run(t.Context(), []string{"-headless", "-url", url}, &stdout, &stderr); status != 0 {
		t.Fatalf("exit status %d\n%s", status, &stderr)
	}
	if !strings.Contains(stdout.String(), "greet") {
		t.Errorf("no tool greet in:\n%s", &stdout)
	}
	stdout.Reset()
	if status := run(t.Context(), []string{"-headless", "-url", url, "-tool", "greet", "-args", `{"name":"Go"}`}, &stdout, &stderr); status != 0 {
		t.Fatalf("exit status %d\n%s", status, &stderr)
	}
	if got := strings.TrimSpace(stdout.String()); got != "Hello, Go!" {
		t.Errorf("greet said %q", got)
	}
}

// The user takes the URL that the example prompts with to a real browser.
func TestRealTypeScriptSDKInChromium(t *testing.T) {
	t.Setenv("BROWSER", "true") // for xdg-open: no other browser than the test's
	url := startExampleServer(t)
	b := realservers.OpenBrowser(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var stdout bytes.Buffer
	stderr, prompt := io.Pipe()
	status := make(chan int, 1)
	go func() {
		status <- run(ctx, []string{"-url", url, "-tool", "greet", "-args", `{"name":"Chromium"}`}, &stdout, prompt)
		_ = prompt.Close()
	}()
	var login string
	lines := bufio.NewScanner(stderr)
	for login == "" && lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); strings.HasPrefix(line, "http") {
			login = line
		}
	}
	if login == "" {
		t.Fatal("the example did not ask for a login")
	}
	rest := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(stderr)
		rest <- string(b)
	}()
	b.Visit(login) // this server asks no questions
	b.WaitFor("Signed in")
	b.Screenshot("signed-in")
	if s := <-status; s != 0 {
		t.Fatalf("exit status %d\n%s", s, <-rest)
	}
	if got := strings.TrimSpace(stdout.String()); got != "Hello, Chromium!" {
		t.Errorf("greet said %q", got)
	}
}

// With a store the second run finds the token, and the registration, of the
// first.
func TestRealSecondRunNeedsNoLogin(t *testing.T) {
	url := startExampleServer(t)
	store := "file:" + filepath.Join(t.TempDir(), "tokens")
	for i, wantLogin := range []bool{true, false} {
		var stdout, stderr bytes.Buffer
		if status := run(t.Context(), []string{"-headless", "-url", url, "-store", store, "-v"}, &stdout, &stderr); status != 0 {
			t.Fatalf("run %d: exit status %d\n%s", i+1, status, &stderr)
		}
		if login := strings.Contains(stderr.String(), "msg=authorized"); login != wantLogin {
			t.Errorf("run %d: login %v, want %v", i+1, login, wantLogin)
		}
	}
}
