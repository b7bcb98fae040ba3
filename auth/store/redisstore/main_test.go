package redisstore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store/redisstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var key = auth.Key{Resource: "https://mcp.example/mcp", Issuer: "https://as.example", ClientID: "client", Subject: "subject"}

// What the package's comment promises to be in Redis.
var (
	recKey  = "mcptokens:{" + key.ID() + "}:rec"
	lockKey = "mcptokens:{" + key.ID() + "}:lock"
)

const secret = "planted-secret"

// leaseTime is the default of [redisstore.WithLease].
const leaseTime = 5 * time.Second

// record has a token that says what.
func record(generation uint64, what string) *auth.Record {
	return &auth.Record{
		Generation: generation, Issuer: key.Issuer, Resource: key.Resource,
		Token: &auth.Token{AccessToken: what, TokenType: "Bearer", RefreshToken: secret},
	}
}

// newStore returns a store on a client of its own, as another process has it.
func newStore(t *testing.T, o *redis.Options, opts ...redisstore.Option) *redisstore.Store {
	t.Helper()
	client := redis.NewClient(o)
	s := redisstore.New(client, opts...)
	t.Cleanup(func() {
		_ = s.Close()
		_ = client.Close()
	})
	return s
}

func onMini(m *miniredis.Miniredis) *redis.Options { return &redis.Options{Addr: m.Addr()} }

func mustSave(t *testing.T, s auth.Store, r *auth.Record) uint64 {
	t.Helper()
	g, err := s.Save(t.Context(), key, r)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func mustLoad(t *testing.T, s auth.Store, want string) *auth.Record {
	t.Helper()
	r, err := s.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if r.Token.AccessToken != want {
		t.Fatalf("the record is not %q", want)
	}
	return r
}

// mustLock takes the lock, which has to be free or to become so.
func mustLock(t *testing.T, s auth.Store) (unlock func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	unlock, err := s.Lock(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	return unlock
}

// await waits for something that another goroutine does.
func await(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(time.Minute):
		t.Fatalf("%s: never", what)
	}
}

// mortal is a server that a test ends and starts again. Its port is below those that
// systems give to whoever wants any, so that nobody else has it then.
func mortal(t *testing.T) *miniredis.Miniredis {
	t.Helper()
	m := miniredis.NewMiniRedis()
	var err error
	for range 1000 {
		if err = m.StartAddr(fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))); err == nil {
			t.Cleanup(m.Close)
			return m
		}
	}
	t.Fatal(err)
	return nil
}
