package docstest

import (
	"os"
	"strings"
	"testing"
)

// Every Go block of docs/networks.md is part of an example, which the compiler reads.
func TestNetworksSnippets(t *testing.T) {
	doc, err := os.ReadFile("../../docs/networks.md")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := os.ReadFile("../../auth/example_network_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(doc), "```go\n")[1:]
	if len(blocks) < 3 {
		t.Errorf("%d blocks of Go, want those for Compose, Kubernetes and Wrap", len(blocks))
	}
	for _, block := range blocks {
		block, _, _ = strings.Cut(block, "```")
		if !strings.Contains(string(examples), block) {
			t.Errorf("not in auth/example_network_test.go:\n%s", block)
		}
	}
}
