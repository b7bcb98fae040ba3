//go:build linux || freebsd || netbsd || openbsd || dragonfly

package keyringstore

import (
	"errors"
	"net"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/godbus/dbus/v5"
)

func TestBusReasons(t *testing.T) {
	answer := func(name string) error { return dbus.Error{Name: name, Body: []any{"about " + secret}} }
	for name, tc := range map[string]struct {
		err  error
		want Reason
	}{
		"locked":           {answer("org.freedesktop.Secret.Error.IsLocked"), Locked},
		"dialog dismissed": {errors.New("failed to unlock correct collection '/" + secret + "'"), Locked},
		"no service":       {answer("org.freedesktop.DBus.Error.ServiceUnknown"), Absent},
		"no collection":    {answer("org.freedesktop.Secret.Error.NoSuchObject"), Absent},
		"no bus":           {&net.OpError{Op: "dial", Err: syscall.ENOENT}, Absent},
		"bus went away":    {dbus.ErrClosed, Absent},
		"no address":       {errors.New("dbus: couldn't determine address of session bus"), Absent},
		"something else":   {answer("org.freedesktop.DBus.Error.AccessDenied"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			// godbus's error is not comparable, so go by the reason alone.
			got, ok := reason(tc.err)
			if got != tc.want || ok != (tc.want != "") {
				t.Errorf("reason %q", got)
			}
		})
	}
}

// The real keyring, where there is no bus.
func TestSystemWithoutBus(t *testing.T) {
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+filepath.Join(t.TempDir(), "bus"))
	s, err := Open("service", WithLockDir(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	for op, err := range operations(t.Context(), s, 0) {
		var un *UnavailableError
		if !errors.As(err, &un) || un.Reason != Absent {
			t.Errorf("%s: %v", op, err)
		}
	}
	if err := (system{}).Delete("service", "x"); err == nil {
		t.Error("Delete without a keyring succeeded")
	}
}
