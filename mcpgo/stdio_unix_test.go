//go:build !windows

package mcpgo_test

import (
	"bufio"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/mcpgo"
)

// A process that the server started and left behind does not hold Close up. If it
// did, every Close would take two seconds, after which mcp-go gets violent: on a
// slow machine one may take as long for no reason, but not all of them.
func TestStdioCloseWithGrandchild(t *testing.T) {
	var took []time.Duration
	for range 10 {
		took = append(took, closeWithGrandchild(t))
		if took[len(took)-1] < 1900*time.Millisecond {
			return
		}
	}
	t.Errorf("Close took %v", took)
}

func closeWithGrandchild(t *testing.T) time.Duration {
	t.Helper()
	m := tokenManager(t, "first")
	s := mcpgo.NewStdio(m, program(t), nil, self("grandchild"), mcpgo.WithTokenVariable("TOKEN"))
	c := connectStdio(t, s)
	lines := bufio.NewScanner(s.Stderr())
	lines.Scan() // the server's first words
	lines.Scan()
	pid, err := strconv.Atoi(lines.Text())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if p, err := os.FindProcess(pid); err == nil {
			_ = p.Kill()
		}
	}()
	start := time.Now()
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	return time.Since(start)
}
