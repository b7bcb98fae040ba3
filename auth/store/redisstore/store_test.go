package redisstore_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store"
	"github.com/mcptokens/mcptokens/auth/store/redisstore"
	"github.com/mcptokens/mcptokens/auth/store/storetest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	servers := make(map[auth.Store]*miniredis.Miniredis)
	storetest.Suite{
		Open: func(t *testing.T) auth.Store {
			m := miniredis.RunT(t)
			s := newStore(t, onMini(m))
			servers[s] = m
			return s
		},
		Reopen: func(t *testing.T, s auth.Store) auth.Store { return newStore(t, onMini(servers[s])) },
	}.Run(t)
}

// The keys are what the package's comment says, since the ACLs of others
// depend on it, and all expire.
func TestKeysExpire(t *testing.T) {
	for name, tc := range map[string]struct {
		opts []redisstore.Option
		want time.Duration
	}{
		"default":  {nil, 90 * 24 * time.Hour},
		"set":      {[]redisstore.Option{redisstore.WithTTL(time.Hour)}, time.Hour},
		"not zero": {[]redisstore.Option{redisstore.WithTTL(0), redisstore.WithLease(-1)}, 90 * 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			m := miniredis.RunT(t)
			s := newStore(t, onMini(m), tc.opts...)
			unlock := mustLock(t, s)
			g := mustSave(t, s, record(0, "first"))
			if keys := m.Keys(); !slices.Equal(keys, []string{lockKey, recKey}) {
				t.Fatalf("keys %q", keys)
			}
			if got := m.TTL(recKey); got != tc.want {
				t.Errorf("TTL of the record is %s, want %s", got, tc.want)
			}
			if got := m.TTL(lockKey); got != leaseTime {
				t.Errorf("TTL of the lock is %s", got)
			}
			unlock()
			m.FastForward(tc.want / 2)
			g = mustSave(t, s, record(g, "second"))
			if got := m.TTL(recKey); got != tc.want {
				t.Errorf("TTL after another save is %s, want %s", got, tc.want)
			}
			if err := s.Delete(t.Context(), key, g); err != nil {
				t.Fatal(err)
			}
			if got := m.TTL(recKey); got != tc.want {
				t.Errorf("TTL of a deleted record's generation is %s, want %s", got, tc.want)
			}
			m.FastForward(tc.want)
			if keys := m.Keys(); len(keys) != 0 {
				t.Errorf("%q are still there", keys)
			}
		})
	}
}

// Redis may forget everything. Then no generation may come twice: who knows the
// old record would take the new one for it.
func TestGenerationsAfterFlush(t *testing.T) {
	m := miniredis.RunT(t)
	s := newStore(t, onMini(m))
	before := mustSave(t, s, record(0, "first"))
	before = mustSave(t, s, record(before, "second"))
	m.FlushAll()
	if _, err := s.Save(t.Context(), key, record(before, "third")); !errors.Is(err, auth.ErrConflict) {
		t.Errorf("Save of the record that is not there any more: %v", err)
	}
	if after := mustSave(t, s, record(0, "another")); after <= before {
		t.Errorf("generation %d after %d", after, before)
	}
}

// A read that a cluster client sends to a replica may be out of date, and a
// refresh token out of date is a spent one.
func TestReadsFromThePrimary(t *testing.T) {
	m := miniredis.RunT(t)
	client := redis.NewClient(onMini(m))
	seen := &commands{}
	client.AddHook(seen)
	s := redisstore.New(client)
	t.Cleanup(func() { _ = s.Close(); _ = client.Close() })
	mustSave(t, s, record(0, "first"))
	mustLoad(t, s, "first")
	scripts := slices.DeleteFunc(seen.names, func(name string) bool { return name == "hello" || name == "client" })
	if want := []string{"evalsha", "eval", "evalsha", "eval"}; !slices.Equal(scripts, want) {
		t.Errorf("sent: %q, want %q", scripts, want)
	}
}

// commands is a hook that notes what is sent.
type commands struct {
	mu    sync.Mutex
	names []string
}

func (c *commands) DialHook(next redis.DialHook) redis.DialHook { return next }
func (c *commands) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.mu.Lock()
		c.names = append(c.names, cmd.Name())
		c.mu.Unlock()
		return next(ctx, cmd)
	}
}
func (c *commands) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// The script cache goes with a restart, or SCRIPT FLUSH.
func TestScriptFlush(t *testing.T) {
	m := miniredis.RunT(t)
	s := newStore(t, onMini(m))
	client := redis.NewClient(onMini(m))
	t.Cleanup(func() { _ = client.Close() })
	var g uint64
	for range 2 {
		for _, step := range []func(){
			func() { mustLock(t, s)() },
			func() { g = mustSave(t, s, record(g, "first")) },
			func() { mustLoad(t, s, "first") },
		} {
			if err := client.ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			step()
		}
	}
	if err := client.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), key, g); err != nil {
		t.Fatal(err)
	}
}

