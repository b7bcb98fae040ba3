//go:build realservers

package realservers

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A session bus of the test's own, which starts nothing by itself.
const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=%s</listen>
  <policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>
</busconfig>`

// Desktop is what a user has who logged in, without the windows: a bus, a home
// and, once it is started, a keyring.
type Desktop struct {
	// Dir is the user's home.
	Dir string

	t      testing.TB
	daemon *daemon
}

// StartDesktop starts the bus, and makes it this process's, and that of the processes
// it starts, until the test ends.
func StartDesktop(t *testing.T) *Desktop {
	t.Helper()
	dir, err := os.MkdirTemp("", "keyring") // the path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := &Desktop{Dir: dir, t: t}
	config, socket := filepath.Join(dir, "bus.conf"), filepath.Join(dir, "bus")
	if err := os.WriteFile(config, fmt.Appendf(nil, busConfig, socket), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+socket)
	bus := d.start("dbus-daemon", "", "--config-file="+config, "--nofork")
	t.Cleanup(bus.stop)
	bus.await(t, "the bus", func() bool {
		_, err := os.Stat(socket)
		return err == nil
	})
	t.Cleanup(d.StopKeyring)
	return d
}

// StartKeyring runs gnome-keyring until ready. With a password its collection is
// unlocked, and created if there is none.
func (d *Desktop) StartKeyring(password string, ready func() bool) {
	d.t.Helper()
	args := []string{"--foreground", "--components=secrets", "--control-directory=" + filepath.Join(d.Dir, "control")}
	if password != "" {
		args = append(args, "--unlock")
	}
	d.daemon = d.start("gnome-keyring-daemon", password, args...)
	d.daemon.await(d.t, "the keyring", ready)
}

// StopKeyring ends it.
func (d *Desktop) StopKeyring() {
	if d.daemon != nil {
		d.daemon.stop()
	}
	d.daemon = nil
}

type daemon struct {
	cmd    *exec.Cmd
	out    bytes.Buffer
	exited chan struct{}
}

func (d *Desktop) start(name, stdin string, args ...string) *daemon {
	d.t.Helper()
	p := &daemon{cmd: exec.Command(name, args...), exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "HOME="+d.Dir, "XDG_DATA_HOME="+d.Dir, "XDG_CONFIG_HOME="+d.Dir, "XDG_RUNTIME_DIR="+d.Dir)
	p.cmd.Stdin = strings.NewReader(stdin)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		d.t.Fatalf("%v; install the Debian packages gnome-keyring and dbus-daemon", err)
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait()
	}()
	return p
}

func (p *daemon) stop() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

func (p *daemon) await(t testing.TB, what string, ready func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(startTimeout)
	for !ready() {
		select {
		case <-tick.C:
		case <-p.exited:
			t.Fatalf("%s ended:\n%s", what, &p.out)
		case <-deadline:
			p.stop()
			t.Fatalf("%s does not answer:\n%s", what, &p.out)
		}
	}
}
