//go:build realservers

package manyprocs

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A disk that is full, and not as by a limit: a file system of 256 KiB, which
// only root can mount.
func TestRealDiskFull(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=256k,mode=0711"); errors.Is(err, syscall.EPERM) {
		t.Skip("only root may mount, and not in every container") // a limit does the same: TestTroubleWithFiles
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(disk, syscall.MNT_DETACH)) })
	filler := filepath.Join(disk, "filler")
	trouble{
		func(t *testing.T, _ *fleet, _ *process, _ string) {
			if err := os.WriteFile(filler, bytes.Repeat([]byte("x"), 1<<20), 0o600); err == nil {
				t.Fatal("the disk has room for more")
			}
		},
		func(t *testing.T, _ *fleet, _ *process, _ string) { must(t, os.Remove(filler)) },
		"no space left on device",
	}.run(t, filepath.Join(disk, "tokens"))
}