// When an answer is lost go-redis sends the command again. A save that was done
// then must not be taken for another process's.
func TestAnswerLost(t *testing.T) {
	m := miniredis.RunT(t)
	cut := &cutter{}
	o := onMini(m)
	o.Dialer = cut.dial
	s := newStore(t, o)
	g := mustSave(t, s, record(0, "first")) // scripts are loaded
	mustLock(t, s)()
	if err := s.Delete(t.Context(), key, g); err != nil {
		t.Fatal(err)
	}
	cut.next()
	g = mustSave(t, s, record(0, "created"))
	cut.next()
	g = mustSave(t, s, record(g, "replaced"))
	mustLoad(t, s, "replaced")
	cut.next()
	unlock := mustLock(t, s)
	cut.next()
	unlock()
	if m.Exists(lockKey) {
		t.Error("the lock is still there")
	}
	cut.next()
	if err := s.Delete(t.Context(), key, g); err != nil {
		t.Errorf("Delete: %v", err)
	}
	if n := cut.cuts(); n != 5 {
		t.Errorf("%d answers were lost, want 5", n)
	}
}

// cutter dials connections of which it cuts one when the next answer arrives.
type cutter struct {
	mu    sync.Mutex
	armed bool
	n     int
}

func (c *cutter) next() { c.mu.Lock(); c.armed = true; c.mu.Unlock() }

func (c *cutter) cuts() int { c.mu.Lock(); defer c.mu.Unlock(); return c.n }

func (c *cutter) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	return &cutConn{conn, c}, err
}

type cutConn struct {
	net.Conn
	c *cutter
}

func (c *cutConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.c.mu.Lock()
	defer c.c.mu.Unlock()
	if c.c.armed && n > 0 {
		c.c.armed, c.c.n = false, c.c.n+1
		_ = c.Conn.Close()
		return 0, net.ErrClosed
	}
	return n, err
}

func TestServerAwayAndBack(t *testing.T) {
	m := mortal(t)
	o := onMini(m)
	o.MaxRetries, o.DialerRetries = -1, 1
	s := newStore(t, o)
	g := mustSave(t, s, record(0, "first"))
	m.Close()
	_, err := s.Load(t.Context(), key)
	var failed *redisstore.Error
	if !errors.As(err, &failed) || failed.Op != "load" || failed.Key != recKey {
		t.Errorf("Load without a server: %v", err)
	}
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	mustLoad(t, s, "first")
	mustSave(t, s, record(g, "second"))
}

// What others put into Redis is no record. A process that still has the token saves it
// in its place, as a first one; a record of a newer version stays as it is.
func TestCorrupt(t *testing.T) {
	other := key
	other.Subject = "another"
	theirs, err := store.Encode(other, record(1, "theirs"))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		generation, data string
		want             error
	}{
		"garbage":       {"1", secret, store.ErrCorrupt},
		"empty":         {"1", "", store.ErrCorrupt},
		"half":          {"1", string(theirs[:len(theirs)/2]), store.ErrCorrupt},
		"another's":     {"1", string(theirs), store.ErrCorrupt},
		"no generation": {"x", string(theirs), store.ErrCorrupt},
		"newer":         {"1", `{"version":99}`, store.ErrNewer},
		"not JSON":      {"1", "\x01" + secret, store.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			m := miniredis.RunT(t)
			s := newStore(t, onMini(m))
			m.HSet(recKey, "g", tc.generation, "d", tc.data)
			_, err := s.Load(t.Context(), key)
			var failed *redisstore.Error
			if !errors.Is(err, tc.want) || !errors.As(err, &failed) || !permanent(err) || !strings.Contains(err.Error(), recKey) || strings.Contains(err.Error(), secret) {
				t.Errorf("Load: %v", err)
			}
			g, err := s.Save(t.Context(), key, record(0, "first"))
			if tc.want == store.ErrNewer {
				if !errors.Is(err, auth.ErrConflict) || m.HGet(recKey, "d") != tc.data {
					t.Errorf("Save: %v; now it is %q", err, m.HGet(recKey, "d"))
				}
				return
			}
			if err != nil {
				t.Fatalf("Save: %v", err)
			}
			mustLoad(t, s, "first")
			if _, err := s.Save(t.Context(), key, record(0, "another first")); !errors.Is(err, auth.ErrConflict) {
				t.Errorf("Save of what is good: %v", err)
			}
			mustSave(t, s, record(g, "second"))
		})
	}
}

// permanent reports whether err says that it is, as [auth.Store] has it.
func permanent(err error) bool {
	var says interface{ Retryable() bool }
	return errors.As(err, &says) && !says.Retryable()
}
