package atomicfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/mcptokens/mcptokens/internal/atomicfile"
)

func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, data := range []string{"a long first version", "short"} {
		if err := atomicfile.Replace(path, []byte(data)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != data {
			t.Errorf("the file holds %q, %v; want %q", got, err, data)
		}
	}
	at, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && at.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", at.Mode())
	}
	onlyEntry(t, path)
	if err := atomicfile.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removing it again: %v, want fs.ErrNotExist", err)
	}
}

// What cannot be replaced leaves nothing behind.
func TestReplaceFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "directory")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Replace(path, []byte("x")); err == nil {
		t.Error("a directory was replaced")
	}
	onlyEntry(t, path)
	if err := atomicfile.Replace(filepath.Join(path, "nowhere", "file"), []byte("x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a directory that is not there: %v", err)
	}
}

func onlyEntry(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != filepath.Base(path) {
		t.Errorf("the directory holds %v", entries)
	}
}
