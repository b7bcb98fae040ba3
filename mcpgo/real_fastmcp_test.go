//go:build realservers

package mcpgo_test

import (
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/internal/realservers"
)

// fastmcp names its origin as the resource, wants a secret of every client, hides
// tools in place of asking for scopes, and cannot revoke. At a restart it forgets
// clients, tokens and sessions, and answers them with 400, 401 and 404. The server
// behind it is the kit's.
func TestRealFastMCP(t *testing.T) {
	as := authtest.NewServer(t)
	as.AddClient("fastmcp", "secret of fastmcp", "http://127.0.0.1/oauth/callback") // at any port
	f := realservers.StartFastMCP(t, realservers.FastMCPConfig{
		AuthorizationEndpoint: as.Endpoint(authtest.AuthorizeEndpoint), TokenEndpoint: as.Endpoint(authtest.TokenEndpoint),
		ClientID: "fastmcp", ClientSecret: "secret of fastmcp",
	})
	l := newLife(t, auth.Config{Resource: f.URL})

	l.call("read")
	l.cost("login", 1, 1, 0)
	l.refresh()
	l.call("read")
	l.cost("rotation", 0, 0, 1)
	l.restart()
	l.call("read")
	l.cost("restart of the client", 0, 0, 0)

	l.hangUp() // a session does not outlive its server
	f.Forget()
	l.call("read")
	l.cost("server restarted while logged in", 1, 1, 1)
	l.restart()
	f.Forget()
	l.call("read")
	l.cost("both restarted while logged in", 1, 1, 1)
	l.lose()
	f.Forget()
	l.call("read")
	l.cost("server restarted while logged out", 1, 1, 0)

	l.logOut(auth.ErrNoRevocation)
	f.Forget()
	l.call("read")
	l.cost("server restarted after the logout", 1, 1, 0)
}
