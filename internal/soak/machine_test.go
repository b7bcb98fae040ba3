package soak

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// stepsPerSecond is what the model of the state machine does on a busy machine.
const stepsPerSecond = 20_000

// The model of package lifecycle, for as long as the soak lasts: random histories
// against the invariants. It runs in a process of its own, since models are tests.
func TestMachine(t *testing.T) {
	took := max(*length, time.Second)
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-timeout", (10*took + time.Minute).String(), "-run", "^TestModel$", "-v", "../../auth/internal/lifecycle")
	cmd.Env = append(os.Environ(), "MCPTOKENS_MODEL_STEPS="+strconv.Itoa(int(took.Seconds())*stepsPerSecond))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestModel") {
		t.Fatalf("%v\n%s", err, out)
	}
}
