package providertest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// Each habit of a profile has a public source.
func TestHabitsHaveSources(t *testing.T) {
	files, err := filepath.Glob("../../auth/authtest/profile_*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no profiles: %v", err)
	}
	habits := 0
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() {
				continue
			}
			said := strings.Split(f.Doc.Text(), "\n  - ")[1:]
			if len(said) == 0 {
				t.Errorf("%s: %s lists no habits", name, f.Name)
			}
			for _, habit := range said {
				if habits++; !strings.Contains(habit, "https://") {
					t.Errorf("%s: %s: no source for %q", name, f.Name, habit)
				}
			}
		}
	}
	if habits < 60 {
		t.Errorf("%d habits: not all were found", habits)
	}
}
