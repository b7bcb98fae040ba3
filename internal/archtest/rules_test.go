package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/types"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Package lifecycle decides and does nothing: every method is given the time.
func TestLifecycleIsPure(t *testing.T) {
	for _, impure := range impurities(load(t), module+"/auth/internal/lifecycle") {
		t.Error(impure)
	}
}

// impurities returns what keeps a package from being a function of its input.
func impurities(p *program, path string) (found []string) {
	one := p.find(path)
	if one == nil {
		return []string{path + " was not loaded"}
	}
	for _, imported := range one.types.Imports() {
		if first, _, _ := strings.Cut(imported.Path(), "/"); strings.Contains(first, ".") ||
			slices.Contains([]string{"context", "net", "os", "sync", "syscall", "io", "log", "runtime"}, first) || strings.HasPrefix(imported.Path(), "math/rand") {
			found = append(found, path+" imports "+imported.Path())
		}
	}
	for _, file := range one.files {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				found = append(found, p.where(n.Pos())+": a goroutine")
			case *ast.ChanType:
				found = append(found, p.where(n.Pos())+": a channel")
			case *ast.Ident:
				f, ok := one.info.Uses[n].(*types.Func)
				if ok && f.Pkg() != nil && f.Pkg().Path() == "time" && f.Signature().Recv() == nil &&
					slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}, f.Name()) {
					found = append(found, p.where(n.Pos())+": time."+f.Name())
				}
			}
			return true
		})
	}
	return found
}

// direction says what packages must not depend on, also by way of others. Names
// are of this module, of the standard library, or complete; "a/..." is a and all
// below it.
type direction struct {
	from string
	not  []string
	but  []string // packages of from that may
}

var directions = []direction{
	{from: "auth/discovery/...", not: []string{"auth"}},
	{from: "auth/registration/...", not: []string{"auth"}},
	{from: "auth/authtrace/...", not: []string{"auth"}},
	{from: "auth/internal/...", not: []string{"auth"}},
	{from: "auth/...", not: []string{"transport/...", "mcpgo/...", "otelauth/...", "github.com/mark3labs/...", "go.opentelemetry.io/..."}},
	{from: "auth/...", not: []string{"github.com/redis/..."}, but: []string{"auth/store/redisstore"}},
	{from: "auth/...", not: []string{"database/sql/..."}, but: []string{"auth/store/sqlstore"}},
	{from: "auth/...", not: []string{"github.com/golang-jwt/..."}, but: []string{"auth/clientauth", "auth/dpop", "auth/authtest"}},
	{from: "transport/...", not: []string{
		"mcpgo/...", "otelauth/...", "auth/grant/...", "auth/clientauth/...", "auth/browser/...", "auth/dpop/...", "auth/store/...",
		"github.com/mark3labs/...", "go.opentelemetry.io/...", "github.com/redis/...", "database/sql/...", "github.com/golang-jwt/...",
	}},
	{from: "mcpgo/...", not: []string{"otelauth/...", "auth/store/...", "auth/grant/...", "go.opentelemetry.io/...", "github.com/redis/..."}},
	{from: "otelauth/...", not: []string{"transport/...", "mcpgo/...", "github.com/mark3labs/..."}},
}

// Imports point one way.
func TestImports(t *testing.T) {
	all := packages(t)
	if len(all) < 100 {
		t.Fatalf("go list named %d packages", len(all))
	}
	for _, wrong := range misdirected(all, directions) {
		t.Error(wrong)
	}
}

func misdirected(all []listed, rules []direction) (found []string) {
	for _, one := range all {
		path, ours := strings.CutPrefix(one.ImportPath, module+"/")
		if !ours {
			continue
		}
		for _, rule := range rules {
			if !within(path, rule.from) || slices.Contains(rule.but, path) {
				continue
			}
			for _, dep := range one.Deps {
				dep = strings.TrimPrefix(dep, module+"/")
				if slices.ContainsFunc(rule.not, func(not string) bool { return within(dep, not) }) {
					found = append(found, path+" depends on "+dep)
				}
			}
		}
	}
	return found
}

// within reports whether a path is a name, or below it if that ends in "/...".
func within(path, name string) bool {
	below, all := strings.CutSuffix(name, "/...")
	return path == below || all && strings.HasPrefix(path, below+"/")
}

// size is a bound. today is how large the thing is as long as that is more: it
// must not grow, and the mark has to go when the bound is reached.
type size struct{ most, today int }

func (s size) problem(got int) string {
	switch {
	case s.today > s.most && got <= s.most:
		return fmt.Sprintf("is %d and within its bound of %d: remove the mark %d", got, s.most, s.today)
	case got > max(s.most, s.today):
		return fmt.Sprintf("is %d, the bound is %d", got, max(s.most, s.today))
	}
	return ""
}

var (
	authLines   = size{most: 4500, today: 10243}
	authDoc     = size{most: 60}
	shellFields = size{most: 10}
	// fields are the structs of the shell that have more.
	fields = map[string]size{}
)

func TestSizes(t *testing.T) {
	lines, largest := 0, 0
	for _, one := range packages(t) {
		if one.ImportPath != components.pkg {
			continue
		}
		for _, name := range one.GoFiles {
			source, err := os.ReadFile(filepath.Join(one.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			n := bytes.Count(source, []byte("\n"))
			lines, largest = lines+n, max(largest, n)
		}
	}
	if why := authLines.problem(lines); why != "" {
		t.Errorf("package auth, in lines, %s", why)
	}
	cmd := exec.Command("go", "doc", "-short", "./auth")
	cmd.Dir, cmd.Stderr = root, os.Stderr
	doc, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if why := authDoc.problem(bytes.Count(doc, []byte("\n"))); why != "" {
		t.Errorf("go doc -short ./auth, in lines, %s", why)
	}
	t.Logf("package auth: %d lines, the largest file %d; go doc -short: %d lines", lines, largest, bytes.Count(doc, []byte("\n")))
}

// Whoever reads a struct of the shell has to have all of it in mind.
func TestFieldsOfTheShell(t *testing.T) {
	counted := components.fields(load(t))
	if len(counted) < 8 {
		t.Fatalf("%d structs found", len(counted))
	}
	for name, n := range counted {
		bound, marked := fields[name]
		if !marked {
			bound = shellFields
		}
		if why := bound.problem(n); why != "" {
			t.Errorf("%s, in fields, %s", name, why)
		}
	}
}

// fields counts those of each struct of the shell that has any of its own:
// what has only exported ones is data for the program, such as a configuration.
func (l *layout) fields(p *program) map[string]int {
	counted := make(map[string]int)
	l.decls(p, func(component string, one *pkg, decl ast.Node) {
		spec, ok := decl.(*ast.TypeSpec)
		if !ok || !slices.Contains(l.shell, component) {
			return
		}
		s, ok := one.info.Defs[spec.Name].Type().Underlying().(*types.Struct)
		if !ok {
			return
		}
		for f := range s.Fields() {
			if !f.Exported() || f.Embedded() {
				counted[spec.Name.Name] = s.NumFields()
			}
		}
	})
	return counted
}
