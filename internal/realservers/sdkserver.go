//go:build realservers

package realservers

import (
	"encoding/base64"
	"os"
	"os/exec"
	"testing"
)

// sdkExamples are the example servers of the official TypeScript SDK, below the
// folder of node_modules.
const sdkExamples = "node_modules/@modelcontextprotocol/sdk/dist/esm/examples/server/"

// otherPort has an example listen on $PORT of the loopback interface: they have
// a port of their own built in, 3000.
const otherPort = `
import net from "node:net";
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
	return listen.call(this, port === 3000 ? { port: Number(process.env.PORT), host: "127.0.0.1" } : port, ...rest);
};`

// StartSDKServer starts an example server of the official TypeScript SDK, such
// as simpleSseServer.js, and returns its origin.
func StartSDKServer(t testing.TB, example string) string {
	t.Helper()
	port := FreePort(t)
	cmd := exec.Command("node", "--import", "data:text/javascript;base64,"+base64.StdEncoding.EncodeToString([]byte(otherPort)), sdkExamples+example)
	cmd.Dir = Dir(t)
	cmd.Env = append(os.Environ(), "PORT="+port)
	origin := "http://127.0.0.1:" + port
	Start(t, cmd, origin)
	return origin
}
