// Package licences holds the modules that are compiled into programs to licences
// that ask for no more than their text.
package licences

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What a licence is known by: words that it has and that no other has. Blanks
// count as one.
var known = []struct{ name, words string }{
	{"Apache-2.0", "Apache License Version 2.0, January 2004"},
	{"MIT", "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files"},
	{"BSD", "Redistribution and use in source and binary forms, with or without modification, are permitted provided that the following conditions are met"},
	{"ISC", "Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted"},
	{"ISC", "Permission to use, copy, modify, and distribute this software for any purpose with or without fee is hereby granted"},
}

// licence returns the name of a licence, and "" if its text is none of the known
// or has conditions on top.
func licence(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	for _, more := range []string{"GNU", "Commons Clause", "Mozilla Public", "Business Source", "Server Side Public"} {
		if strings.Contains(text, more) {
			return ""
		}
	}
	for _, k := range known {
		if strings.Contains(text, k.words) {
			return k.name
		}
	}
	return ""
}

func TestLicencesOfDependencies(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if path, dir, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			modules[path] = dir
		}
	}
	if len(modules) < 10 {
		t.Fatalf("go list named %d modules", len(modules))
	}
	for path, dir := range modules {
		// Not LICENSE-LOGO and the like: those are of parts that others made, such as
		// SQLite itself, which is in the public domain.
		var files []string
		for _, name := range []string{"LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE"} {
			if file := filepath.Join(dir, name); exists(file) {
				files = append(files, file)
			}
		}
		if len(files) == 0 {
			t.Errorf("%s has no file LICENSE", path)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Error(err)
			} else if licence(string(text)) == "" {
				t.Errorf("%s: %s is none of the licences that are known to be fine: MIT, BSD, ISC, Apache 2.0", path, filepath.Base(file))
			}
		}
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

func TestLicence(t *testing.T) {
	own, err := os.ReadFile("../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ text, want string }{
		{string(own), "MIT"},
		{string(own) + "\nCommons Clause License Condition v1.0", ""},
		{"GNU GENERAL PUBLIC LICENSE\nVersion 3", ""},
		{"All rights reserved.", ""},
	} {
		if got := licence(tt.text); got != tt.want {
			t.Errorf("licence %q, want %q, of %.40q", got, tt.want, tt.text)
		}
	}
}
