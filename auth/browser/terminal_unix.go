//go:build unix

package browser

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// glance is how often a reader looks whether it is still wanted.
const glance = 100 * time.Millisecond

// maxLine bounds a line, in bytes.
const maxLine = 64 << 10

// readLine reads a line of f, without its end. A read of a terminal cannot be
// interrupted, and one that is left behind would take the next line from the
// program: it is begun only when there is something to read.
func readLine(ctx context.Context, f *os.File) (string, error) {
	var line strings.Builder
	buf := make([]byte, 4<<10)
	for line.Len() < maxLine {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		ready, err := readable(int(f.Fd()))
		if err != nil {
			return "", err
		}
		if !ready {
			continue
		}
		n, err := f.Read(buf)
		text, _, ended := strings.Cut(string(buf[:n]), "\n")
		line.WriteString(text)
		switch {
		case ended, errors.Is(err, io.EOF) && line.Len() > 0:
			return line.String(), nil
		case err != nil:
			return "", err
		}
	}
	return line.String(), nil
}

// readable waits for something to read, but not for long.
func readable(fd int) (bool, error) {
	var set unix.FdSet
	set.Zero()
	if fd < 0 || fd >= unix.FD_SETSIZE {
		return false, os.ErrInvalid
	}
	set.Set(fd)
	wait := unix.NsecToTimeval(int64(glance))
	n, err := unix.Select(fd+1, &set, nil, nil, &wait)
	if errors.Is(err, unix.EINTR) {
		return false, nil
	}
	return n > 0, err
}
