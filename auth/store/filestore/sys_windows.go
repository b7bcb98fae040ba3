package filestore

import (
	"io/fs"
	"os"

	"github.com/mcptokens/mcptokens/internal/atomicfile"
)

// private leaves it to the access control list that the directory inherits:
// the profile is closed to other users.
func private(string, string, fs.FileInfo) error { return nil }

func owned(string, string, fs.FileInfo) error { return nil }

// openNoFollow opens path for reading unless it is a symbolic link.
func openNoFollow(path string) (f *os.File, err error) {
	at, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !at.Mode().IsRegular() {
		return nil, fs.ErrInvalid
	}
	err = atomicfile.Patiently(func() error {
		f, err = os.Open(path)
		return err
	})
	return f, err
}
