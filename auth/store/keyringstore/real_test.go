//go:build realservers

package keyringstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store/storetest"
)

// A session bus of the test's own, which starts nothing by itself.
const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=%s</listen>
  <policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>
</busconfig>`

// desktop is what a user has who logged in, without the windows: a bus, a home
// and, once it is started, a keyring.
type desktop struct {
	dir    string
	daemon *process
}

// newDesktop starts the bus, and makes it this process's until the test ends.
func newDesktop(t *testing.T) *desktop {
	t.Helper()
	dir, err := os.MkdirTemp("", "keyring") // the path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := &desktop{dir: dir}
	config, socket := filepath.Join(dir, "bus.conf"), filepath.Join(dir, "bus")
	if err := os.WriteFile(config, fmt.Appendf(nil, busConfig, socket), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+socket)
	bus := d.start(t, "dbus-daemon", "", "--config-file="+config, "--nofork")
	t.Cleanup(bus.stop)
	await(t, "the bus", bus, func() bool {
		_, err := os.Stat(socket)
		return err == nil
	})
	t.Cleanup(d.stopKeyring)
	return d
}

// startKeyring runs gnome-keyring. With a password its collection is unlocked,
// and created if there is none.
func (d *desktop) startKeyring(t *testing.T, password string) {
	t.Helper()
	args := []string{"--foreground", "--components=secrets", "--control-directory=" + filepath.Join(d.dir, "control")}
	if password != "" {
		args = append(args, "--unlock")
	}
	d.daemon = d.start(t, "gnome-keyring-daemon", password, args...)
	s := d.open(t)
	await(t, "the keyring", d.daemon, func() bool {
		_, err := s.Load(t.Context(), key)
		var un *UnavailableError
		return !errors.As(err, &un) || un.Reason != Absent
	})
}

func (d *desktop) stopKeyring() {
	if d.daemon != nil {
		d.daemon.stop()
	}
	d.daemon = nil
}

func (d *desktop) open(t *testing.T) *Store {
	t.Helper()
	s, err := Open("mcptokens test", WithLockDir(filepath.Join(d.dir, "locks")))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type process struct {
	cmd    *exec.Cmd
	out    bytes.Buffer
	exited chan struct{}
}

func (d *desktop) start(t *testing.T, name, stdin string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(name, args...), exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "HOME="+d.dir, "XDG_DATA_HOME="+d.dir, "XDG_CONFIG_HOME="+d.dir, "XDG_RUNTIME_DIR="+d.dir)
	p.cmd.Stdin = strings.NewReader(stdin)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%v; install the Debian packages gnome-keyring and dbus-daemon", err)
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait()
	}()
	return p
}

func (p *process) stop() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

func await(t *testing.T, what string, p *process, ready func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
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

func TestRealContract(t *testing.T) {
	d := newDesktop(t)
	d.startKeyring(t, "pw")
	n := 0
	storetest.Suite{
		Open: func(t *testing.T) auth.Store {
			n++
			s, err := Open(fmt.Sprintf("mcptokens test %d", n), WithLockDir(filepath.Join(d.dir, "locks")))
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Reopen: func(t *testing.T, s auth.Store) auth.Store {
			other, err := Open(s.(*Store).service, WithLockDir(s.(*Store).lockDir))
			if err != nil {
				t.Fatal(err)
			}
			return other
		},
	}.Run(t)
}

// Records of all sizes are there after the next login.
func TestRealSizesAndRestart(t *testing.T) {
	d := newDesktop(t)
	d.startKeyring(t, "pw")
	s := d.open(t)
	if err := s.Probe(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	var g uint64
	for _, size := range []int{10, 1700, 10_000, 55_000, 4000} {
		r := record(g, strings.Repeat("x", size))
		g = mustSave(t, s, r)
		d.stopKeyring()
		var un *UnavailableError
		if _, err := s.Load(t.Context(), key); !errors.As(err, &un) || un.Reason != Absent {
			t.Fatalf("Load without a keyring: %v", err)
		}
		d.startKeyring(t, "pw")
		mustLoad(t, s, r)
	}
	if err := s.Delete(t.Context(), key, g); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(t.Context(), key); !errors.Is(err, auth.ErrNotFound) {
		t.Errorf("Load after Delete: %v", err)
	}
}

// There is a bus, and nobody on it who keeps secrets.
func TestRealAbsent(t *testing.T) {
	d := newDesktop(t)
	unavailable(t, d.open(t), Absent)
}

// The keyring asks for its password, and there is nobody to give it.
func TestRealLocked(t *testing.T) {
	d := newDesktop(t)
	d.startKeyring(t, "pw")
	s := d.open(t)
	mustSave(t, s, record(0, "first"))
	d.stopKeyring()
	d.startKeyring(t, "")
	unavailable(t, s, Locked)
	d.stopKeyring()
	d.startKeyring(t, "pw")
	mustLoad(t, s, record(0, "first"))
}

// Nobody has ever logged in here, so there is no collection to keep secrets in,
// and a dialog would have to make one.
func TestRealNeverSetUp(t *testing.T) {
	d := newDesktop(t)
	d.startKeyring(t, "")
	unavailable(t, d.open(t), Locked)
}

func unavailable(t *testing.T, s *Store, want Reason) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for op, err := range operations(ctx, s, 1) {
		var un *UnavailableError
		if !errors.As(err, &un) || un.Reason != want {
			t.Errorf("%s: %v, want %s", op, err, want)
		} else {
			t.Logf("%s: %v", op, err)
		}
	}
}
