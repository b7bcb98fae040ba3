package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strings"
)

// layout says what belongs together in one package. Other packages are one
// component each, named by their path.
type layout struct {
	pkg string
	// files maps each file to its component, types those whose methods belong
	// to another one than their file.
	files, types map[string]string
	// shell are the components that nothing below may know.
	shell []string
}

// component returns that of an object; empty if it is none of the program's.
func (l *layout) component(p *program, obj types.Object) string {
	if obj.Pkg() == nil || p.find(obj.Pkg().Path()) == nil {
		return ""
	}
	if obj.Pkg().Path() != l.pkg {
		return strings.TrimPrefix(obj.Pkg().Path(), module+"/")
	}
	name := obj.Name()
	if f, ok := obj.(*types.Func); ok {
		name = ""
		if recv := f.Signature().Recv(); recv != nil {
			if named := namedType(recv.Type()); named != nil {
				name = named.Obj().Name()
			}
		}
	}
	if c, ok := l.types[name]; ok {
		return c
	}
	return l.files[p.file(obj.Pos())]
}

// namedType is t, or what it points to; nil if that has no name.
func namedType(t types.Type) *types.Named {
	if ptr, ok := t.(*types.Pointer); ok {
		t = ptr.Elem()
	}
	named, _ := t.(*types.Named)
	return named
}

// graph is which component calls which, with one example each.
type graph map[string]map[string]string

func (g graph) add(from, to, example string) {
	if from == "" || to == "" || from == to {
		return
	}
	if g[from] == nil {
		g[from] = make(map[string]string)
	}
	if g[from][to] == "" {
		g[from][to] = example
	}
}

// decls calls f for each declaration at the top of a file, with the component
// that it belongs to.
func (l *layout) decls(p *program, f func(component string, one *pkg, decl ast.Node)) {
	for _, one := range p.pkgs {
		for _, file := range one.files {
			for _, decl := range file.Decls {
				switch decl := decl.(type) {
				case *ast.FuncDecl:
					f(l.component(p, one.info.Defs[decl.Name]), one, decl)
				case *ast.GenDecl:
					for _, spec := range decl.Specs {
						switch spec := spec.(type) {
						case *ast.TypeSpec:
							f(l.component(p, one.info.Defs[spec.Name]), one, spec)
						case *ast.ValueSpec:
							f(l.component(p, one.info.Defs[spec.Names[0]]), one, spec)
						}
					}
				}
			}
		}
	}
}

// calls builds the graph. A function that is mentioned counts as called. A call
// of an interface of the program's calls each of its types that has the methods:
// what else an interface of the standard library stands for is left out, since
// every component has errors and readers.
func (l *layout) calls(p *program) graph {
	g := make(graph)
	l.decls(p, func(from string, one *pkg, decl ast.Node) {
		ast.Inspect(decl, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok {
				return true
			}
			f, ok := one.info.Uses[id].(*types.Func)
			if !ok {
				return true
			}
			f = f.Origin()
			example := fmt.Sprintf("%s: %s", p.where(id.Pos()), f.Name())
			recv := f.Signature().Recv()
			if recv == nil || !types.IsInterface(recv.Type()) {
				g.add(from, l.component(p, f), example)
				return true
			}
			if f.Pkg() == nil || p.find(f.Pkg().Path()) == nil || f.Name() == "CloseIdleConnections" { // net/http's, which has no interface for it
				return true
			}
			for _, impl := range p.implementations(recv.Type().Underlying().(*types.Interface), f.Name()) {
				g.add(from, l.component(p, impl), example+" by its interface")
			}
			return true
		})
	})
	return g
}

// implementations returns the methods of a name of all types that implement i.
func (p *program) implementations(i *types.Interface, name string) (found []types.Object) {
	for _, one := range p.pkgs {
		for _, other := range one.types.Scope().Names() {
			t, ok := one.types.Scope().Lookup(other).(*types.TypeName)
			if !ok || types.IsInterface(t.Type()) || t.IsAlias() {
				continue
			}
			if named, ok := t.Type().(*types.Named); ok && named.TypeParams().Len() > 0 {
				continue
			}
			ptr := types.NewPointer(t.Type())
			if !types.Implements(ptr, i) {
				continue
			}
			if obj, _, _ := types.LookupFieldOrMethod(ptr, true, one.types, name); obj != nil {
				found = append(found, obj)
			}
		}
	}
	return found
}

