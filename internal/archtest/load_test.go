// Package archtest holds the code to docs/architecture.md: which component may
// call which, what a package may import, and how large things may be.
package archtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/mcptokens/mcptokens"
)

// pkg is a package of the module, with its syntax and types.
type pkg struct {
	path  string
	files []*ast.File
	types *types.Package
	info  *types.Info
}

// program is what the rules look at. Test files are no part of it.
type program struct {
	fset *token.FileSet
	pkgs []*pkg // dependencies first
}

// file returns the base name of the file that pos is in.
func (p *program) file(pos token.Pos) string { return filepath.Base(p.fset.Position(pos).Filename) }

// where is pos for a message.
func (p *program) where(pos token.Pos) string {
	at := p.fset.Position(pos)
	return fmt.Sprintf("%s:%d", filepath.Base(at.Filename), at.Line)
}

// find returns a package; nil if it was not loaded.
func (p *program) find(path string) *pkg {
	for _, one := range p.pkgs {
		if one.path == path {
			return one
		}
	}
	return nil
}

// check adds a package to p: packages of p are imported from it, all others by
// rest.
func (p *program) check(path string, files []*ast.File, rest types.Importer) error {
	one := &pkg{path: path, files: files, info: &types.Info{
		Uses: make(map[*ast.Ident]types.Object), Defs: make(map[*ast.Ident]types.Object),
		Selections: make(map[*ast.SelectorExpr]*types.Selection), Types: make(map[ast.Expr]types.TypeAndValue),
	}}
	conf := types.Config{Importer: importers(func(path string) (*types.Package, error) {
		if known := p.find(path); known != nil {
			return known.types, nil
		}
		return rest.Import(path)
	})}
	var err error
	one.types, err = conf.Check(path, p.fset, files, one.info)
	p.pkgs = append(p.pkgs, one)
	return err
}

type importers func(path string) (*types.Package, error)

func (f importers) Import(path string) (*types.Package, error) { return f(path) }

// listed is what go list says of a package.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles, Deps           []string
}

// list is go list -deps -export: dependencies come first. The compiler's export
// data make it fast: only the module itself is read from source.
var list = sync.OnceValues(func() ([]listed, error) {
	cmd := exec.Command("go", "list", "-deps", "-export", "-json=ImportPath,Dir,Export,GoFiles,Deps", "./...")
	cmd.Dir, cmd.Stderr = root, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var one listed
		if err := d.Decode(&one); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
})

func packages(t *testing.T) []listed {
	t.Helper()
	all, err := list()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// compiled imports packages as the compiler wrote them.
func compiled(t *testing.T, fset *token.FileSet) types.Importer {
	t.Helper()
	exports := make(map[string]string)
	for _, one := range packages(t) {
		exports[one.ImportPath] = one.Export
	}
	return importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
}

// load reads package auth and what it imports of the module.
func load(t *testing.T) *program {
	t.Helper()
	all := packages(t)
	wanted := make(map[string]bool)
	for _, one := range all {
		if one.ImportPath == module+"/auth" {
			wanted[one.ImportPath] = true
			for _, dep := range one.Deps {
				wanted[dep] = strings.HasPrefix(dep, module)
			}
		}
	}
	p := &program{fset: token.NewFileSet()}
	rest := compiled(t, p.fset)
	for _, one := range all {
		if !wanted[one.ImportPath] {
			continue
		}
		var files []*ast.File
		for _, name := range one.GoFiles {
			file, err := parser.ParseFile(p.fset, filepath.Join(one.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
		if err := p.check(one.ImportPath, files, rest); err != nil {
			t.Fatal(err)
		}
	}
	if p.find(module+"/auth") == nil || len(p.pkgs) < 8 {
		t.Fatalf("%d packages were loaded", len(p.pkgs))
	}
	return p
}
