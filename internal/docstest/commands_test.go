package docstest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// run is how a command of the pages is kept working. Each has one of these.
type run struct {
	// ci: it is a line of .ci/run, which checks that it exits with 0.
	ci bool
	// by is the test that runs the same program with such arguments.
	by string
	// not is why nobody can run it. Its flags are checked all the same.
	not string
}

// accounts is the test of the example that is a tool with accounts.
const accounts = "examples/http-client.TestAccounts"

// commands are those of the ```sh blocks, line by line, without comments.
var commands = map[string]run{
	"go run ./examples/http-client":  {ci: true},
	"go run ./examples/stdio-client": {ci: true},
	"go test ./...":                  {ci: true},

	"go run ./examples/http-client -svg stepup.svg":                                                                                  {by: "examples/http-client.TestDemonstration"},
	"go run ./examples/http-client login https://mcp.example.com/mcp":                                                                {by: accounts},
	"go run ./examples/http-client status":                                                                                           {by: accounts},
	"go run ./examples/http-client login https://mcp.example.com/mcp -scopes openid":                                                 {by: accounts},
	"go run ./examples/http-client whoami https://mcp.example.com/mcp":                                                               {by: accounts},
	"go run ./examples/http-client tools https://mcp.example.com/mcp":                                                                {by: accounts},
	"go run ./examples/http-client call https://mcp.example.com/mcp greet '{\"name\": \"Ada\"}'":                                     {by: accounts},
	"go run ./examples/http-client logout https://mcp.example.com/mcp":                                                               {by: accounts},
	"go run ./examples/stdio-client -resource https://api.weather.example/ -token-variable WEATHER_TOKEN -restart -- weather-server": {by: "examples/stdio-client.TestAnyServer"},

	"go get github.com/mcptokens/mcptokens":            {not: "it needs the published module"},
	"go get github.com/mark3labs/mcp-go":               {not: "it is of another module"},
	"git clone https://github.com/mcptokens/mcptokens": {not: "it needs the network"},
	"cd mcptokens": {not: "it follows git clone"},
}

var (
	// flagOf is a flag in a command, goTool the package that a go command is about.
	flagOf = regexp.MustCompile(` -([a-z-]+)`)
	goTool = regexp.MustCompile(`^go (run|test|doc) (?:.* )?(\./[a-z/.-]+)`)
	// subcommand is the first argument, if it is a word.
	subcommand = regexp.MustCompile(`^go run \./[a-z/-]+ ([a-z]+)\b`)
	runs       = regexp.MustCompile(` -run ((?:Test|Fuzz|Example)\w+)`)
)

// Every command on a page works: .ci/run or another test runs it, or the table says
// why not. Packages that it names exist, and have the flags that it sets.
func TestCommands(t *testing.T) {
	ci, err := os.ReadFile(filepath.Join(root, ".ci", "run"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, page := range pages(t) {
		if filepath.Base(page) == "CONTRIBUTING.md" {
			continue // its commands are those of .ci/run and the Makefile
		}
		for _, b := range blocks(t, page) {
			switch b.language {
			case "bash", "shell", "console":
				t.Errorf("%s:%d: call the block sh, so that its commands are checked", b.page, b.line)
			case "sh":
			default:
				continue
			}
			for line := range strings.Lines(b.text) {
				command, _, _ := strings.Cut(line, " #")
				if command = strings.TrimSpace(command); command == "" || strings.HasPrefix(command, "#") {
					continue
				}
				seen[command] = true
				how, known := commands[command]
				if !known {
					t.Errorf("%s: nothing runs %q: add it to commands", b.page, command)
				}
				if problem := unusable(command); problem != "" {
					t.Errorf("%s: %q: %s", b.page, command, problem)
				}
				if how.ci && !strings.Contains(string(ci), "\n"+command+"\n") {
					t.Errorf("%s: .ci/run does not run %q", b.page, command)
				}
				if how.by != "" {
					for _, missing := range missingTests(t, "`"+how.by+"`") {
						t.Errorf("%s: %s, which should run %q, does not exist", b.page, missing, command)
					}
				}
			}
		}
	}
	for _, command := range []string{"go run ./examples/http-client -nonsense", "go run ./examples/http-client dance", "go run ./nowhere"} {
		if unusable(command) == "" {
			t.Errorf("%q is found good", command)
		}
	}
	for command := range commands {
		if !seen[command] {
			t.Errorf("no page has %q any more", command)
		}
	}
}

// inline is a go command within a sentence, or in a block by indentation.
var inline = regexp.MustCompile("(?m)(?:`|^    )(go (?:run|test|doc) [^`\n]+)")

// Commands within sentences name packages, flags and tests that exist.
func TestCommandsInSentences(t *testing.T) {
	documents := pages(t)
	for _, name := range []string{"PERFORMANCE.md", "CHANGELOG.md", "mcpgo/MIGRATION.md", "otelauth/NAMES.md"} {
		documents = append(documents, filepath.Join(root, name))
	}
	found := 0
	for _, document := range documents {
		source, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range inline.FindAllStringSubmatch(outsideBlocks(string(source)), -1) {
			found++
			if problem := unusable(m[1]); problem != "" {
				t.Errorf("%s: %q: %s", document, m[1], problem)
			}
		}
	}
	if found < 8 {
		t.Errorf("%d commands found: has their form changed?", found)
	}
	for _, command := range []string{"go test ./auth -run TestOfNothing", "go test ./nowhere", "go doc ./auth Nothing"} {
		if unusable(command) == "" {
			t.Errorf("%q is found good", command)
		}
	}
}

// unusable says which package, flag, test or name of a go command does not exist.
func unusable(command string) string {
	m := goTool.FindStringSubmatch(command)
	if m == nil || strings.HasSuffix(m[2], "...") {
		return ""
	}
	files, _ := filepath.Glob(filepath.Join(root, m[2], "*.go"))
	if len(files) == 0 {
		return "there is no package " + m[2]
	}
	var code strings.Builder
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			return err.Error()
		}
		code.Write(source)
	}
	switch m[1] {
	case "test":
		if test := runs.FindStringSubmatch(command); test != nil && !strings.Contains(code.String(), "\nfunc "+test[1]+"(") {
			return "there is no " + test[1]
		}
		return ""
	case "doc":
		if _, name, ok := strings.Cut(command, m[2]+" "); ok && !regexp.MustCompile(`(?m)^(type|func) `+name+`\b`).MatchString(code.String()) {
			return "there is no " + name
		}
		return ""
	}
	if sub := subcommand.FindStringSubmatch(command); sub != nil && !strings.Contains(code.String(), `"`+sub[1]+`":`) {
		return "it has no command " + sub[1]
	}
	own, _, _ := strings.Cut(command, " -- ") // what follows is of another program
	for _, f := range flagOf.FindAllStringSubmatch(own, -1) {
		if !regexp.MustCompile(`Var\(&[\w.]+, "` + f[1] + `"`).MatchString(code.String()) {
			return "it has no flag -" + f[1]
		}
	}
	return ""
}
