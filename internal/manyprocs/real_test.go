//go:build realservers

package manyprocs

import (
	"errors"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/redis/go-redis/v9"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store/keyringstore"
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

// Of those that share a Redis as many are killed in several fleets: most of
// the time they wait for the lease of one that is dead.
func TestRealProcessesAreKilled(t *testing.T) {
	t.Parallel()
	for name, grace := range map[string]time.Duration{"no grace": 0, "a minute of grace": time.Minute} {
		t.Run("file, "+name, func(t *testing.T) {
			t.Parallel()
			killMany(t, storeAt{Dir: filepath.Join(t.TempDir(), "tokens")}, longKills, grace)
		})
		t.Run("Redis, "+name, func(t *testing.T) {
			t.Parallel()
			const fleets = 4
			addr := redisServer(t)
			var mu sync.Mutex
			var sum tally
			t.Cleanup(func() { // after the subtests
				t.Logf("together: %v", sum)
				if sum.kills != longKills {
					t.Errorf("%d kills, want %d", sum.kills, longKills)
				}
			})
			for i := range fleets {
				t.Run(strconv.Itoa(i), func(t *testing.T) {
					t.Parallel()
					got := killMany(t, storeAt{Redis: addr, Lease: lease}, longKills/fleets, grace)
					mu.Lock()
					defer mu.Unlock()
					sum.add(got)
				})
			}
		})
	}
}

// A login for all on what real servers keep. Of each there is one for all processes
// of a test, so what is tried on it comes one after the other.
func TestRealOneLoginForProcesses(t *testing.T) {
	for name, at := range servers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Run("one login", func(t *testing.T) { oneLogin(t, at) })
			t.Run("taken over", func(t *testing.T) { loginIsTakenOver(t, at) })
			if at.Locks == "" { // past which nothing can be put into a keyring
				t.Run("goes back", func(t *testing.T) { goesBack(t, at) })
				t.Run("damaged", func(t *testing.T) { isDamaged(t, at) })
			}
		})
	}
}

func TestRealProcessesShareServers(t *testing.T) {
	for name, at := range servers(t) {
		t.Run(name, func(t *testing.T) { share(t, at, 3*short) })
	}
}

// servers are the stores that are more than a file.
func servers(t *testing.T) map[string]storeAt {
	t.Helper()
	desktop := realservers.StartDesktop(t)
	locks := filepath.Join(desktop.Dir, "locks")
	s, err := keyringstore.Open("mcptokens manyprocs", keyringstore.WithLockDir(locks))
	if err != nil {
		t.Fatal(err)
	}
	desktop.StartKeyring("pw", func() bool {
		_, err := s.Load(t.Context(), auth.Key{Resource: "https://mcp.example"})
		return errors.Is(err, auth.ErrNotFound)
	})
	return map[string]storeAt{
		"keyring":    {Locks: locks},
		"postgresql": {PostgreSQL: realservers.StartPostgreSQL(t), Lease: 5 * lease},
		"redis":      {Redis: redisServer(t), Lease: 5 * lease},
	}
}

func TestRealSuspendedPastItsLease(t *testing.T) {
	t.Parallel()
	at := func(t *testing.T) storeAt { return storeAt{Redis: redisServer(t), Lease: lease} }
	t.Run("before sending", func(t *testing.T) {
		t.Parallel()
		suspendedBeforeSending(t, at(t))
	})
	t.Run("after sending", func(t *testing.T) {
		t.Parallel()
		suspendedAfterSending(t, at(t), 0)
	})
	t.Run("after sending, a minute of grace", func(t *testing.T) {
		t.Parallel()
		suspendedAfterSending(t, at(t), time.Minute)
	})
}

func TestRealProcessesWithWrongClocksShareRedis(t *testing.T) {
	t.Parallel()
	shareInTime(t, storeAt{Redis: redisServer(t), Lease: time.Minute}, short)
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
