//go:build realservers

package redisstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store/redisstore"
	"github.com/mcptokens/mcptokens/auth/store/storetest"
	"github.com/mcptokens/mcptokens/internal/realservers"
	"github.com/mcptokens/mcptokens/internal/webtest"
)

// server is a redis-server that the test runs.
type server struct {
	addr  string
	args  []string
	cmd   *exec.Cmd
	admin *redis.Client
}

// startServer runs one whose data is on disk whenever it has answered.
func startServer(t *testing.T, more ...string) *server {
	t.Helper()
	port := realservers.FreePort(t)
	s := &server{addr: net.JoinHostPort("127.0.0.1", port)}
	s.args = append([]string{
		"--port", port, "--bind", "127.0.0.1", "--dir", t.TempDir(), "--daemonize", "no",
		"--save", "", "--appendonly", "yes", "--appendfsync", "always",
	}, more...)
	s.admin = redis.NewClient(&redis.Options{Addr: s.addr, MaxRetries: -1, DialerRetries: 1})
	s.start(t)
	t.Cleanup(func() {
		_ = s.admin.Close()
		s.stop()
	})
	return s
}

// patience is how long a server may take on a slow machine.
const patience = 2 * time.Minute

func (s *server) start(t *testing.T) {
	t.Helper()
	var log bytes.Buffer
	s.cmd = exec.Command("redis-server", s.args...)
	s.cmd.Stdout, s.cmd.Stderr = &log, &log
	if err := s.cmd.Start(); err != nil {
		t.Fatalf("%v; install the Debian package redis-server", err)
	}
	for deadline := time.Now().Add(patience); s.admin.Ping(t.Context()).Err() != nil; <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.stop()
			t.Fatalf("redis-server does not answer:\n%s", &log)
		}
	}
}

// stop ends it without a word, as a power failure does.
func (s *server) stop() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func (s *server) do(t *testing.T, args ...any) string {
	t.Helper()
	answer, err := s.admin.Do(t.Context(), args...).Result()
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return fmt.Sprint(answer)
}

func (s *server) options() *redis.Options { return &redis.Options{Addr: s.addr} }

func TestRealContract(t *testing.T) {
	s := startServer(t)
	storetest.Suite{
		Open: func(t *testing.T) auth.Store {
			s.do(t, "FLUSHALL")
			return newStore(t, s.options())
		},
		Reopen: func(t *testing.T, _ auth.Store) auth.Store { return newStore(t, s.options()) },
	}.Run(t)
}

// Three servers share the slots, so keys that do not belong together are refused.
func TestRealContractCluster(t *testing.T) {
	var nodes []*server
	var addrs []string
	for i := range 3 {
		n := startServer(t, "--cluster-enabled", "yes", "--cluster-config-file", "nodes-"+strconv.Itoa(i)+".conf")
		n.do(t, "CLUSTER", "ADDSLOTSRANGE", i*16384/3, (i+1)*16384/3-1)
		n.do(t, "CLUSTER", "SET-CONFIG-EPOCH", i+1)
		nodes, addrs = append(nodes, n), append(addrs, n.addr)
	}
	for _, n := range nodes[1:] {
		_, port, _ := net.SplitHostPort(n.addr)
		nodes[0].do(t, "CLUSTER", "MEET", "127.0.0.1", port)
	}
	deadline := time.Now().Add(patience)
	for _, n := range nodes {
		for !strings.Contains(n.do(t, "CLUSTER", "INFO"), "cluster_state:ok") || strings.Count(n.do(t, "CLUSTER", "NODES"), "connected") != len(nodes) {
			<-time.After(10 * time.Millisecond)
			if time.Now().After(deadline) {
				t.Fatal("the cluster does not come up:\n" + n.do(t, "CLUSTER", "NODES"))
			}
		}
	}
	open := func(t *testing.T) auth.Store {
		client := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: addrs, IsClusterMode: true})
		s := redisstore.New(client)
		t.Cleanup(func() { _ = s.Close(); _ = client.Close() })
		return s
	}
	storetest.Suite{
		Open: func(t *testing.T) auth.Store {
			for _, n := range nodes {
				n.do(t, "FLUSHALL")
			}
			return open(t)
		},
		Reopen: func(t *testing.T, _ auth.Store) auth.Store { return open(t) },
	}.Run(t)
}

