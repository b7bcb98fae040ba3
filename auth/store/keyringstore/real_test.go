//go:build realservers

package keyringstore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store/storetest"
	"github.com/mcptokens/mcptokens/internal/realservers"
)

// desktop is a user's with a bus and, once it is started, a keyring.
type desktop struct{ *realservers.Desktop }

func newDesktop(t *testing.T) desktop { return desktop{realservers.StartDesktop(t)} }

// startKeyring runs gnome-keyring until it answers.
func (d desktop) startKeyring(t *testing.T, password string) {
	t.Helper()
	s := d.open(t)
	d.StartKeyring(password, func() bool {
		_, err := s.Load(t.Context(), key)
		var un *UnavailableError
		return !errors.As(err, &un) || un.Reason != Absent
	})
}

func (d desktop) open(t *testing.T) *Store {
	t.Helper()
	s, err := Open("mcptokens test", WithLockDir(filepath.Join(d.Dir, "locks")))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRealContract(t *testing.T) {
	d := newDesktop(t)
	d.startKeyring(t, "pw")
	n := 0
	storetest.Suite{
		Open: func(t *testing.T) auth.Store {
			n++
			s, err := Open(fmt.Sprintf("mcptokens test %d", n), WithLockDir(filepath.Join(d.Dir, "locks")))
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
		Patience: 5 * time.Minute, // where many compete for a keyring most saves are in vain
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
		d.StopKeyring()
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
	d.StopKeyring()
	d.startKeyring(t, "")
	unavailable(t, s, Locked)
	d.StopKeyring()
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
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
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
