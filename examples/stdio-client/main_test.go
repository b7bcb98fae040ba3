package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain runs the tests, or, in the processes that they start, the
// demonstration's server.
func TestMain(m *testing.M) {
	if api := os.Getenv(apiVariable); api != "" {
		syscall.Exit(serve(context.Background(), api)) // not os.Exit: there is no coverage to report
	}
	os.Exit(m.Run())
}

// It takes five seconds at most: waits for something that does not come take
// longer, each time. A slow machine may need some tries.
func TestDemonstration(t *testing.T) {
	t.Setenv("CANARY", "must not leak")
	var took []time.Duration
	for range 5 {
		took = append(took, demonstrates(t))
		if took[len(took)-1] <= 5*time.Second {
			return
		}
	}
	t.Errorf("took %v, want less than 5s", took)
}

func demonstrates(t *testing.T) time.Duration {
	t.Helper()
	var stdout, stderr bytes.Buffer
	start := time.Now()
	if status := run(t.Context(), nil, &stdout, &stderr); status != 0 {
		t.Fatalf("exit status %d\n%s%s", status, &stdout, &stderr)
	}
	took := time.Since(start)
	for _, step := range []string{"start", "environment", "token file", "restart", "step-up", "close"} {
		if !strings.Contains(stdout.String(), "ok    "+step+" ") {
			t.Errorf("step %q is not in the timeline:\n%s", step, &stdout)
		}
	}
	if strings.Contains(stdout.String(), "CANARY") {
		t.Errorf("the server sees more than it may:\n%s", &stdout)
	}
	return took
}

func TestBadFlags(t *testing.T) {
	for name, args := range map[string][]string{
		"unknown":               {"-nonsense"},
		"argument":              {"server"},
		"no command":            {"-token-variable", "TOKEN", "-token-from", "T", "--"},
		"flags without command": {"-tool", "greet"},
		"no variable":           {"-token-from", "T", "--", "server"},
		"no token":              {"-token-variable", "TOKEN", "--", "server"},
		"two tokens":            {"-token-variable", "TOKEN", "-token-from", "T", "-resource", "http://localhost:1/", "--", "server"},
		"args are no object":    {"-token-variable", "TOKEN", "-token-from", "T", "-args", "[1]", "--", "server"},
		"secret without client": {"-token-variable", "TOKEN", "-resource", "http://localhost:1/", "-client-secret", "x", "--", "server"},
		"secret without issuer": {"-token-variable", "TOKEN", "-resource", "http://localhost:1/", "-client-id", "x", "-client-secret", "x", "--", "server"},
		"no encryption":         {"-token-variable", "TOKEN", "-resource", "http://api.example.com/", "--", "server"},
		"impossible variable":   {"-token-variable", "A=B", "-token-from", "PATH", "--", "server"},
		"timeout":               {"-timeout", "-1s"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if status := run(t.Context(), args, &stdout, &stderr); status != 2 {
				t.Errorf("exit status %d, want 2", status)
			}
			want := "-h for help"
			if name == "unknown" {
				want = "Usage of stdio-client" // package flag's
			}
			if !strings.Contains(stderr.String(), want) {
				t.Errorf("no %q in %q", want, stderr.String())
			}
		})
	}
}

func TestHelp(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if status := run(t.Context(), []string{"-h"}, &stdout, &stderr); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
}

// Any stdio server will do: here the demonstration's own, for an API that is not
// there.
func TestAnyServer(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("MY_TOKEN", "the-token")
	server := []string{"-token-variable", tokenVariable, "-token-file-variable", fileVariable, "-token-from", "MY_TOKEN", "-restart"}
	command := []string{"--", "env", apiVariable + "=http://127.0.0.1:1/", self}
	for _, test := range []struct {
		name   string
		flags  []string
		status int
		stdout string
		stderr string
	}{
		{"list", nil, 0, "read_notes", ""},
		{"call", []string{"-tool", "read_notes", "-v"}, 1, "", "connect"},
		{"no such variable", []string{"-token-from", "NOT_SET"}, 1, "", "NOT_SET"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			args := append(append(append([]string{}, server...), test.flags...), command...)
			if status := run(t.Context(), args, &stdout, &stderr); status != test.status {
				t.Errorf("exit status %d, want %d\n%s", status, test.status, &stderr)
			}
			if !strings.Contains(stdout.String(), test.stdout) || !strings.Contains(stderr.String(), test.stderr) {
				t.Errorf("stdout %q, stderr %q", &stdout, &stderr)
			}
			if strings.Contains(stdout.String()+stderr.String(), "the-token") {
				t.Error("the token was printed")
			}
		})
	}
}

func TestServerThatIsNotThere(t *testing.T) {
	var stdout, stderr bytes.Buffer
	t.Setenv("MY_TOKEN", "the-token")
	args := []string{"-token-variable", "TOKEN", "-token-from", "MY_TOKEN", "--", "/no/such/server"}
	if status := run(t.Context(), args, &stdout, &stderr); status != 1 {
		t.Errorf("exit status %d, want 1\n%s", status, &stderr)
	}
}