// A user with the permissions that the package's comment names can do all, and
// one who must not publish all but give hints.
func TestRealPermissions(t *testing.T) {
	s := startServer(t)
	comment, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(comment), "and the commands\n")
	list, _, _ = strings.Cut(list, ".")
	rules := []any{"ACL", "SETUSER", "mcp", "on", ">pw", "~mcptokens:*", "&mcptokens:*"}
	for name := range strings.FieldsFuncSeq(strings.ReplaceAll(list, " and ", " "), func(r rune) bool { return r < 'A' || r > 'Z' }) {
		rules = append(rules, "+"+name)
	}
	s.do(t, rules...)
	s.do(t, "ACL", "SETUSER", "mute", "on", ">pw", "~mcptokens:*", "resetchannels", "+@all")
	for _, user := range []string{"mcp", "mute"} {
		t.Run(user, func(t *testing.T) {
			s.do(t, "FLUSHALL")
			o := s.options()
			o.Username, o.Password = user, "pw"
			store, other := newStore(t, o), newStore(t, o)
			changed, calls := heard()
			defer other.Watch(key, changed)()
			var g uint64
			for range 3 {
				unlock := mustLock(t, store)
				g = mustSave(t, store, record(g, "first"))
				waiting := make(chan error, 1)
				go func() {
					unlock, err := other.Lock(t.Context(), key)
					if err == nil {
						unlock()
					}
					waiting <- err
				}()
				unlock()
				if err := <-waiting; err != nil {
					t.Fatal(err)
				}
			}
			if user == "mcp" {
				for heard := false; !heard; {
					g = mustSave(t, store, record(g, "again"))
					select {
					case <-calls:
						heard = true
					case <-time.After(20 * time.Millisecond): // not subscribed yet
					}
				}
			}
			if err := store.Delete(t.Context(), key, g); err != nil {
				t.Fatal(err)
			}
		})
	}
	if log := s.do(t, "ACL", "LOG"); strings.Contains(log, "username mcp") || strings.Contains(log, "username:mcp") {
		t.Errorf("refused: %s", log)
	}
}

// A server that takes no writes is found out by locking, before a refresh token
// is spent.
func TestRealNoWrites(t *testing.T) {
	for name, tc := range map[string]struct {
		set  []any
		want string
	}{
		"memory full": {[]any{"CONFIG", "SET", "maxmemory", "1"}, "OOM"},
		"replica":     {[]any{"REPLICAOF", "127.0.0.1", "1"}, "READONLY"},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, "--replica-serve-stale-data", "yes")
			o := s.options()
			o.MaxRetries = -1
			store := newStore(t, o)
			mustSave(t, store, record(0, "first"))
			s.do(t, tc.set...)
			unlock, err := store.Lock(t.Context(), key)
			if err == nil {
				unlock()
			}
			if err == nil || !strings.HasSuffix(err.Error(), "Redis answered with "+tc.want) {
				t.Errorf("Lock: %v, want %s", err, tc.want)
			}
			mustLoad(t, store, "first")
		})
	}
}

// The server dies while the lock is held, and comes back with its data: the
// holder goes on, and the others wait for it.
func TestRealRestart(t *testing.T) {
	s := startServer(t)
	lasting := redisstore.WithLease(time.Minute) // longer than the server is away
	a, b := newStore(t, s.options(), lasting), newStore(t, s.options(), lasting)
	g := mustSave(t, a, record(0, "first"))
	unlock := mustLock(t, a)
	changed, calls := heard()
	defer b.Watch(key, changed)()
	s.stop()
	if _, err := b.Load(t.Context(), key); err == nil {
		t.Fatal("the server is still there")
	}
	s.start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if unlock, err := b.Lock(ctx, key); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Lock while it is held: %v", err)
		unlock()
	}
	g = mustSave(t, a, record(g, "second"))
	unlock()
	defer mustLock(t, b)()
	mustLoad(t, b, "second")
	for deadline := time.After(patience); ; {
		g = mustSave(t, b, record(g, "third"))
		select {
		case <-calls:
			return
		case <-time.After(100 * time.Millisecond): // not subscribed again yet
		case <-deadline:
			t.Fatal("nothing is heard after the restart")
		}
	}
}

