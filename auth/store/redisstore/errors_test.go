package redisstore_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store/redisstore"
)

// Texts of Redis quote arguments at times, so only its codes are repeated.
func TestErrorTexts(t *testing.T) {
	for name, tc := range map[string]struct{ redis, want string }{
		"code":    {"READONLY You can't write " + secret, "Redis answered with READONLY"},
		"no code": {"bad " + secret, "Redis answered with an error"},
		"a word":  {"OOM", "Redis answered with OOM"},
	} {
		t.Run(name, func(t *testing.T) {
			m := miniredis.RunT(t)
			o := onMini(m)
			o.MaxRetries = -1
			s := newStore(t, o)
			mustLock(t, s)() // a connection is open
			m.SetError(tc.redis)
			defer m.SetError("")
			for op, err := range operations(t.Context(), s) {
				want := "redisstore: " + op + " " + recKey + ": " + tc.want
				if op == "lock" {
					want = "redisstore: " + op + " " + lockKey + ": " + tc.want
				}
				var answer redis.Error
				if err == nil || err.Error() != want || !errors.As(err, &answer) {
					t.Errorf("%s: %v, want %s", op, err, want)
				}
				if shown := (&auth.StoreError{Op: op, Err: err}).Error(); !strings.Contains(shown, tc.want) {
					t.Errorf("shown as %q", shown)
				}
			}
		})
	}
}

// operations tries each and returns their errors.
func operations(ctx context.Context, s auth.Store) map[string]error {
	_, load := s.Load(ctx, key)
	_, save := s.Save(ctx, key, record(0, "first"))
	unlock, lock := s.Lock(ctx, key)
	if lock == nil {
		unlock()
	}
	return map[string]error{"load": load, "save": save, "delete": s.Delete(ctx, key, 1), "lock": lock}
}

func TestClosed(t *testing.T) {
	m := miniredis.RunT(t)
	client := redis.NewClient(onMini(m))
	defer client.Close()
	s := redisstore.New(client)
	unlock := mustLock(t, s)
	waiting := make(chan error, 1)
	other := newStore(t, onMini(m))
	go func() {
		unlock, err := other.Lock(t.Context(), key)
		if err == nil {
			unlock()
		}
		waiting <- err
	}()
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	unlock() // it may come late, and must not hang
	for op, err := range operations(t.Context(), s) {
		if !errors.Is(err, redisstore.ErrClosed) {
			t.Errorf("%s of a closed store: %v", op, err)
		}
	}
	s.Watch(key, func() { t.Error("a closed store hears nothing") })()
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; !errors.Is(err, redisstore.ErrClosed) {
		t.Errorf("Lock while the store was closed: %v", err)
	}
}

func TestClientClosed(t *testing.T) {
	m := miniredis.RunT(t)
	client := redis.NewClient(onMini(m))
	s := redisstore.New(client)
	defer s.Close()
	stop := s.Watch(key, func() {})
	defer stop()
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	for op, err := range operations(t.Context(), s) {
		if !errors.Is(err, redis.ErrClosed) || !strings.HasSuffix(err.Error(), "the Redis client is closed") {
			t.Errorf("%s: %v", op, err)
		}
	}
}

// All of a client's connections may be in use.
func TestPoolExhausted(t *testing.T) {
	m := miniredis.RunT(t)
	o := onMini(m)
	o.PoolSize, o.PoolTimeout, o.MaxRetries = 1, 10*time.Millisecond, -1
	client := redis.NewClient(o)
	s := redisstore.New(client)
	defer func() { _ = s.Close(); _ = client.Close() }()
	conn := client.Conn()
	if err := conn.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := s.Load(t.Context(), key); err == nil || !strings.HasSuffix(err.Error(), "no free connection in the client's pool") {
		t.Errorf("Load: %v", err)
	}
}

// A server that does not answer keeps nobody beyond the context, though go-redis
// waits for its timeouts.
func TestContextAgainstSilentServer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var conns []net.Conn
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
		}
	}()
	client := redis.NewClient(&redis.Options{Addr: l.Addr().String(), ReadTimeout: time.Hour, MaxRetries: -1})
	s := redisstore.New(client)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for op, err := range operations(ctx, s) {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", op, err)
			}
		}
	}()
	await(t, "return", done)
	_ = l.Close()
	<-accepted
	for _, c := range conns {
		_ = c.Close() // now they fail, and Close can end
	}
	_ = s.Close()
	_ = client.Close()
}
