package filestore

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// private leaves it to the access control list that the directory inherits:
// the profile is closed to other users.
func private(string, string, fs.FileInfo) error { return nil }

// openNoFollow opens path for reading unless it is a symbolic link.
func openNoFollow(path string) (f *os.File, err error) {
	at, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !at.Mode().IsRegular() {
		return nil, fs.ErrInvalid
	}
	err = patiently(func() error {
		f, err = os.Open(path)
		return err
	})
	return f, err
}

// syncDir does nothing: Windows has no such thing, and NTFS keeps a journal.
func syncDir(string) error { return nil }

// patiently repeats f, for a second at most, while somebody has the file open
// who will soon be done: a reader of the old record, or a virus scanner.
func patiently(f func() error) error {
	const (
		accessDenied     = syscall.Errno(5)
		sharingViolation = syscall.Errno(32)
	)
	deadline := time.Now().Add(time.Second)
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		err := f()
		if err == nil || !errors.Is(err, accessDenied) && !errors.Is(err, sharingViolation) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(wait)
	}
}
