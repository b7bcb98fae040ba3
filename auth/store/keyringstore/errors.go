package keyringstore

import (
	"errors"
	"io/fs"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"github.com/zalando/go-keyring"

	"github.com/mcptokens/mcptokens/internal/errtext"
)

var (
	// ErrTooLarge: the record exceeds 76 kB.
	ErrTooLarge = errtext.New("the record is too large for a keyring; ask for fewer scopes, or use filestore")

	// errService is about the argument of [Open].
	errService = errtext.New("keyringstore: service: must have 1 to 128 printable ASCII characters; the program's name is a good choice")

	// errNoConfigDir: neither HOME nor its equivalent is set.
	errNoConfigDir = errtext.New("it is not known; set HOME (Windows: AppData), or use WithLockDir")

	// errNotKept: an entry does not hold what was just written to it.
	errNotKept = errtext.New("the keyring did not keep what was written")
)

// Error is an operation that failed. Its text does not hold what is stored.
type Error struct {
	// Op is "open", "load", "save", "delete", "probe" or "lock".
	Op string
	// Name is the entry's account, or the path of the lock.
	Name string
	// Err is the cause: the keyring's, the operating system's, or one of this
	// package's.
	Err error `json:"-"`
}

// Error implements error; the text holds no secret.
func (e *Error) Error() string {
	cause := e.Err
	var file *fs.PathError // of a lock, which Name names
	if errors.As(cause, &file) {
		cause = file.Err
	}
	return "keyringstore: " + e.Op + " " + e.Name + ": " + strings.TrimPrefix(errtext.Text(cause), "store: ")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Reason is why a keyring cannot be used.
type Reason string

// Reasons.
const (
	// Absent: there is no keyring here: no desktop, no session bus, a service
	// account.
	Absent Reason = "absent"
	// Locked: it would have to be unlocked, and nobody did.
	Locked Reason = "locked"
	// NoAnswer: the context ended first. Often a dialog is open.
	NoAnswer Reason = "no answer"
)

// UnavailableError says that the keyring cannot be used now. Its text advises
// what to do on this operating system.
type UnavailableError struct {
	Reason Reason
	// Err is the cause; for [NoAnswer], ctx's error.
	Err error `json:"-"`
}

// Error implements error; the text holds no secret.
func (e *UnavailableError) Error() string { return "keyringstore: " + advice(e.Reason, runtime.GOOS) }

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }

func advice(r Reason, goos string) string {
	switch r {
	case NoAnswer:
		return "the keyring did not answer in time; look for a dialog that asks for its password"
	case Locked:
		switch goos {
		case "darwin":
			return "the keychain is locked; run: security unlock-keychain"
		case "windows":
			return "the Credential Manager is locked; sign in to Windows"
		}
		return "the keyring is locked; unlock it in the desktop's password manager, or without a desktop by gnome-keyring-daemon --unlock"
	}
	switch goos {
	case "darwin":
		return "there is no keychain; create one with Keychain Access, or use filestore"
	case "windows":
		return "this logon session has no Credential Manager, as with services and remote shells; run as the signed-in user, or use filestore"
	}
	return "there is no keyring: nothing answers as Secret Service on the D-Bus session bus; start gnome-keyring, KWallet or KeePassXC in this session, or use filestore"
}

// Exit statuses of security(1) on macOS: the last byte of its OSStatus.
const (
	securityNotAllowed   = 36  // errSecInteractionNotAllowed: locked, and no desktop to ask at
	securityAuthFailed   = 51  // errSecAuthFailed: a wrong password was given
	securityUserCanceled = 128 // errSecUserCanceled: or none
)

// windowsNoLogonSession is ERROR_NO_SUCH_LOGON_SESSION.
const windowsNoLogonSession = syscall.Errno(1312)

// reason tells which errors of go-keyring mean that the keyring is unavailable.
func reason(err error) (Reason, bool) {
	var exit *exec.ExitError
	var notFound *exec.Error
	switch {
	case errors.As(err, &exit):
		switch exit.ExitCode() {
		case securityNotAllowed, securityAuthFailed, securityUserCanceled:
			return Locked, true
		}
		return Absent, true
	case errors.As(err, &notFound): // no security, or no dbus-launch
		return Absent, true
	case errors.Is(err, keyring.ErrUnsupportedPlatform), errors.Is(err, windowsNoLogonSession):
		return Absent, true
	}
	return busReason(err)
}