// Redis does not answer until after the lease. The lock goes on to who waits
// for it, once, and nothing that was saved is lost.
func TestRealSlow(t *testing.T) {
	const lease = 2 * time.Second
	s := startServer(t)
	o := s.options()
	o.ReadTimeout, o.MaxRetries = lease/2, 1
	a, b := newStore(t, o, redisstore.WithLease(lease)), newStore(t, o, redisstore.WithLease(lease))
	g := mustSave(t, a, record(0, "first"))
	unlock := mustLock(t, a)
	s.do(t, "CLIENT", "PAUSE", (3 * lease).Milliseconds(), "ALL")
	if _, err := a.Save(t.Context(), key, record(g, "slow")); err == nil {
		t.Error("Save while the server was paused succeeded")
	}
	unlock()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		unlock, err := b.Lock(ctx, key)
		if err == nil {
			defer unlock()
			break
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	// The save may have been done, late; the generation tells.
	r, err := b.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if (r.Generation == g) != (r.Token.AccessToken == "first") {
		t.Errorf("generation %d, was %d, has %q", r.Generation, g, r.Token.AccessToken)
	}
	mustSave(t, b, record(r.Generation, "second"))
	mustLoad(t, a, "second")
}

// A call that waits on one replica goes on within a second after the login ended on
// another.
func TestRealWaking(t *testing.T) {
	s := startServer(t)
	if took := webtest.Waking(t, newStore(t, s.options()), newStore(t, s.options()), 8); took[len(took)-1] > time.Second {
		t.Errorf("a call waits for %v after the login", took)
	}
}

// Eight processes note what they do in one record while connections are cut and
// scripts forgotten. No two hold the lock at once, no note is lost, and none is
// there twice. On a machine that stands still a lease may end, which its holder
// knows: then another comes in, and the notes are kept all the same.
func TestRealDisturbed(t *testing.T) {
	const processes, rounds = 8, 20
	s := startServer(t)
	stop := make(chan struct{})
	var disturber, workers sync.WaitGroup
	disturber.Go(func() {
		tick := time.NewTicker(3 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			if i%2 == 0 {
				s.admin.Do(t.Context(), "SCRIPT", "FLUSH")
			} else {
				s.admin.Do(t.Context(), "CLIENT", "KILL", "SKIPME", "yes")
			}
		}
	})
	var inside atomic.Pointer[redisstore.Store]
	var cuts sync.Map
	for p := range processes {
		store := newStore(t, s.options())
		workers.Go(func() {
			for done := 0; done < rounds; {
				unlock, err := store.Lock(t.Context(), key)
				if err != nil {
					cuts.Store(err.Error(), true)
					continue
				}
				if other := inside.Swap(store); other != nil && other.Held(key) {
					t.Errorf("process %d came in while another was there", p)
				}
				if note(t, store, fmt.Sprintf("%d.%d", p, done), &cuts) {
					done++
				}
				inside.CompareAndSwap(store, nil)
				unlock()
			}
		})
	}
	workers.Wait()
	close(stop)
	disturber.Wait()
	r, err := newStore(t, s.options()).Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, n := range strings.Fields(r.Token.AccessToken) {
		if seen[n] {
			t.Errorf("%s is there twice", n)
		}
		seen[n] = true
	}
	if len(seen) != processes*rounds {
		t.Errorf("%d notes, want %d", len(seen), processes*rounds)
	}
	cuts.Range(func(text, _ any) bool { t.Log(text); return true })
}

// note adds one under the lock. When it does not hear whether a save was done it
// looks, as a manager does. It reports whether the note is there.
func note(t *testing.T, s *redisstore.Store, what string, cuts *sync.Map) bool {
	read := func() (notes string, generation uint64) {
		for {
			r, err := s.Load(t.Context(), key)
			switch {
			case errors.Is(err, auth.ErrNotFound):
				return "", 0
			case err == nil:
				return r.Token.AccessToken, r.Generation
			}
			cuts.Store(err.Error(), true)
		}
	}
	notes, g := read()
	for {
		_, err := s.Save(t.Context(), key, record(g, strings.TrimSpace(notes+" "+what)))
		switch {
		case err == nil:
			return true
		case errors.Is(err, auth.ErrConflict): // it was done the time before, or the lease has ended
			held := s.Held(key)
			notes, _ = read()
			there := slices.Contains(strings.Fields(notes), what)
			if !there && held {
				t.Errorf("the record changed under the lock of %s, to %q", what, notes)
			}
			return there
		default:
			cuts.Store(err.Error(), true)
		}
	}
}
