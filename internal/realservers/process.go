//go:build realservers

package realservers

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"
)

// startTimeout is how long a server may take until it answers. A slow machine that
// compiles beside it needs most of that.
const startTimeout = 2 * time.Minute

// Dir returns the folder with the node_modules of .ci/servers.
func Dir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("MCPTOKENS_SERVERS")
	if dir == "" {
		t.Fatal("MCPTOKENS_SERVERS is not set; run .ci/run, or npm ci in a copy of .ci/servers and name that folder")
	}
	return dir
}

// FreePort returns a port of 127.0.0.1 that nobody listens on.
func FreePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// Start runs cmd until the test ends, or until stop is called, and returns when
// each of the URLs answers, with whatever status.
func Start(t testing.TB, cmd *exec.Cmd, ready ...string) (stop func()) {
	t.Helper()
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = cmd.Wait()
	}()
	stop = func() {
		_ = cmd.Process.Kill()
		<-exited
	}
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("%s:\n%s", cmd, &log)
		}
	})
	client := newClient(t)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(startTimeout)
	for _, url := range ready {
		for !answers(client, url) {
			select {
			case <-tick.C:
			case <-exited:
				t.Fatalf("%s ended before %s answered", cmd, url)
			case <-deadline:
				t.Fatalf("%s does not answer after %s", url, startTimeout)
			}
		}
	}
	return stop
}

func answers(client *http.Client, url string) bool {
	resp, err := client.Get(url)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return true
}

// newClient returns a client that leaves no connection behind.
func newClient(t testing.TB) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: startTimeout}
}
