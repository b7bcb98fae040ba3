// Package atomicfile replaces private files so that a reader finds either the
// old content or the new, whatever happens in between.
package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
)

// TempInfix is what the names of temporary files have in common: a process that
// is killed leaves one behind.
const TempInfix = ".tmp-"

// Replace writes a file, mode 0600, so that it holds either what it did or
// data, and data durably when Replace returns nil.
func Replace(path string, data []byte) error {
	temp, err := WriteTemp(path, data)
	if err != nil {
		return err
	}
	if err := Rename(temp, path); err != nil {
		_ = os.Remove(temp)
		return err
	}
	return nil
}

// WriteTemp writes data to a new file beside path, flushes it and returns its
// name.
func WriteTemp(path string, data []byte) (temp string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+TempInfix+"*") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// Rename moves a file within its directory, durably.
func Rename(from, to string) error {
	if err := Patiently(func() error { return os.Rename(from, to) }); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(to))
}

// Remove removes a file, durably.
func Remove(path string) error {
	if err := Patiently(func() error { return os.Remove(path) }); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}
