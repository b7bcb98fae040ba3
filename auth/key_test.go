package auth_test

import (
	"regexp"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
)

// The names are in file systems and databases, so they stay what they are.
func TestKeyID(t *testing.T) {
	key := auth.Key{Resource: "https://mcp.example.com/mcp", Issuer: "https://as.example.com", ClientID: "client", Subject: "alice"}
	if got, want := key.ID(), "c6913dfb3ca2663532303ec57b12bacf"; got != want {
		t.Errorf("ID = %s, want %s", got, want)
	}
	seen := make(map[string]auth.Key)
	for _, k := range []auth.Key{
		{}, key,
		{Resource: "a"}, {Issuer: "a"}, {ClientID: "a"}, {Subject: "a"},
		{Resource: "ab"}, {Resource: "a", Issuer: "b"}, {Resource: "a\x00b"}, {Resource: "a", Issuer: "b\x00"}, {Resource: "a\x00b", Issuer: ""},
		{ClientID: "a\x00b"}, {ClientID: "a", Subject: "b\x00"}, {ClientID: "a", Subject: "b"}, {ClientID: "1:a"}, {Subject: "\xff"}, {Subject: "\ufffd"},
	} {
		id := k.ID()
		if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(id) || id != k.ID() {
			t.Errorf("%q: ID %q", k, id)
		}
		if other, ok := seen[id]; ok && other != k {
			t.Errorf("%q and %q have one ID", k, other)
		}
		seen[id] = k
	}
}
