package keyringstore

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/zalando/go-keyring"

	"github.com/mcptokens/mcptokens/auth"
)

// exit is how security(1), which go-keyring runs on macOS, says what is wrong.
func exit(t *testing.T, status int) error {
	t.Helper()
	err := exec.Command("sh", "-c", fmt.Sprintf("exit %d", status)).Run()
	if err == nil {
		t.Fatal("no error")
	}
	return err
}

func TestReasons(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want Reason
	}{
		"macOS: locked, no desktop": {exit(t, 36), Locked},
		"macOS: wrong password":     {exit(t, 51), Locked},
		"macOS: canceled":           {exit(t, 128), Locked},
		"macOS: no keychain":        {exit(t, 50), Absent},
		"no such program":           {&exec.Error{Name: secret, Err: exec.ErrNotFound}, Absent},
		"Windows: service":          {syscall.Errno(1312), Absent},
		"other system":              {keyring.ErrUnsupportedPlatform, Absent},
		"something else":            {errors.New("the collection is read only"), ""},
		"too big":                   {keyring.ErrSetDataTooBig, ""},
	} {
		t.Run(name, func(t *testing.T) {
			checkReason(t, tc.err, tc.want)
		})
	}
}

// checkReason has the keyring refuse all with err.
func checkReason(t *testing.T, err error, want Reason) {
	t.Helper()
	ring := &fake{}
	s := newStore(t, ring, t.TempDir())
	g := mustSave(t, s, record(0, "first"))
	ring.always(err)
	for op, got := range operations(t.Context(), s, g) {
		var un *UnavailableError
		var failed *Error
		switch {
		case !errors.Is(got, err) && !errors.As(got, &un):
			t.Errorf("%s: %v", op, got)
		case want != "" && (!errors.As(got, &un) || un.Reason != want):
			t.Errorf("%s: %v, want reason %s", op, got, want)
		case want == "" && (!errors.As(got, &failed) || failed.Op != op || !strings.HasPrefix(failed.Name, key.ID())):
			t.Errorf("%s: %v, want an *Error", op, got)
		}
		for _, text := range []string{got.Error(), (&auth.StoreError{Op: op, Err: got}).Error()} {
			if strings.Contains(text, secret) || !strings.Contains(text, "keyringstore: ") || want == "" && !strings.Contains(text, err.Error()) {
				t.Errorf("%s: shown as %q, want what the keyring said", op, text)
			}
		}
	}
	ring.always(nil)
	mustLoad(t, s, record(0, "first")) // nothing has changed
}

func TestAdvice(t *testing.T) {
	for goos, words := range map[string]map[Reason]string{
		"linux":   {Locked: "gnome-keyring-daemon --unlock", Absent: "Secret Service", NoAnswer: "dialog"},
		"darwin":  {Locked: "security unlock-keychain", Absent: "Keychain Access", NoAnswer: "dialog"},
		"windows": {Locked: "sign in", Absent: "service", NoAnswer: "dialog"},
	} {
		for r, word := range words {
			if got := advice(r, goos); !strings.Contains(got, word) {
				t.Errorf("%s on %s: %q does not say %q", r, goos, got, word)
			}
		}
	}
}
