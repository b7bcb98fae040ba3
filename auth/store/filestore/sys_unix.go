//go:build !windows

package filestore

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/mcptokens/mcptokens/internal/errtext"
)

// private refuses what the mode opens to others, and what another user has put
// there.
func private(op, path string, at fs.FileInfo) error {
	if err := owned(op, path, at); err != nil {
		return err
	}
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
		Advice: fmt.Sprintf("if nobody else has read it, run: chmod %o %q", want, path),
	}
}

// owned refuses what belongs to another user, who could read and replace it
// whatever the mode is. For root as well: what a user has prepared must not
// become root's login.
func owned(op, path string, at fs.FileInfo) error {
	stat, ok := at.Sys().(*syscall.Stat_t)
	if !ok || int(stat.Uid) == os.Geteuid() {
		return nil
	}
	return &Error{
		Op: op, Path: path, Err: errtext.Errorf(ErrUnsafe, "it belongs to user %d, and this process is user %d's", stat.Uid, os.Geteuid()),
		Advice: fmt.Sprintf("run as that user, or, if its contents are yours, run: chown %d %q", os.Geteuid(), path),
	}
}

// openNoFollow opens path for reading unless it is a symbolic link. It does
// not wait for the other end of a pipe.
func openNoFollow(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}
