//go:build realservers

package manyprocs

import (
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mcptokens/mcptokens/internal/realservers"
)

// The long forms: a minute of one-second tokens, and 200 processes killed.
const (
	long      = time.Minute
	longKills = 200

	// lease is what a killed process costs the others at a Redis at most.
	lease = time.Second
)

func TestRealProcessesShareAFile(t *testing.T) {
	t.Parallel()
	share(t, storeAt{Dir: filepath.Join(t.TempDir(), "tokens")}, long)
}

func TestRealProcessesShareRedis(t *testing.T) {
	t.Parallel()
	share(t, storeAt{Redis: redisServer(t), Lease: time.Minute}, long)
}

func TestRealProcessesAreKilled(t *testing.T) {
	for name, grace := range map[string]time.Duration{"no grace": 0, "a minute of grace": time.Minute} {
		t.Run("file, "+name, func(t *testing.T) {
			killMany(t, storeAt{Dir: filepath.Join(t.TempDir(), "tokens")}, longKills, grace)
		})
		t.Run("Redis, "+name, func(t *testing.T) {
			killMany(t, storeAt{Redis: redisServer(t), Lease: lease}, longKills/4, grace)
		})
	}
}

// redisServer runs a redis-server until the test ends and returns its address.
func redisServer(t *testing.T) string {
	t.Helper()
	port := realservers.FreePort(t)
	addr := net.JoinHostPort("127.0.0.1", port)
	realservers.Start(t, exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", t.TempDir(), "--save", "", "--appendonly", "no"))
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for client.Ping(t.Context()).Err() != nil {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("redis-server does not answer after %v", patience)
		}
	}
	return addr
}
