package mcpgo_test

import (
	"os"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// TestMain runs the tests, or, in the processes that they start, the server.
func TestMain(m *testing.M) {
	if mode := os.Getenv(serverMode); mode != "" {
		syscall.Exit(serve(mode)) // not os.Exit: there is no coverage to report, and no place for it
	}
	goleak.VerifyTestMain(m)
}
