//go:build realservers

package realservers

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Zitadel is the example provider of github.com/zitadel/oidc, the Go library that
// zitadel and others are built with. It exchanges tokens (RFC 8693).
type Zitadel struct {
	// Issuer is its issuer identifier, with a slash at the end.
	Issuer string
	// RedirectPort is the port of 127.0.0.1 where "/callback" is registered for
	// the clients "web" and "api", whose secret is "secret".
	RedirectPort int

	t      testing.TB
	client *http.Client
}

// The users of the provider. The first may be impersonated by clients alone, the
// second only where an actor is named.
const (
	ZitadelAdmin = "test-user@localhost"
	ZitadelUser  = "test-user2"
)

// StartZitadel starts the provider and returns when it answers.
func StartZitadel(t testing.TB) *Zitadel {
	t.Helper()
	redirect, err := strconv.Atoi(FreePort(t))
	if err != nil {
		t.Fatal(err)
	}
	port := FreePort(t)
	z := &Zitadel{Issuer: "http://localhost:" + port + "/", RedirectPort: redirect, t: t, client: newClient(t)}
	cmd := exec.Command(filepath.Join(Dir(t), "zitadel-oidc", "server"))
	cmd.Env = append(os.Environ(), "PORT="+port, "REDIRECT_URI=http://127.0.0.1:"+strconv.Itoa(redirect)+"/callback")
	Start(t, cmd, z.Issuer+"healthz")
	return z
}

// HTTPClient returns a client for the provider's users, whose connections close
// when the test ends.
func (z *Zitadel) HTTPClient() *http.Client { return z.client }

// SignIn logs a user in at the provider's own page, in b.
func (z *Zitadel) SignIn(b *Browser, target, user string) {
	b.Visit(target)
	b.WaitFor("Username")
	b.Fill("#username", user)
	b.Fill("#password", "verysecure")
	b.Click("button[type=submit]")
	b.WaitFor("Signed in")
}

// ZitadelIntrospection is what the provider says about a token (RFC 7662 section
// 2.2).
type ZitadelIntrospection struct {
	Active   bool   `json:"active"`
	Subject  string `json:"sub"`
	ClientID string `json:"client_id"`
	Scope    string `json:"scope"`
}

// Introspect asks the provider about a token.
func (z *Zitadel) Introspect(token string) (in ZitadelIntrospection) {
	z.t.Helper()
	req, err := http.NewRequest(http.MethodPost, z.Issuer+"oauth/introspect", strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		z.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("api", "secret")
	resp, err := z.client.Do(req)
	if err != nil {
		z.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&in); err != nil {
		z.t.Fatal(err)
	}
	return in
}
