package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestDemonstration(t *testing.T) {
	var stdout, stderr bytes.Buffer
	start := time.Now()
	if status := run(t.Context(), nil, &stdout, &stderr); status != 0 {
		t.Fatalf("exit status %d\n%s%s", status, &stdout, &stderr)
	}
	for _, step := range []string{"login", "tool call", "early refresh", "rotation", "step-up", "100 calls"} {
		if !strings.Contains(stdout.String(), "ok    "+step) {
			t.Errorf("step %q is not in the timeline:\n%s", step, &stdout)
		}
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v, want less than 5s", took)
	}
}

func TestBadFlags(t *testing.T) {
	for name, args := range map[string][]string{
		"unknown":                {"-nonsense"},
		"argument":               {"http://localhost"},
		"tool without url":       {"-tool", "greet"},
		"args are no object":     {"-url", "http://localhost:1/mcp", "-tool", "greet", "-args", "[1]"},
		"secret without client":  {"-url", "http://localhost:1/mcp", "-client-secret", "x"},
		"url without encryption": {"-url", "http://mcp.example.com/mcp"},
		"timeout":                {"-timeout", "-1s"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if status := run(t.Context(), args, &stdout, &stderr); status != 2 {
				t.Errorf("exit status %d, want 2", status)
			}
			if !strings.Contains(stderr.String(), "Usage of http-client") {
				t.Errorf("no usage in %q", stderr.String())
			}
		})
	}
}

func TestServerThatIsNotThere(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if status := run(t.Context(), []string{"-url", "http://127.0.0.1:1/mcp", "-headless", "-timeout", "1s"}, &stdout, &stderr); status != 1 {
		t.Errorf("exit status %d, want 1\n%s", status, &stderr)
	}
}

func TestHelp(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if status := run(t.Context(), []string{"-h"}, &stdout, &stderr); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
}
