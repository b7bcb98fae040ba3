// Command compat writes docs/compatibility.md: what the library accepts from servers that differ from the specifications, what
// relaxes a check, the test of each, and the test that the neighbouring attack still fails. The rows stand beside the tests, in
// comments of the form //compat:….
//
//	go run ./internal/compat
package main

import (
	"fmt"
	"os"
	"strings"
)

const page = "docs/compatibility.md"

const head = `# Compatibility

What servers do that the specifications do not say, and what this library makes of it. Written by ` + "`go run ./internal/compat`" + ` from
comments beside the tests; do not edit it. [auth/internal/wire](../auth/internal/wire/doc.go) has every form in which a document
or an answer is read, and [providers.md](providers.md) the settings for widely used servers.

The rule is: strict about who gets a credential, who may answer and where a token goes; lenient about form. So each row has
a second test, that the attack next to the leniency still fails.
`

func main() {
	text, err := text(".")
	if err == nil {
		err = os.WriteFile(page, []byte(text), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "compat:", err)
		os.Exit(1)
	}
}

// text is the page for the repository at root.
func text(root string) (string, error) {
	all, _, err := rows(root)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(head)
	for _, s := range sections {
		fmt.Fprintf(&b, "\n## %s\n\n| behaviour | by default | setting | test | the attack beside it |\n|---|---|---|---|---|\n", s.title)
		for _, r := range all {
			if r.section != s.name {
				continue
			}
			setting, attack := "", "`"+r.attack+"`"
			if r.setting != "" {
				setting = "`" + r.setting + "`"
			}
			if r.attack == r.test {
				attack = "the same"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | `%s` | %s |\n", r.behaviour, r.fallback, setting, r.test, attack)
		}
	}
	return b.String(), nil
}
