//go:build realservers

package realservers

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
)

//go:embed betterauth.mjs
var betterAuthScript []byte

// BetterAuth is the npm package better-auth with its OAuth provider, and an MCP
// server of the TypeScript SDK's that it protects. Its data are in memory. The
// pages for login and consent say yes to everything, by redirects.
type BetterAuth struct {
	// URL is the MCP server's: see [MCPTools].
	URL string
	// Issuer is the issuer identifier. The MCP server's metadata name its origin, as
	// better-auth writes them by default.
	Issuer string

	t      testing.TB
	origin string
	stop   func()
}

// StartBetterAuth starts it and returns when it answers.
func StartBetterAuth(t testing.TB) *BetterAuth {
	t.Helper()
	b := &BetterAuth{t: t, origin: "http://127.0.0.1:" + FreePort(t)}
	b.URL, b.Issuer = b.origin+"/mcp", b.origin+"/api/auth"
	b.start()
	return b
}

func (b *BetterAuth) start() {
	b.t.Helper()
	config, err := json.Marshal(object{"origin": b.origin, "tools": MCPTools})
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := exec.Command("node", "--input-type=module", "-")
	cmd.Dir = Dir(b.t)
	cmd.Stdin = bytes.NewReader(betterAuthScript)
	cmd.Env = append(os.Environ(), "BETTER_AUTH_CONFIG="+string(config))
	b.stop = Start(b.t, cmd, b.URL)
}

// Forget restarts the server: clients, users and tokens are gone, and so are its
// keys.
func (b *BetterAuth) Forget() {
	b.t.Helper()
	b.stop()
	b.start()
}
