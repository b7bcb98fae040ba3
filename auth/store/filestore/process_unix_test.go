//go:build unix

package filestore_test

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
)

// Processes that save without the lock lose nothing.
func TestProcesses(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "tokens"))
	if _, err := s.Save(t.Context(), key, &auth.Record{Token: &auth.Token{AccessToken: "0"}}); err != nil {
		t.Fatal(err)
	}
	const processes = 4
	var all []*child
	for range processes {
		all = append(all, start(t, "increment", s.Dir()))
	}
	for _, c := range all {
		c.end()
	}
	r, err := s.Load(t.Context(), key)
	if err != nil || r.Token.AccessToken != strconv.Itoa(processes*childIncrements) {
		t.Errorf("%d increments of %d processes came to %+v, %v", childIncrements, processes, r, err)
	}
}

func TestLockAcrossProcesses(t *testing.T) {
	for name, end := range map[string]func(c *child){
		"unlocked": func(c *child) { c.end() },
		"killed":   func(c *child) { c.kill() },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, filepath.Join(t.TempDir(), "tokens"))
			c := start(t, "hold the lock", s.Dir())
			c.expect("locked")
			_, err := s.Lock(moment(t), key)
			fails(t, err, context.DeadlineExceeded, key.ID()+".lock", "suspended")
			waiting := make(chan error, 1)
			go func() {
				unlock, err := s.Lock(t.Context(), key)
				if err == nil {
					unlock()
				}
				waiting <- err
			}()
			end(c)
			if err := <-waiting; err != nil {
				t.Errorf("Lock after its holder was %s: %v", name, err)
			}
		})
	}
}

