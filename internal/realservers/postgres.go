//go:build realservers

package realservers

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// nobody is a user who owns nothing: PostgreSQL does not run as root.
const nobody = 65534

// StartPostgreSQL runs Debian's PostgreSQL on a free port until the test ends,
// with more as further options of it (-c name=value), and returns a URL for its
// superuser.
func StartPostgreSQL(t testing.TB, more ...string) string {
	t.Helper()
	initdb := postgresTool(t, "initdb")
	dir, err := os.MkdirTemp("/tmp", "postgres") // which everybody can get into
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	var as *syscall.SysProcAttr
	if os.Getuid() == 0 {
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	data := filepath.Join(dir, "data")
	setup := exec.Command(initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	setup.Dir, setup.SysProcAttr = dir, as
	if out, err := setup.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	port := FreePort(t)
	server := exec.Command(postgresTool(t, "postgres"), append([]string{
		"-D", data, "-h", "127.0.0.1", "-p", port, "-k", dir, "-c", "fsync=off",
	}, more...)...)
	server.Dir, server.SysProcAttr = dir, as
	Start(t, server)
	addr := net.JoinHostPort("127.0.0.1", port)
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(20 * time.Millisecond) {
		if exec.Command(postgresTool(t, "pg_isready"), "-q", "-h", "127.0.0.1", "-p", port).Run() == nil {
			return "postgres://postgres@" + addr + "/postgres?sslmode=disable"
		}
		if time.Now().After(deadline) {
			t.Fatalf("PostgreSQL does not answer after %s", startTimeout)
		}
	}
}

// postgresTool finds a program of the server's, which Debian does not put into
// PATH.
func postgresTool(t testing.TB, name string) string {
	t.Helper()
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); len(found) > 0 {
		return found[len(found)-1]
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v; install the Debian package postgresql", err)
	}
	return path
}
