//go:build !unix

package browser

import (
	"bufio"
	"context"
	"os"
	"strings"
)

// readLine reads a line of f, without its end. A read of a console cannot be
// interrupted: if ctx ends first it goes on until the next line, which it
// drops.
func readLine(ctx context.Context, f *os.File) (string, error) {
	type result struct {
		line string
		err  error
	}
	read := make(chan result, 1)
	go func() {
		line, err := bufio.NewReader(f).ReadString('\n')
		if line != "" {
			err = nil
		}
		read <- result{strings.TrimRight(line, "\r\n"), err}
	}()
	select {
	case r := <-read:
		return r.line, r.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
