//go:build realservers

package mcpgo_test

import (
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/internal/realservers"
)

// Ory Hydra limits clients to the scopes that they registered with, gives no more
// scopes by refresh (RFC 6749 section 6), does not know resources (RFC 8707), and
// has its metadata at OpenID Connect's place only.
func TestRealHydra(t *testing.T) {
	h := realservers.StartHydra(t)
	l := newLife(t, auth.Config{Resource: h.URL})

	l.call("read")
	l.cost("login", 1, 1, 0)
	l.refresh()
	l.call("read")
	l.cost("rotation", 0, 0, 1)
	l.restart()
	l.call("read")
	l.cost("restart of the client", 0, 0, 0)

	// The client was registered for what the MCP server lists, and for no more. A
	// look shows that, not a window that comes back.
	l.call("write")
	l.cost("step-up", 1, 0, 1)
	l.call("admin")
	l.cost("step-up beyond the registration", 1, 1, 0)
	l.restart()
	l.call("admin")
	l.cost("restart after the step-up", 0, 0, 0)

	// One refusal of the client at the refresh is confirmed by another.
	h.Forget()
	l.call("read")
	l.cost("server restarted while logged in", 1, 1, 2)
	l.restart()
	h.Forget()
	l.call("write")
	l.cost("both restarted while logged in", 1, 1, 2)
	l.lose()
	h.Forget()
	l.call("read")
	l.cost("server restarted while logged out", 1, 1, 0)

	last := l.logOut(nil)
	for _, secret := range []string{last.AccessToken, last.RefreshToken} {
		if h.Active(secret) {
			t.Error("a token is active after the logout")
		}
	}
	h.Forget()
	l.call("read")
	l.cost("server restarted after the logout", 1, 1, 0)
}
