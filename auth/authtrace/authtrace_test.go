package authtrace

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Every operation has a start and an end, and is in the package's list of them.
func TestOperationsHaveStartAndEnd(t *testing.T) {
	methods, doc := declared(t)
	for name, marker := range methods {
		op, starts := strings.CutSuffix(name, "Start")
		if starts != (marker == "start") || strings.HasSuffix(name, "End") != (marker == "end") {
			t.Errorf("%s has the method %s", name, marker)
		}
		if !starts {
			continue
		}
		if methods[op+"End"] != "end" {
			t.Errorf("%s has no end", name)
		}
		if !strings.Contains(doc, "\t"+name+" ") {
			t.Errorf("the package comment does not list %s", name)
		}
	}
	for _, name := range []string{"RefreshStart", "WaitEnd", "Attempt", "Resend", "Refused"} {
		if methods[name] == "" {
			t.Errorf("%s was not found", name)
		}
	}
}

// declared returns which of the marker methods each struct has, and the package
// comment.
func declared(t *testing.T) (methods map[string]string, doc string) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	methods = map[string]string{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		doc += f.Doc.Text()
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv == nil || !slices.Contains([]string{"start", "end", "point"}, fn.Name.Name) {
				continue
			}
			methods[fn.Recv.List[0].Type.(*ast.Ident).Name] = fn.Name.Name
		}
	}
	return methods, doc
}

// A type that embeds Nop is a tracer that runs operations under the context they came with.
func TestNop(t *testing.T) {
	type own struct{ Nop }
	var tr Tracer = own{}
	ctx := t.Context()
	if tr.Start(ctx, ctx, RefreshStart{}) != ctx {
		t.Error("Start made a context of its own")
	}
	tr.End(ctx, RefreshEnd{})
	tr.Point(ctx, Attempt{})
}
