//go:build unix

package filestore_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mcptokens/mcptokens/auth/store"
	"github.com/mcptokens/mcptokens/auth/store/filestore"
)

// Whatever the umask is, nothing that the store makes is open to others.
func TestModes(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	dir := filepath.Join(t.TempDir(), "config", "tokens")
	s := open(t, dir)
	unlock, err := s.Lock(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	if err := s.Delete(t.Context(), key, save(t, s, save(t, s, 0))); err != nil {
		t.Fatal(err)
	}
	save(t, s, 0)
	for path, want := range map[string]os.FileMode{filepath.Dir(dir): 0o700, dir: 0o700} {
		mode(t, path, want)
	}
	names := entries(t, dir)
	if len(names) != 4 {
		t.Errorf("files %q; want the record, two locks and a generation", names)
	}
	for _, name := range names {
		mode(t, filepath.Join(dir, name), 0o600)
	}
}

func mode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	at, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := at.Mode().Perm(); got != want {
		t.Errorf("%s has mode %04o, want %04o", path, got, want)
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestLooseFile(t *testing.T) {
	for _, loose := range []os.FileMode{0o644, 0o640, 0o604, 0o660, 0o601, 0o777} {
		s, path, g := stored(t)
		before := read(t, path)
		chmod(t, path, loose)
		for _, err := range everyCall(t, s) {
			fails(t, err, filestore.ErrUnsafe, path, "chmod 600 "+`"`+path+`"`)
		}
		if read(t, path) != before {
			t.Errorf("mode %04o: the file was changed", loose)
		}
		chmod(t, path, 0o600)
		save(t, s, g)
	}
}

func TestLooseDirectory(t *testing.T) {
	for _, loose := range []os.FileMode{0o755, 0o750, 0o701, 0o770} {
		s, _, g := stored(t)
		chmod(t, s.Dir(), loose)
		advice := `chmod 700 "` + s.Dir() + `"`
		_, err := filestore.Open(s.Dir())
		fails(t, err, filestore.ErrUnsafe, advice)
		// It may also happen while the program runs.
		_, err = s.Save(t.Context(), key, record(g))
		fails(t, err, filestore.ErrUnsafe, advice)
		_, err = s.Lock(t.Context(), key)
		fails(t, err, filestore.ErrUnsafe, advice)
		fails(t, s.Probe(t.Context(), key), filestore.ErrUnsafe, advice)
		chmod(t, s.Dir(), 0o700)
		save(t, s, g)
	}
}

// What is in a file's place and is no file is refused: a link is not
// followed, a pipe not waited for.
func TestReplaced(t *testing.T) {
	for name, tc := range map[string]struct {
		put  func(path, elsewhere string) error
		says string
	}{
		"link to a file":    {func(path, elsewhere string) error { return os.Symlink(elsewhere, path) }, "a symbolic link"},
		"link to nowhere":   {func(path, elsewhere string) error { return os.Symlink(elsewhere+"-missing", path) }, "a symbolic link"},
		"link to directory": {func(path, elsewhere string) error { return os.Symlink(filepath.Dir(elsewhere), path) }, "a symbolic link"},
		"directory":         {func(path, _ string) error { return os.Mkdir(path, 0o700) }, "a directory"},
		"pipe":              {func(path, _ string) error { return syscall.Mkfifo(path, 0o600) }, "not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			s, path, _ := stored(t)
			elsewhere := filepath.Join(t.TempDir(), "elsewhere")
			if err := os.Rename(path, elsewhere); err != nil { // a record that would do
				t.Fatal(err)
			}
			before := read(t, elsewhere)
			if err := tc.put(path, elsewhere); err != nil {
				t.Fatal(err)
			}
			for _, err := range everyCall(t, s) {
				fails(t, err, filestore.ErrUnsafe, path, tc.says, "remove it")
			}
			intact(t, elsewhere, before)

			for _, suffix := range []string{".lock", ".cas.lock"} {
				lock := strings.TrimSuffix(path, ".json") + suffix
				_ = os.Remove(lock)
				if err := tc.put(lock, elsewhere); err != nil {
					t.Fatal(err)
				}
			}
			_, err := s.Lock(t.Context(), key)
			fails(t, err, filestore.ErrUnsafe, ".lock", "not a regular file", "remove it")
			_, err = s.Save(t.Context(), key, record(0))
			fails(t, err, filestore.ErrUnsafe, ".cas.lock", "not a regular file", "remove it")
			intact(t, elsewhere, before)
		})
	}
}

// intact checks that elsewhere holds what it did and has no new neighbour.
func intact(t *testing.T, elsewhere, before string) {
	t.Helper()
	if names := entries(t, filepath.Dir(elsewhere)); len(names) != 1 || read(t, elsewhere) != before {
		t.Errorf("a link was followed: %q", names)
	}
}

// A directory that is a link may lead to another tomorrow, also while the
// program runs.
func TestLinkedDirectory(t *testing.T) {
	s, _, g := stored(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(s.Dir(), link); err != nil {
		t.Fatal(err)
	}
	_, err := filestore.Open(link)
	fails(t, err, filestore.ErrUnsafe, link, "a symbolic link", "the directory that it leads to")
	moved := s.Dir() + "-moved"
	if err := os.Rename(s.Dir(), moved); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(moved, s.Dir()); err != nil {
		t.Fatal(err)
	}
	_, err = s.Save(t.Context(), key, record(g))
	fails(t, err, filestore.ErrUnsafe, s.Dir(), "a symbolic link")
	_, err = s.Lock(t.Context(), key)
	fails(t, err, filestore.ErrUnsafe, s.Dir(), "a symbolic link")
}

// A directory in which there is nothing yet is made private, whatever its mode.
func TestEmptyDirectory(t *testing.T) {
	for _, loose := range []os.FileMode{0o755, 0o750, 0o777, 0o711, 0o700} {
		dir := t.TempDir()
		chmod(t, dir, loose)
		s := open(t, dir)
		mode(t, dir, 0o700)
		save(t, s, 0)
	}
	// One with something in it is not: it may have been read, or planted.
	dir := t.TempDir()
	chmod(t, dir, 0o755)
	write(t, filepath.Join(dir, "something"), "")
	_, err := filestore.Open(dir)
	fails(t, err, filestore.ErrUnsafe, `chmod 700 "`+dir+`"`)
	mode(t, dir, 0o755)
}

// What belongs to another user is not used, whoever this one is.
func TestOthersFiles(t *testing.T) {
	if os.Getuid() != 0 {
		// Nobody but root can give files away. Root's own directory has to do:
		// it is open to others besides, but the owner is looked at first.
		_, err := filestore.Open("/")
		fails(t, err, filestore.ErrUnsafe, "it belongs to user 0")
		return
	}
	s, path, g := stored(t)
	if err := os.Chown(path, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	for name, err := range everyCall(t, s) {
		t.Log(name)
		fails(t, err, filestore.ErrUnsafe, path, "it belongs to user 65534", "chown 0 ")
	}
	give(t, s.Dir(), 0)
	save(t, s, g)
	give(t, s.Dir(), nobody)
	_, err := s.Save(t.Context(), key, record(g))
	fails(t, err, filestore.ErrUnsafe, s.Dir(), "it belongs to user 65534")
	_, err = filestore.Open(s.Dir())
	fails(t, err, filestore.ErrUnsafe, s.Dir(), "it belongs to user 65534")

	empty := t.TempDir()
	chmod(t, empty, 0o755)
	give(t, empty, nobody)
	_, err = filestore.Open(empty)
	fails(t, err, filestore.ErrUnsafe, "it belongs to user 65534")
	mode(t, empty, 0o755)
}

// A file that is too large for a record is not read: it may be a hole of a
// terabyte.
func TestLargeFile(t *testing.T) {
	s, path, _ := stored(t)
	for _, size := range []int64{4<<20 + 1, 1 << 40} {
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		for _, err := range everyCall(t, s) {
			fails(t, err, filestore.ErrUnsafe, path, "larger than 4 MiB")
		}
	}
	if err := os.Truncate(path, 4<<20); err != nil {
		t.Fatal(err)
	}
	_, err := s.Load(t.Context(), key)
	fails(t, err, store.ErrCorrupt, path) // read, at last
}
