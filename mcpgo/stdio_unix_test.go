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

// A process that the server started and left behind does not hold Close up.
func TestStdioCloseWithGrandchild(t *testing.T) {
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
	if took := time.Since(start); took > 1900*time.Millisecond { // mcp-go gets violent after 2 s
		t.Errorf("Close took %v", took)
	}
}
