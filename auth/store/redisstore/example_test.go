package redisstore_test

import (
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
