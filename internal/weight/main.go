// Command weight prints what a program gets larger by, beside mcp-go's own OAuth
// and the official Go SDK's.
//
//	go run ./internal/weight
//	go run ./internal/weight -cold
//
// The second also says how much CPU time it takes to compile everything, the
// standard library too, with an empty cache; that takes minutes.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// program is a directory with a main package.
type program struct {
	name        string
	module, dir string // dir is below module
	beside      int    // index of the program that it is compared with
}

var programs = []program{
	{"mcp-go", ".", "internal/weight/testdata/plain", 0},
	{"mcp-go with its OAuth", ".", "internal/weight/testdata/oauth", 0},
	{"mcp-go, `WithAuth`, filestore", ".", "internal/weight/testdata/manager", 0},
	{"the same and `grant.AuthorizationCode`", ".", "internal/weight/testdata/login", 0},
	{"official Go SDK", "internal/gosdktest", "testdata/plain", 4},
	{"official Go SDK with its OAuth", "internal/gosdktest", "testdata/oauth", 4},
}

// weight is what one program takes.
type weight struct {
	bytes             int64
	modules, packages int
	cold              time.Duration
}

func main() {
	cold := flag.Bool("cold", false, "compile with an empty cache and print the CPU time")
	flag.Parse()
	if err := run(*cold); err != nil {
		fmt.Fprintln(os.Stderr, "weight:", err)
		os.Exit(1)
	}
}

func run(cold bool) error {
	tmp, err := os.MkdirTemp("", "weight")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	fmt.Printf("| a stripped program (%s/%s) | size | more | modules | packages |", runtime.GOOS, runtime.GOARCH)
	rule := "|---|---:|---:|---:|---:|"
	if cold {
		fmt.Print(" cold build, CPU |")
		rule += "---:|"
	}
	fmt.Println("\n" + rule)
	var weights []weight
	for _, p := range programs {
		w, err := p.weigh(tmp, cold)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		weights = append(weights, w)
		fmt.Printf("| %s | %.2f MB | %.2f MB | %d | %d |", p.name, mb(w.bytes), mb(w.bytes-weights[p.beside].bytes), w.modules, w.packages)
		if cold {
			fmt.Printf(" %.0f s |", w.cold.Seconds())
		}
		fmt.Println()
	}
	return nil
}

func mb(bytes int64) float64 { return float64(bytes) / 1e6 }

// weigh builds the program in tmp and looks at the result.
func (p program) weigh(tmp string, cold bool) (w weight, err error) {
	binary := filepath.Join(tmp, "program")
	build := p.command("build", "-trimpath", "-ldflags=-s -w", "-o", binary)
	if cold {
		cache, err := os.MkdirTemp(tmp, "cache")
		if err != nil {
			return w, err
		}
		build.Env = append(os.Environ(), "GOCACHE="+cache)
	}
	if _, err := output(build); err != nil {
		return w, err
	}
	w.cold = build.ProcessState.UserTime() + build.ProcessState.SystemTime()
	info, err := os.Stat(binary)
	if err != nil {
		return w, err
	}
	w.bytes = info.Size()
	deps, err := output(p.command("list", "-deps", "-f", "{{.ImportPath}} {{with .Module}}{{.Path}}{{end}}"))
	if err != nil {
		return w, err
	}
	modules := map[string]bool{}
	for line := range strings.Lines(deps) {
		w.packages++
		if _, module, _ := strings.Cut(strings.TrimSpace(line), " "); module != "" {
			modules[module] = true
		}
	}
	w.modules = len(modules) - 1 // without its own
	if p.module == "." && strings.Contains(deps, "mcptokens/auth ") {
		w.modules++ // a program elsewhere gets this one too
	}
	return w, nil
}

func (p program) command(args ...string) *exec.Cmd {
	cmd := exec.Command("go", append(args, "./"+p.dir)...)
	cmd.Dir = p.module
	return cmd
}

func output(cmd *exec.Cmd) (string, error) {
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, exit.Stderr)
	}
	return string(out), err
}
