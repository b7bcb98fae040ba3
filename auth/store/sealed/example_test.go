package sealed_test

import (
	"crypto/rand"
	"fmt"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store/sealed"
)

// Tokens at rest are encrypted with a key that the store never sees.
func ExampleNew() {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // in earnest: from a secret that all processes are given
	key, err := sealed.NewKey("2026-11", secret)
	if err != nil {
		fmt.Println(err)
		return
	}
	var below auth.MemoryStore // or files, Redis, a database
	store, err := sealed.New(&below, key)
	if err != nil {
		fmt.Println(err)
		return
	}
	manager, err := auth.NewManager(auth.Config{Resource: "https://mcp.example/mcp", Store: store})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = manager.Close() }()
}

func ExampleNewKey() {
	_, err := sealed.NewKey("2026-11", []byte("hunter2"))
	fmt.Println(err)
	// Output: sealed: secret: must have 32 random bytes, such as crypto/rand or openssl rand make; not a password
}
