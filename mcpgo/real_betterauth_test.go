//go:build realservers

package mcpgo_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/internal/realservers"
)

// better-auth answers scripts otherwise than browsers, registers clients for all
// scopes, and cannot revoke its access tokens, which are JWTs. Its issuer has a path,
// and the metadata that it makes for MCP servers leave that out, so that the program
// has to name it.
func TestRealBetterAuth(t *testing.T) {
	b := realservers.StartBetterAuth(t)
	setting := fmt.Sprintf("set Config.Server.Issuer to %q", b.Issuer)
	if err := newLife(t, auth.Config{Resource: b.URL}).try("read"); err == nil || !strings.Contains(err.Error(), setting) {
		t.Errorf("without its issuer: %v, want an error that says: %s", err, setting)
	}
	l := newLife(t, auth.Config{
		Resource: b.URL, Server: &auth.Server{Issuer: b.Issuer},
		Scopes: []string{"mcp:read"}, // else it grants all that it has
	})

	l.call("read")
	l.cost("login", 1, 1, 0)
	l.refresh()
	l.call("read")
	l.cost("rotation", 0, 0, 1)
	l.restart()
	l.call("read")
	l.cost("restart of the client", 0, 0, 0)
	l.call("write")
	l.cost("step-up", 1, 0, 1)
	l.call("admin")
	l.cost("step-up beyond what the MCP server lists", 1, 0, 0)

	b.Forget()
	l.call("read")
	l.cost("server restarted while logged in", 1, 1, 1)
	l.restart()
	b.Forget()
	l.call("read")
	l.cost("both restarted while logged in", 1, 1, 1)
	l.lose()
	b.Forget()
	l.call("read")
	l.cost("server restarted while logged out", 1, 1, 0)

	client := l.m.Info().ClientID
	last := l.logOut(nil)
	resp, err := http.PostForm(b.Issuer+"/oauth2/token", url.Values{
		"grant_type": {"refresh_token"}, "client_id": {client}, "refresh_token": {last.RefreshToken},
	})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(answer), "invalid_grant") {
		t.Errorf("after the logout the refresh token gets %s %s, %v", resp.Status, answer, err)
	}
	b.Forget()
	l.call("read")
	l.cost("server restarted after the logout", 1, 1, 0)
}
