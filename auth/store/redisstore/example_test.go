package redisstore_test

import (
	"crypto/rand"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store/redisstore"
)

// All processes that run this share one login, and one of them at a time
// refreshes it.
func ExampleNew() {
	client := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: []string{"localhost:6379"}})
	defer client.Close()
	store := redisstore.New(client, redisstore.WithTTL(30*24*time.Hour))
	defer store.Close()
	manager, err := auth.NewManager(auth.Config{Resource: "https://mcp.example/mcp", Store: store})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Close()
}

// Tokens at rest are encrypted with a key that Redis never sees.
func ExampleWithSeal() {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // in earnest: from a secret that all processes are given
	aead, err := redisstore.AESGCM(key)
	if err != nil {
		fmt.Println(err)
		return
	}
	client := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
	defer client.Close()
	store := redisstore.New(client, redisstore.WithSeal(aead))
	defer store.Close()
}

func ExampleAESGCM() {
	_, err := redisstore.AESGCM([]byte("hunter2"))
	fmt.Println(err)
	// Output: redisstore: seal key: must have 16, 24 or 32 random bytes; 32 from crypto/rand are a good choice
}
