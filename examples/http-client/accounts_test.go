package main

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/auth/authtest"
)

// The tool from one end to the other, with two accounts.
func TestAccounts(t *testing.T) {
	var idToken string
	srv := authtest.NewServerConfig(t, authtest.Config{Rewrite: func(e authtest.Endpoint, _ *http.Request, a *authtest.Reply) {
		if e == authtest.TokenEndpoint && idToken != "" {
			a.Document["id_token"] = idToken
		}
	}})
	url := srv.Protect(newMCPServer(), authtest.Protection{}).URL
	store := "file:" + filepath.Join(t.TempDir(), "tokens")
	try := func(want int, args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if got := run(t.Context(), append(args, "-store", store, "-headless"), &stdout, &stderr); got != want {
			t.Fatalf("http-client %s: exit status %d, want %d\n%s%s", strings.Join(args, " "), got, want, &stdout, &stderr)
		}
		return stdout.String() + stderr.String()
	}
	says := func(text string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("%q is not in:\n%s", part, text)
			}
		}
	}

	says(try(exitLogIn, "status"), "You are not logged in to any MCP server", "http-client login URL")
	says(try(exitLogIn, "token", url), "You are not logged in to "+url, "run: http-client login "+url)
	says(try(exitLogIn, "call", "-account", "work", url, "greet"), "run: http-client login -account work "+url)
	if n := srv.Counts().Authorize; n != 0 {
		t.Fatalf("%d logins before login", n)
	}

	says(try(0, "login", url), "Logged in to "+url)
	says(try(0, "login", url, "-account", "work"), "Logged in to "+url+" as work")
	says(try(0, "login", url, "-account", "work"), "as work") // again: as somebody else, perhaps
	if n := srv.Counts().Authorize; n != 3 {
		t.Errorf("%d logins, want one for each", n)
	}

	before := srv.Counts()
	says(try(0, "status"), url, "✓ Logged in\n", "✓ Logged in as work", srv.URL)
	says(try(0, "status", url), "✓ Logged in\n", "is renewed")
	says(try(0, "accounts"), "MCP SERVER", url, "work")
	if !reflect.DeepEqual(srv.Counts(), before) {
		t.Error("status and accounts asked the server")
	}

	says(try(0, "tools", url), "greet")
	says(try(0, "call", url, "greet", `{"name":"Go"}`), "hello")
	header := strings.TrimSpace(try(0, "token", url, "-account", "work"))
	name, value, _ := strings.Cut(header, ": ")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(name, value)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode == http.StatusUnauthorized {
		t.Errorf("the server does not take %s", header)
	}

	says(try(exitFailed, "whoami", url), "gave no ID token", "-scopes openid")
	idToken = "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"7","name":"Ada \u001b[2J","email":"ada@example.com"}`)) + ".sig"
	try(0, "login", url)
	says(try(0, "whoami", url), `"Ada \x1b[2J" "ada@example.com" ("7")`)
	idToken = "e30.e30"
	try(0, "login", url)
	try(exitFailed, "whoami", url)

	says(try(0, "logout", url), "Logged out of "+url)
	try(exitLogIn, "whoami", url)
	says(try(exitLogIn, "status", url), "You are not logged in")
	says(try(0, "status", url, "-account", "work"), "as work")
	try(exitLogIn, "logout", url)
	try(exitUsage, "login")
	try(exitUsage, "login", "http://mcp.example.com/mcp")
	try(exitFailed, "call", url, "greet", "[1]", "-account", "work")
	says(try(0, "login", "-h"), "It always asks")
}