// cycles returns one line for each way in which components call each other in
// a circle.
func (g graph) cycles() (found []string) {
	reached := func(from, to string) []string { // the shortest way
		type step struct {
			at  string
			way []string
		}
		seen, queue := map[string]bool{from: true}, []step{{at: from}}
		for len(queue) > 0 {
			s := queue[0]
			queue = queue[1:]
			for _, next := range slices.Sorted(maps.Keys(g[s.at])) {
				way := append(slices.Clone(s.way), s.at+" -> "+next+" ("+g[s.at][next]+")")
				if next == to {
					return way
				}
				if !seen[next] {
					seen[next] = true
					queue = append(queue, step{next, way})
				}
			}
		}
		return nil
	}
	told := make(map[string]bool)
	for _, c := range slices.Sorted(maps.Keys(g)) {
		if way := reached(c, c); way != nil && !told[c] {
			for _, s := range way {
				told[strings.SplitN(s, " ", 2)[0]] = true
			}
			found = append(found, strings.Join(way, ", "))
		}
	}
	return found
}

// upwards returns where components below the shell know it: a type, a field, a
// function or a method of the shell's that they name.
func (l *layout) upwards(p *program) (found []string) {
	l.decls(p, func(from string, one *pkg, decl ast.Node) {
		if slices.Contains(l.shell, from) {
			return
		}
		ast.Inspect(decl, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok {
				return true
			}
			switch obj := one.info.Uses[id].(type) {
			case *types.TypeName, *types.Func:
				if obj.Parent() == nil && !isMethod(obj) || !slices.Contains(l.shell, l.component(p, obj)) {
					return true
				}
				found = append(found, fmt.Sprintf("%s: %s uses %s of the shell", p.where(id.Pos()), from, obj.Name()))
			}
			return true
		})
	})
	return found
}

func isMethod(obj types.Object) bool {
	f, ok := obj.(*types.Func)
	return ok && f.Signature().Recv() != nil
}

// hooks returns the functions that the shell hands to other components: by
// those it could be called back. Each is "component.function argument".
func (l *layout) hooks(p *program) map[string]token.Pos {
	found := make(map[string]token.Pos)
	l.decls(p, func(from string, one *pkg, decl ast.Node) {
		if !slices.Contains(l.shell, from) {
			return
		}
		note := func(to types.Object, name string, e ast.Expr) {
			c := l.component(p, to)
			if c == "" || slices.Contains(l.shell, c) {
				return
			}
			if _, isFunc := one.info.TypeOf(e).Underlying().(*types.Signature); isFunc {
				found[c+"."+name+" "+shown(e)] = e.Pos()
			}
		}
		ast.Inspect(decl, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if f := callee(one.info, n); f != nil {
					for _, arg := range n.Args {
						note(f, f.Name(), arg)
					}
				}
			case *ast.AssignStmt:
				for i, to := range n.Lhs {
					sel, ok := to.(*ast.SelectorExpr)
					if field := one.info.Selections[sel]; ok && field != nil && len(n.Rhs) == len(n.Lhs) {
						if named := namedType(field.Recv()); named != nil {
							note(named.Obj(), named.Obj().Name(), n.Rhs[i])
						}
					}
				}
			case *ast.CompositeLit:
				named, ok := one.info.TypeOf(n).(*types.Named)
				if !ok {
					return true
				}
				for _, e := range n.Elts {
					if kv, ok := e.(*ast.KeyValueExpr); ok {
						note(named.Obj(), named.Obj().Name(), kv.Value)
					}
				}
			}
			return true
		})
	})
	return found
}

// callee is the function that a call names; nil for a conversion or a variable.
func callee(info *types.Info, call *ast.CallExpr) *types.Func {
	fun := ast.Unparen(call.Fun)
	switch f := fun.(type) {
	case *ast.IndexExpr:
		fun = f.X
	case *ast.IndexListExpr:
		fun = f.X
	}
	switch f := fun.(type) {
	case *ast.Ident:
		fn, _ := info.Uses[f].(*types.Func)
		return fn
	case *ast.SelectorExpr:
		fn, _ := info.Uses[f.Sel].(*types.Func)
		return fn
	}
	return nil
}

func shown(e ast.Expr) string {
	if _, ok := e.(*ast.FuncLit); ok {
		return "func"
	}
	return types.ExprString(e)
}
