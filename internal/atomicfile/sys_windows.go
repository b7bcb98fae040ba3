package atomicfile

import (
	"errors"
	"syscall"
	"time"
)

// SyncDir does nothing: Windows has no such thing, and NTFS keeps a journal.
func SyncDir(string) error { return nil }

// Patiently repeats f, for a second at most, while somebody has the file open
// who will soon be done: a reader of the old content, or a virus scanner.
func Patiently(f func() error) error {
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
