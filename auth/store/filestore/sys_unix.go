//go:build !windows

package filestore

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/mcptokens/mcptokens/internal/errtext"
)

// private refuses what the mode opens to others.
func private(op, path string, at fs.FileInfo) error {
	mode := at.Mode().Perm()
	if mode&0o077 == 0 {
		return nil
	}
	want := 0o600
	if at.IsDir() {
		want = 0o700
	}
	return &Error{
		Op: op, Path: path, Err: errtext.Errorf(ErrUnsafe, "mode %04o is open to others than its owner", mode),
		Advice: fmt.Sprintf("if they may not have read it, run: chmod %o %q", want, path),
	}
}

// openNoFollow opens path for reading unless it is a symbolic link. It does
// not wait for the other end of a pipe.
func openNoFollow(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}
