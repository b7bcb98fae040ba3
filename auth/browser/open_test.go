package browser

import (
	"errors"
	"os/exec"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// A launcher that becomes the browser does not hold up the login.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("refused")
		if err := watch(func() error { return refused }, time.Second); err != refused {
			t.Errorf("watch = %v, want the launcher's error", err)
		}
		if err := watch(func() error { return nil }, time.Second); err != nil {
			t.Errorf("watch = %v, want nil", err)
		}
		gone := make(chan struct{})
		start := time.Now()
		if err := watch(func() error { <-gone; return refused }, time.Second); err != nil || time.Since(start) != time.Second {
			t.Errorf("watch = %v after %v, want nil after 1s", err, time.Since(start))
		}
		close(gone)
	})
}

// The default Open is the system's, found by PATH.
func TestDefaultOpen(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("the Windows shell is not found by PATH; nothing to see here")
		return
	}
	t.Setenv("PATH", t.TempDir())
	s, err := Loopback{}.Start(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Finish(nil)
	_, err = s.Visit(t.Context(), authorizeURL, "st")
	if !errors.Is(err, ErrNoBrowser) || !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("Visit = %v, want ErrNoBrowser and exec.ErrNotFound", err)
	}
	wantIn(t, err.Error(), "Loopback.Prompt")
}
