package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// moduleRoot returns the folder of the go.mod that governs dir.
func moduleRoot(ctx context.Context, dir string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "env", "GOMOD")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	mod := strings.TrimSpace(string(out))
	if mod == "" || mod == os.DevNull {
		return "", errors.New("not inside a Go module: run it from the repository, or give -client")
	}
	return filepath.Dir(mod), nil
}

// build compiles conformance/client of the module at root into tmp.
func build(ctx context.Context, root, tmp string) (string, error) {
	path := filepath.Join(tmp, "client")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "./conformance/client")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build ./conformance/client: %w\n%s", err, bytes.TrimSpace(out))
	}
	return path, nil
}

// versions are what the client was built with; empty if it is no Go program.
type versions struct {
	golang, mcpgo string
}

// versionsOf reads from the program at path what it was built with.
func versionsOf(path string) versions {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return versions{} // a client in another language is welcome
	}
	v := versions{golang: info.GoVersion}
	for _, m := range info.Deps {
		if m.Path == "github.com/mark3labs/mcp-go" {
			v.mcpgo = m.Version
		}
	}
	return v
}
