package mcpgo

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
)

func TestEnvironment(t *testing.T) {
	parent := map[string]string{
		"PATH": "/bin", "HOME": "/root", "AWS_SECRET_ACCESS_KEY": "secret", "SHELL": "() { :; }; echo shellshock",
		"APPDATA": "roaming", "EXTRA": "extra",
	}
	lookup := func(name string) (string, bool) {
		value, ok := parent[name]
		return value, ok
	}
	for _, test := range []struct {
		name, goos string
		inherited  []string
		entries    []string
		want       []string
	}{
		{"defaults", "linux", nil, nil, []string{"HOME=/root", "PATH=/bin"}},
		{"defaults of Windows", "windows", nil, nil, []string{"APPDATA=roaming", "PATH=/bin"}},
		{"inherited", "darwin", []string{"EXTRA", "NOT_SET"}, nil, []string{"HOME=/root", "PATH=/bin", "EXTRA=extra"}},
		{"last one wins", "linux", nil, []string{"PATH=/a", "TOKEN=x", "PATH=/b", "Path=/c"}, []string{"HOME=/root", "PATH=/b", "TOKEN=x", "Path=/c"}},
		{"without case on Windows", "windows", nil, []string{"Path=/a", "path=/b"}, []string{"APPDATA=roaming", "path=/b"}},
		{"values", "linux", nil, []string{"EMPTY=", "A=b=c"}, []string{"HOME=/root", "PATH=/bin", "EMPTY=", "A=b=c"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := newEnvironment(test.goos)
			e.inherit(lookup, inheritedByDefault(test.goos)...)
			e.inherit(lookup, test.inherited...)
			if err := e.add("env", test.entries); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(e.entries, test.want) {
				t.Errorf("got %q, want %q", e.entries, test.want)
			}
		})
	}
}

func TestEnvironmentEntries(t *testing.T) {
	for _, entry := range []string{"", "secret", "=secret", "A=secret\x00"} {
		err := newEnvironment("linux").add("WithEnv", []string{"OK=1", entry})
		var config *auth.ConfigError
		if !errors.As(err, &config) || config.Field != "WithEnv" || !strings.Contains(config.Problem, "entry 1") {
			t.Errorf("%q: got %v, want a *ConfigError for entry 1", entry, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error quotes the entry: %v", err)
		}
	}
}
