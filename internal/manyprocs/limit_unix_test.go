//go:build unix

package manyprocs

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// Signals to a limited worker.
const (
	fillSignal  = syscall.SIGUSR1
	drainSignal = syscall.SIGUSR2
)

// nobody is a user who owns nothing; no permission holds for root.
const nobody = 65534

// limit gives up root's powers, and lets the signals above set and lift a limit
// on the size of files: beyond it the system refuses to write, as on a full
// disk.
func limit() error {
	if os.Getuid() == 0 {
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(nobody), syscall.Setuid(nobody)); err != nil {
			return err
		}
	}
	signal.Ignore(syscall.SIGXFSZ)
	var free syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &free); err != nil {
		return err
	}
	told := make(chan os.Signal, 1)
	signal.Notify(told, fillSignal, drainSignal)
	go func() {
		for s := range told {
			now := free
			if s == fillSignal {
				now.Cur = 1 << 10
			}
			if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &now); err != nil {
				panic(err)
			}
		}
	}()
	return nil
}
