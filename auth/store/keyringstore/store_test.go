package keyringstore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store/storetest"
)

// Both with few entries for a record and with many.
func TestContract(t *testing.T) {
	for name, size := range map[string]int{"few entries": maxEntry, "many": 200} {
		t.Run(name, func(t *testing.T) {
			storetest.Suite{
				Open: func(t *testing.T) auth.Store {
					s := newStore(t, &fake{}, t.TempDir())
					s.maxEntry, s.maxParts = size, 1000
					return s
				},
				Reopen: func(t *testing.T, s auth.Store) auth.Store {
					other := newStore(t, s.(*Store).ring, s.(*Store).lockDir)
					other.maxEntry, other.maxParts = size, 1000
					return other
				},
			}.Run(t)
		})
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ service, dir, want string }{
		"good":                 {"My client (1.0): it's \"fine\"", filepath.Join(dir, "a", "b"), ""},
		"longest":              {strings.Repeat("x", 128), dir, ""},
		"no service":           {"", dir, "service"},
		"long service":         {strings.Repeat("x", 129), dir, "service"},
		"line in service":      {"a\nb", dir, "service"},
		"letters in service":   {"Schlüssel", dir, "service"},
		"file for a directory": {"service", file, file},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(tc.service, WithLockDir(tc.dir))
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				unlock, err := s.Lock(t.Context(), key) // asks no keyring
				if err != nil {
					t.Fatal(err)
				}
				unlock()
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Open: %v, want an error about %s", err, tc.want)
			}
		})
	}
}

func TestDefaultLockDir(t *testing.T) {
	home := t.TempDir()
	for _, name := range []string{"HOME", "XDG_CONFIG_HOME", "AppData"} {
		t.Setenv(name, home)
	}
	config, err := os.UserConfigDir()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open("service"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(config, "mcptokens", "locks"))
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
		t.Errorf("mode %o", info.Mode().Perm())
	}
	for _, name := range []string{"HOME", "XDG_CONFIG_HOME", "AppData"} {
		t.Setenv(name, "")
	}
	if _, err := Open("service"); err == nil || !strings.Contains(err.Error(), "set HOME") {
		t.Errorf("Open: %v", err)
	}
}

// What is deleted leaves nothing in the keyring, and its generations do not
// come again, even if the clock goes back.
func TestGenerationAfterDelete(t *testing.T) {
	ring := &fake{}
	s := newStore(t, ring, t.TempDir())
	g := uint64(time.Now().Add(24 * time.Hour).UnixMicro()) // made before the clock went back
	ring.entries = map[string]string{"service/" + key.ID(): head{Version: 1, Generation: g, Data: "e30="}.encode()}
	if err := s.Delete(t.Context(), key, g); err != nil {
		t.Fatal(err)
	}
	if left := ring.names(); len(left) != 0 {
		t.Errorf("%q are left", left)
	}
	if after := mustSave(t, s, record(0, "again")); after <= g {
		t.Errorf("generation %d after %d", after, g)
	}
}

func TestProbe(t *testing.T) {
	ring := &fake{}
	s := newStore(t, ring, t.TempDir())
	if err := s.Probe(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if left := ring.names(); len(left) != 0 {
		t.Errorf("%q are left", left)
	}
	ring.refuse = func(_ int, op, _, _, _ string) error {
		if op == "set" {
			return errors.New("read only")
		}
		return nil
	}
	err := s.Probe(t.Context(), key)
	var failed *Error
	if !errors.As(err, &failed) || failed.Op != "probe" || !strings.HasSuffix(err.Error(), ": read only") {
		t.Errorf("Probe: %v", err)
	}
}

// Several processes probe before each asks whether it is its turn to ask the user.
func TestProbesAtOnce(t *testing.T) {
	ring, dir := &fake{}, t.TempDir()
	var wg sync.WaitGroup
	for range 4 {
		s := newStore(t, ring, dir)
		wg.Go(func() {
			for range 20 {
				if err := s.Probe(t.Context(), key); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// A dialog is open and nobody answers it. Callers leave by their contexts, and
// the call to the keyring is the only one.
func TestNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // a machine that stands still would use up the callers' time
		ring := &fake{}
		s := newStore(t, ring, t.TempDir())
		g := mustSave(t, s, record(0, "first"))
		asked, answer := make(chan struct{}, 100), make(chan struct{})
		ring.refuse = func(int, string, string, string, string) error {
			asked <- struct{}{}
			<-answer
			return nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		for op, err := range operations(ctx, s, g) {
			var un *UnavailableError
			if ctx.Err() == nil || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", op, err)
			}
			if errors.As(err, &un) && (un.Reason != NoAnswer || !strings.Contains(err.Error(), "dialog")) {
				t.Errorf("%s: %v", op, err)
			}
		}
		waiting, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		var un *UnavailableError
		if _, err := s.Load(waiting, key); !errors.As(err, &un) || un.Reason != NoAnswer || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Load: %v", err)
		}
		if n := len(asked); n != 1 {
			t.Errorf("%d calls are open, want 1", n)
		}
		close(answer)
		mustLoad(t, s, record(0, "first"))
	})
}

// Who waits for the lock of a save leaves by its context too.
func TestSaveLockIsHeld(t *testing.T) {
	s := newStore(t, &fake{}, t.TempDir())
	g := mustSave(t, s, large(0, "first"))
	if err := s.ring.Delete("service", key.ID()+".a.0"); err != nil { // so that Load needs it
		t.Fatal(err)
	}
	unlock, err := s.lock(t.Context(), key.ID(), ".save.lock")
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	for _, op := range []func(ctx context.Context) error{
		func(ctx context.Context) error { _, err := s.Load(ctx, key); return err },
		func(ctx context.Context) error { _, err := s.Save(ctx, key, record(g, "second")); return err },
		func(ctx context.Context) error { return s.Delete(ctx, key, g) },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		if err := op(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		cancel()
	}
}

// Something is in a lock's place.
func TestLockFileIsADirectory(t *testing.T) {
	s := newStore(t, &fake{}, t.TempDir())
	for _, suffix := range []string{".lock", ".save.lock"} {
		if err := os.Mkdir(s.path(key.ID(), suffix), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.Lock(t.Context(), key)
	for op, err := range map[string]error{"lock": err, "save": func() error { _, err := s.Save(t.Context(), key, record(0, "x")); return err }()} {
		var failed *Error
		if !errors.As(err, &failed) || failed.Op != "lock" || !strings.Contains(err.Error(), s.lockDir) {
			t.Errorf("%s: %v", op, err)
		}
	}
}

// Two programs have their own entries and locks.
func TestServicesAreApart(t *testing.T) {
	ring, dir := &fake{}, t.TempDir()
	a := newStore(t, ring, dir)
	b, err := open(ring, "another", WithLockDir(dir))
	if err != nil {
		t.Fatal(err)
	}
	mustSave(t, a, record(0, "first"))
	if _, err := b.Load(t.Context(), key); !errors.Is(err, auth.ErrNotFound) {
		t.Errorf("Load: %v", err)
	}
	for _, s := range []*Store{a, b} {
		unlock, err := s.Lock(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
	}
}
