package filelock

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofrs/flock"
)

// moment is a context for waits that are to fail.
func moment(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func TestExcludes(t *testing.T) {
	for name, lockers := range map[string][2]*Locker{
		"goroutines that share a Locker": func() [2]*Locker { l := new(Locker); return [2]*Locker{l, l} }(),
		"Lockers of their own":           {new(Locker), new(Locker)},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "lock")
			unlock, err := lockers[0].Lock(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := lockers[1].Lock(moment(t), path); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("second Lock: %v", err)
			}
			other, err := lockers[1].Lock(t.Context(), path+"2")
			if err != nil {
				t.Fatalf("Lock of another file: %v", err)
			}
			other()

			const waiters, rounds = 8, 20
			var inside atomic.Int32
			done := make(chan error, waiters)
			for i := range waiters {
				go func() {
					for range rounds {
						unlock, err := lockers[i%2].Lock(t.Context(), path)
						if err == nil && inside.Add(1) != 1 {
							err = errors.New("two have the lock")
						}
						if err != nil {
							done <- err
							return
						}
						inside.Add(-1)
						unlock()
					}
					done <- nil
				}()
			}
			unlock()
			for range waiters {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			at, err := os.Stat(path)
			if err != nil || at.Mode().Perm()&0o077 != 0 || at.Size() != 0 {
				t.Errorf("lock file: %v, %v", at, err)
			}
			for _, l := range lockers {
				if len(l.held) != 0 {
					t.Errorf("the Locker remembers %d locks that nobody holds", len(l.held))
				}
			}
		})
	}
}

func TestEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var l Locker
	if _, err := l.Lock(ctx, filepath.Join(t.TempDir(), "lock")); !errors.Is(err, context.Canceled) {
		t.Errorf("Lock: %v", err)
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		path string
		is   error
	}{
		"no directory": {filepath.Join(dir, "missing", "lock"), fs.ErrNotExist},
		"a directory":  {dir, ErrNotRegular},
		"a link":       {filepath.Join(dir, "link"), ErrNotRegular},
		"a device":     {os.DevNull, ErrNotRegular},
	} {
		t.Run(name, func(t *testing.T) {
			var l Locker
			for range 2 { // a failure leaves nothing behind
				if _, err := l.Lock(t.Context(), tc.path); !errors.Is(err, tc.is) {
					t.Errorf("Lock: %v, want %v", err, tc.is)
				}
			}
		})
	}
	if _, err := os.Lstat(filepath.Join(dir, "elsewhere")); err == nil {
		t.Error("the link was followed")
	}
}

// Who locks a file that was deleted meanwhile has to see that it is not the
// one that the next to come locks.
func TestDeleted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	file := flock.New(path)
	if ok, err := file.TryLock(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if !inPlace(file, path) {
		t.Error("the lock file is in place")
	}
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	if inPlace(file, path) {
		t.Error("the lock file was deleted")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if inPlace(file, path) {
		t.Error("the lock file is another one")
	}
	if err := file.Unlock(); err != nil {
		t.Fatal(err)
	}
}

func TestHeld(t *testing.T) {
	var l, other Locker
	path := filepath.Join(t.TempDir(), "lock")
	if l.Held(path) {
		t.Error("held by nobody, and Held says that it is")
	}
	unlock, err := l.Lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan struct{})
	go func() {
		defer close(waiting)
		_, _ = other.Lock(moment(t), path)
	}()
	<-waiting
	if !l.Held(path) || other.Held(path) {
		t.Errorf("Held is %v for the holder, %v for who waited", l.Held(path), other.Held(path))
	}
	if unlock(); l.Held(path) {
		t.Error("held after unlock")
	}
}
