package mcpgo

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/mcptokens/mcptokens/auth"
)

// inheritedByDefault are the variables that a child gets from this process
// without being asked for: what a program needs to find its files, and nothing
// that is known to hold secrets. The official SDKs use the same lists.
func inheritedByDefault(goos string) []string {
	if goos == "windows" {
		return []string{
			"APPDATA", "HOMEDRIVE", "HOMEPATH", "LOCALAPPDATA", "PATH", "PROCESSOR_ARCHITECTURE",
			"SYSTEMDRIVE", "SYSTEMROOT", "TEMP", "USERNAME", "USERPROFILE",
		}
	}
	return []string{"HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"}
}

// environment builds a child's environment: each variable once, the last one
// wins.
type environment struct {
	goos    string
	entries []string
	at      map[string]int // by variableKey
}

func newEnvironment(goos string) *environment {
	return &environment{goos: goos, at: make(map[string]int)}
}

// variableKey is what tells variables apart: on Windows PATH and Path are one.
func variableKey(goos, name string) string {
	if goos == "windows" {
		return strings.ToUpper(name)
	}
	return name
}

func (e *environment) set(name, value string) {
	key := variableKey(e.goos, name)
	if i, ok := e.at[key]; ok {
		e.entries[i] = name + "=" + value
		return
	}
	e.at[key] = len(e.entries)
	e.entries = append(e.entries, name+"="+value)
}

// inherit takes over what lookup knows. A value that starts with "()" is a
// function that a shell exported, which some shells run when they read it.
func (e *environment) inherit(lookup func(string) (string, bool), names ...string) {
	for _, name := range names {
		if value, ok := lookup(name); ok && !strings.HasPrefix(value, "()") {
			e.set(name, value)
		}
	}
}

// add takes entries of the form NAME=VALUE. Its errors do not quote them: a
// value may be a secret.
func (e *environment) add(field string, entries []string) error {
	for i, entry := range entries {
		name, value, ok := strings.Cut(entry, "=")
		if !ok || name == "" || strings.ContainsRune(entry, 0) {
			return &auth.ConfigError{Field: field, Problem: fmt.Sprintf("entry %d is not of the form NAME=VALUE", i)}
		}
		e.set(name, value)
	}
	return nil
}

// checkVariable refuses names that no environment can hold.
func checkVariable(field, name string) error {
	if name == "" || strings.ContainsAny(name, "=\x00") {
		return &auth.ConfigError{Field: field, Problem: fmt.Sprintf("%q cannot be the name of an environment variable", name)}
	}
	return nil
}

// childEnvironment is everything that the child may know: what is inherited,
// what env and WithEnv say, and last, so that nothing overrides them, the
// credentials.
func (o *commandOptions) childEnvironment(env []string, accessToken string, file *TokenFile) ([]string, error) {
	e := newEnvironment(runtime.GOOS)
	e.inherit(os.LookupEnv, inheritedByDefault(runtime.GOOS)...)
	e.inherit(os.LookupEnv, o.inherited...)
	if err := e.add("env", env); err != nil {
		return nil, err
	}
	if err := e.add("WithEnv", o.env); err != nil {
		return nil, err
	}
	if o.withTokenVariable {
		e.set(o.tokenVariable, accessToken)
	}
	if file != nil {
		e.set(o.fileVariable, file.Path())
	}
	return slices.Clip(e.entries), nil
}
