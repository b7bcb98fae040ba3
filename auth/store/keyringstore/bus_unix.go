//go:build linux || freebsd || netbsd || openbsd || dragonfly

package keyringstore

import (
	"errors"
	"net"
	"strings"

	"github.com/godbus/dbus/v5"
)

// busReason tells what errors of D-Bus and of the Secret Service mean.
func busReason(err error) (Reason, bool) {
	var answer dbus.Error
	var dial *net.OpError
	switch {
	case errors.As(err, &answer):
		switch answer.Name {
		case "org.freedesktop.Secret.Error.IsLocked":
			return Locked, true
		case "org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner",
			"org.freedesktop.DBus.Error.Spawn.ServiceNotFound", "org.freedesktop.DBus.Error.Spawn.ExecFailed",
			"org.freedesktop.DBus.Error.Spawn.ChildExited", "org.freedesktop.DBus.Error.TimedOut",
			"org.freedesktop.DBus.Error.NoReply", "org.freedesktop.DBus.Error.Disconnected",
			"org.freedesktop.Secret.Error.NoSuchObject", // no collection: it was never set up
			"org.freedesktop.DBus.Error.UnknownObject":
			return Absent, true
		}
	case errors.As(err, &dial), errors.Is(err, dbus.ErrClosed):
		return Absent, true
	// Without a type of their own, in go-keyring and in godbus.
	case strings.HasPrefix(err.Error(), "failed to unlock correct collection"):
		return Locked, true
	case strings.HasPrefix(err.Error(), "dbus: "):
		return Absent, true
	}
	return "", false
}
