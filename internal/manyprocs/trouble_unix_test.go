//go:build unix

package manyprocs

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/internal/filelock"
)

// What can happen to the files of a process while it runs. It is the same each
// time: no refresh token is spent for a token that could not be stored; the one
// in use is served until it expires; then the error names the store, the file
// and the reason, and nobody is asked to log in; and once a person has mended it
// the process goes on by itself.
func TestTroubleWithFiles(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]trouble{
		"disk full": {
			func(t *testing.T, f *fleet, p *process, _ string) { tell(t, p, fillSignal) },
			func(t *testing.T, f *fleet, p *process, _ string) { tell(t, p, drainSignal) },
			"file too large",
		},
		"read-only directory": {
			func(t *testing.T, f *fleet, _ *process, _ string) { must(t, os.Chmod(f.job.Store.Dir, 0o500)) },
			func(t *testing.T, f *fleet, _ *process, _ string) { must(t, os.Chmod(f.job.Store.Dir, 0o700)) },
			"permission denied",
		},
		"directory in a file's place": {
			func(t *testing.T, f *fleet, _ *process, aside string) {
				must(t, os.Rename(f.record(), aside))
				must(t, os.Mkdir(f.record(), 0o700))
			},
			func(t *testing.T, f *fleet, _ *process, aside string) {
				must(t, os.Remove(f.record()))
				must(t, os.Rename(aside, f.record()))
			},
			"not safe to use: a directory; remove it",
		},
		"symbolic link to elsewhere": {
			func(t *testing.T, f *fleet, _ *process, aside string) {
				must(t, os.Rename(f.record(), aside))
				must(t, os.Symlink(aside, f.record()))
			},
			func(t *testing.T, f *fleet, _ *process, aside string) {
				must(t, os.Remove(f.record()))
				must(t, os.Rename(aside, f.record()))
			},
			"not safe to use: a symbolic link; remove it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.run(t, filepath.Join(t.TempDir(), "tokens"))
		})
	}
}

// trouble is made, and fixed, by another process. aside is a place for a file.
type trouble struct {
	make, mend func(t *testing.T, f *fleet, p *process, aside string)
	says       string
}

func (tc trouble) run(t *testing.T, dir string) {
	f := newFleet(t, storeAt{Dir: dir}, false, authtest.Config{AccessTokenTTL: time.Second})
	f.job.Limited, f.job.RefreshTimeout = true, 2*time.Second // so that the error comes soon
	if os.Getuid() == 0 {
		for up := filepath.Dir(dir); up != filepath.Clean(os.TempDir()); up = filepath.Dir(up) {
			must(t, os.Chmod(up, 0o711)) // for nobody to get there
		}
		give(t, dir, nobody)
	}
	p := f.start()
	f.await(p)
	aside := filepath.Join(t.TempDir(), "aside")
	f.uneasily(true)
	p.forget()
	f.locked(func() { tc.make(t, f, p, aside) })
	f.expect(p, sayError+" auth: store: ", tc.says, dir)
	// By now the token has expired, and what was under way has ended.
	sent := f.srv.Counts().Token
	before, _ := os.ReadFile(aside)
	<-time.After(time.Second)
	if n := f.srv.Counts().Token; n != sent {
		t.Errorf("%d token requests while nothing could be stored", n-sent)
	}
	if after, _ := os.ReadFile(aside); string(before) != string(after) {
		t.Error("a link was followed")
	}
	p.forget()
	f.locked(func() { tc.mend(t, f, p, aside) })
	f.expect(p, sayReady)
	f.stop()
	f.uneasily(false)
	f.harmless()
	if os.Getuid() == 0 {
		give(t, dir, 0) // what is another user's is not used
	}
	f.check()
}

// give makes a directory and all that is in it a user's.
func give(t *testing.T, dir string, user int) {
	t.Helper()
	must(t, filepath.Walk(dir, func(path string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, user, user)
	}))
}

// locked does something while no refresh is under way: what one stores would
// replace a link.
func (f *fleet) locked(do func()) {
	f.t.Helper()
	// By the lock's file: the directory is not this process's, if that is root.
	unlock, err := new(filelock.Locker).Lock(f.t.Context(), filepath.Join(f.job.Store.Dir, f.key().ID()+".lock"))
	must(f.t, err)
	defer unlock()
	do()
}

func tell(t *testing.T, p *process, s os.Signal) {
	t.Helper()
	must(t, p.cmd.Process.Signal(s))
}