// A holder that is suspended keeps the lock: to take it from him would have
// two refresh with one token as soon as he wakes. Others wait as long as they
// care to; what they have to save they can.
func TestSuspendedHolder(t *testing.T) {
	s, _, g := stored(t)
	c := start(t, "hold the lock", s.Dir())
	c.expect("locked")
	c.suspend()

	_, err := s.Lock(moment(t), key)
	fails(t, err, context.DeadlineExceeded, key.ID()+".lock", "suspended")
	g = save(t, s, g)
	if err := s.Probe(t.Context(), key); err != nil {
		t.Errorf("Probe: %v", err)
	}

	c.signal(syscall.SIGCONT)
	c.end()
	unlock, err := s.Lock(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	save(t, s, g)
}

// Suspended in the middle of a save, a process keeps others from saving, not from
// reading; their saves end with their context and can be tried again.
func TestSuspendedSaver(t *testing.T) {
	s, _, g := stored(t)
	c := start(t, "hold the swap lock", s.Dir())
	c.expect("locked")
	c.suspend()

	_, err := s.Save(moment(t), key, record(g))
	fails(t, err, context.DeadlineExceeded, key.ID()+".cas.lock", "suspended")
	fails(t, s.Delete(moment(t), key, g), context.DeadlineExceeded)
	fails(t, s.Probe(moment(t), key), context.DeadlineExceeded)
	if r, err := s.Load(t.Context(), key); err != nil || r.Generation != g {
		t.Errorf("Load: %v, %v", r, err)
	}

	c.signal(syscall.SIGCONT)
	c.end()
	save(t, s, g)
}

// Processes are killed 200 times while they save: each record that Save said
// was stored is, no file is ever corrupt, and the locks are free.
func TestKilled(t *testing.T) {
	t.Parallel()
	const lanes, kills = 4, 12
	s := open(t, filepath.Join(t.TempDir(), "tokens"))
	var newest atomic.Uint64 // that a child said it had saved
	var wg sync.WaitGroup
	for lane := range lanes {
		random := rand.New(rand.NewPCG(uint64(lane), 4)) // the same points in each run, as far as they go
		wg.Go(func() {
			for range kills {
				killOne(t, s.Dir(), random, &newest)
				least := newest.Load()
				r, err := s.Load(t.Context(), key)
				switch {
				case err != nil && least > 0:
					t.Errorf("after a kill: %v", err)
				case err == nil && r.Generation < least:
					t.Errorf("generation %d is stored, but a child was told that %d is", r.Generation, least)
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	unlock, err := s.Lock(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	r, err := s.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	save(t, s, r.Generation)

	// What the dead left behind goes away in time.
	past := time.Now().Add(-2 * time.Hour)
	left := 0
	for _, name := range entries(t, s.Dir()) {
		if strings.Contains(name, ".corrupt-") {
			t.Errorf("a file was corrupt: %s", name)
		}
		if strings.Contains(name, ".tmp-") {
			left++
			if err := os.Chtimes(filepath.Join(s.Dir(), name), past, past); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d kills at generation %d left %d temporary files", lanes*kills, r.Generation, left)
	open(t, s.Dir())
	if names := entries(t, s.Dir()); len(names) != 3 {
		t.Errorf("files %q; want the record and its two locks", names)
	}
}

// killOne has a process save until it has said some lines, and kills it a
// moment later.
func killOne(t *testing.T, dir string, random *rand.Rand, newest *atomic.Uint64) {
	c := start(t, "save forever", dir)
	defer c.kill()
	for range 1 + random.IntN(9) {
		line, ok := c.says()
		if !ok || strings.HasPrefix(line, "error:") {
			t.Errorf("the child ended by itself: %q", line)
			return
		}
		if g, err := strconv.ParseUint(line, 10, 64); err == nil {
			for old := newest.Load(); old < g && !newest.CompareAndSwap(old, g); old = newest.Load() {
			}
		}
	}
	<-time.After(time.Duration(random.IntN(3000)) * time.Microsecond)
}

// A directory that cannot be written to is found out before a refresh token is
// spent; what is stored can be used until it expires.
func TestReadOnlyDirectory(t *testing.T) {
	t.Setenv("TMPDIR", "/tmp") // which everybody can get into
	s, path, g := stored(t)
	for dir := filepath.Dir(s.Dir()); dir != "/tmp"; dir = filepath.Dir(dir) {
		chmod(t, dir, 0o711)
	}
	unlock, err := s.Lock(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	if os.Getuid() == 0 {
		give(t, s.Dir(), nobody)
	}
	chmod(t, s.Dir(), 0o500)
	defer chmod(t, s.Dir(), 0o700)
	refused(t, start(t, "read only", s.Dir()).end(), path, "permission denied")
	chmod(t, s.Dir(), 0o700)
	if os.Getuid() == 0 {
		give(t, s.Dir(), 0)
	}
	unchanged(t, s.Dir(), g)
}

// give makes a directory and its files a user's; only root can.
func give(t *testing.T, dir string, uid int) {
	t.Helper()
	for _, name := range append(entries(t, dir), ".") {
		if err := os.Chown(filepath.Join(dir, name), uid, uid); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDiskFull(t *testing.T) {
	s, path, g := stored(t)
	unlock, err := s.Lock(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	refused(t, start(t, "disk full", s.Dir()).end(), path, "file too large")
	unchanged(t, s.Dir(), g)
}

// refused checks a child's report: only Load works.
func refused(t *testing.T, said []string, path, why string) {
	t.Helper()
	text := "filestore: write " + path + ": " + why
	want := []string{"Load: auth.Token{Bearer refreshable}", "Probe: " + text, "Save: " + text}
	if strings.Join(said, "\n") != strings.Join(want, "\n") {
		t.Errorf("the child says\n%s\nwant\n%s", strings.Join(said, "\n"), strings.Join(want, "\n"))
	}
}

// unchanged checks that dir has the record that it had, and no more.
func unchanged(t *testing.T, dir string, g uint64) {
	t.Helper()
	if r, err := open(t, dir).Load(t.Context(), key); err != nil || r.Generation != g {
		t.Errorf("Load: %v, %v", r, err)
	}
	if names := entries(t, dir); len(names) != 3 {
		t.Errorf("files %q; want the record and its two locks", names)
	}
}
