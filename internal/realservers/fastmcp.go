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

//go:embed fastmcp.mjs
var fastMCPScript []byte

// FastMCPConfig is the authorization server behind a [FastMCP], and its client
// there.
type FastMCPConfig struct {
	AuthorizationEndpoint, TokenEndpoint string
	ClientID, ClientSecret               string
}

// FastMCP is an MCP server with the tool "read", made with the npm package of that
// name. It is an authorization server too, which logs users in at another one.
// It keeps clients and tokens in memory.
type FastMCP struct {
	// URL is the MCP server's.
	URL string

	t      testing.TB
	origin string
	config []byte
	stop   func()
}

// StartFastMCP starts it and returns when it answers.
func StartFastMCP(t testing.TB, cfg FastMCPConfig) *FastMCP {
	t.Helper()
	f := &FastMCP{t: t, origin: "http://127.0.0.1:" + FreePort(t)}
	f.URL = f.origin + "/mcp"
	config, err := json.Marshal(object{
		"baseUrl": f.origin, "authorizationEndpoint": cfg.AuthorizationEndpoint, "tokenEndpoint": cfg.TokenEndpoint,
		"clientID": cfg.ClientID, "clientSecret": cfg.ClientSecret,
	})
	if err != nil {
		t.Fatal(err)
	}
	f.config = config
	f.start()
	return f
}

func (f *FastMCP) start() {
	f.t.Helper()
	cmd := exec.Command("node", "--input-type=module", "-")
	cmd.Dir = Dir(f.t)
	cmd.Stdin = bytes.NewReader(fastMCPScript)
	cmd.Env = append(os.Environ(), "FASTMCP_CONFIG="+string(f.config))
	f.stop = Start(f.t, cmd, f.origin+"/ready")
}

// Forget restarts the server: clients and tokens are gone.
func (f *FastMCP) Forget() {
	f.t.Helper()
	f.stop()
	f.start()
}
