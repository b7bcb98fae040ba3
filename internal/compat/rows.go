package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// row is one behaviour of the library that servers need, beside the test that shows it.
type row struct {
	section   string
	behaviour string
	fallback  string // what happens without a setting
	setting   string // "" for none
	test      string // auth.TestX
	attack    string // the test that the neighbouring attack still fails; often the same
	at        string // file and line
}

// sections are the parts of the page, in order, with their titles.
var sections = []struct{ name, title string }{
	{"reading", "What servers send"},
	{"finding", "Finding the server"},
	{"asking", "What is asked for"},
	{"client", "Being a client"},
	{"refusal", "Refusals and logging out"},
	{"network", "Networks"},
}

// directive is a line of a test's comment, such as
//
//	//compat:reading a byte order mark in front of a document
//	//compat:default it is ignored
//	//compat:setting Config.Server.Issuer
//	//compat:attack auth/discovery.TestSameIssuer
//
// The first begins a row; setting may be missing. An attack of "same" is in the same test.
var directive = regexp.MustCompile(`^//compat:([a-z]+) (.+)$`)

// rows returns the rows of the tests below root, in the order of their files, and the names of
// all tests there.
func rows(root string) (all []row, tests map[string]bool, err error) {
	tests = map[string]bool{}
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && name != root):
			return filepath.SkipDir
		case !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		found, err := ofFile(root, name, tests)
		all = append(all, found...)
		return err
	})
	for i := range all {
		if err == nil {
			err = all[i].problem(tests)
		}
	}
	return all, tests, err
}

// ofFile returns the rows of a file and adds its tests.
func ofFile(root, name string, tests map[string]bool) ([]row, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Rel(root, filepath.Dir(name))
	if err != nil {
		return nil, err
	}
	pkg := filepath.ToSlash(dir)
	var all []row
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") && !strings.HasPrefix(f.Name.Name, "Fuzz") {
			continue
		}
		test := pkg + "." + f.Name.Name
		tests[test] = true
		if f.Doc == nil {
			continue
		}
		at := set.Position(f.Pos())
		of, err := ofTest(f.Doc.List, test, fmt.Sprintf("%s:%d", path.Join(pkg, filepath.Base(name)), at.Line))
		if err != nil {
			return nil, err
		}
		all = append(all, of...)
	}
	return all, nil
}

// ofTest returns the rows of a test's comment.
func ofTest(lines []*ast.Comment, test, at string) (all []row, err error) {
	for _, line := range lines {
		m := directive.FindStringSubmatch(line.Text)
		if m == nil {
			continue
		}
		what, text := m[1], strings.TrimSpace(m[2])
		for _, s := range sections {
			if s.name == what {
				all = append(all, row{section: what, behaviour: text, test: test, at: at})
			}
		}
		if len(all) == 0 {
			return nil, fmt.Errorf("%s: compat:%s stands before the behaviour", at, what)
		}
		r := &all[len(all)-1]
		switch what {
		case "default":
			r.fallback = text
		case "setting":
			r.setting = text
		case "attack":
			if r.attack = text; text == "same" {
				r.attack = test
			} else if !strings.Contains(text, ".") {
				r.attack = test[:strings.LastIndexByte(test, '.')+1] + text
			}
		case r.section:
		default:
			return nil, fmt.Errorf("%s: compat:%s is unknown", at, what)
		}
	}
	return all, nil
}

// problem says what a row lacks.
func (r row) problem(tests map[string]bool) error {
	switch {
	case r.fallback == "":
		return fmt.Errorf("%s: %q has no compat:default", r.at, r.behaviour)
	case r.attack == "":
		return fmt.Errorf("%s: %q has no compat:attack", r.at, r.behaviour)
	case !tests[r.attack]:
		return fmt.Errorf("%s: there is no test %s", r.at, r.attack)
	case strings.Contains(r.behaviour+r.fallback+r.setting, "|"):
		return fmt.Errorf("%s: %q would break the table: leave | out", r.at, r.behaviour)
	}
	return nil
}
