package redisstore_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store/redisstore"
)

// A lease that ran out, since its holder was suspended, is another process's. What
// the late holder may do then depends on whether there is anything that it
// could destroy.
func TestFencing(t *testing.T) {
	for name, tc := range map[string]struct {
		others  func(t *testing.T, b *redisstore.Store, g uint64) // what happens meanwhile
		want    error                                             // of a save of what was loaded
		rereads error                                             // of a save after reading again
	}{
		"nobody came": {
			func(*testing.T, *redisstore.Store, uint64) {}, nil, nil,
		},
		// It holds the only copy of a token that replaced a spent one.
		"somebody holds it": {
			func(t *testing.T, b *redisstore.Store, _ uint64) { t.Cleanup(mustLock(t, b)) }, nil, nil,
		},
		"somebody came and went": {
			func(t *testing.T, b *redisstore.Store, _ uint64) { mustLock(t, b)() }, nil, nil,
		},
		"somebody wrote": {
			func(t *testing.T, b *redisstore.Store, g uint64) {
				defer mustLock(t, b)()
				mustSave(t, b, record(g, "theirs"))
			}, auth.ErrConflict, auth.ErrConflict,
		},
		"somebody deleted": {
			func(t *testing.T, b *redisstore.Store, g uint64) {
				defer mustLock(t, b)()
				if err := b.Delete(t.Context(), key, g); err != nil {
					t.Fatal(err)
				}
			}, auth.ErrConflict, auth.ErrConflict,
		},
		"somebody wrote without the lock": {
			func(t *testing.T, b *redisstore.Store, g uint64) { mustSave(t, b, record(g, "theirs")) },
			auth.ErrConflict, auth.ErrConflict,
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := miniredis.RunT(t)
			a, b := newStore(t, onMini(m)), newStore(t, onMini(m))
			g := mustSave(t, a, record(0, "first"))
			unlock := mustLock(t, a)
			m.FastForward(leaseTime)
			tc.others(t, b, g)
			_, err := a.Save(t.Context(), key, record(g, "late"))
			if !errors.Is(err, tc.want) {
				t.Errorf("Save: %v, want %v", err, tc.want)
			}
			now, err := a.Load(t.Context(), key)
			if errors.Is(err, auth.ErrNotFound) {
				now = &auth.Record{}
			} else if err != nil {
				t.Fatal(err)
			}
			_, err = a.Save(t.Context(), key, record(now.Generation, "later"))
			if !errors.Is(err, tc.rereads) {
				t.Errorf("Save after Load: %v, want %v", err, tc.rereads)
			}
			if tc.rereads != nil {
				if err := a.Delete(t.Context(), key, now.Generation); now.Generation > 0 && !errors.Is(err, auth.ErrConflict) {
					t.Errorf("Delete: %v", err)
				}
			}
			held := m.Exists(lockKey)
			unlock()
			if m.Exists(lockKey) != held {
				t.Error("unlocking removed a lock that was not its own")
			}
		})
	}
}

// A lease that is lost is lost until the lock is taken again.
func TestAfterFencing(t *testing.T) {
	m := miniredis.RunT(t)
	a, b := newStore(t, onMini(m)), newStore(t, onMini(m))
	g := mustSave(t, a, record(0, "first"))
	unlock := mustLock(t, a)
	m.FastForward(leaseTime)
	g = mustSave(t, b, record(g, "theirs"))
	if _, err := a.Save(t.Context(), key, record(g, "late")); !errors.Is(err, auth.ErrConflict) {
		t.Errorf("Save: %v", err)
	}
	unlock()
	defer mustLock(t, a)()
	g = mustSave(t, a, record(g, "again"))
	mustSave(t, a, record(g, "and again"))
}

// Its own saves do not fence a holder out.
func TestSavesAfterLoss(t *testing.T) {
	m := miniredis.RunT(t)
	s := newStore(t, onMini(m))
	defer mustLock(t, s)()
	g := mustSave(t, s, record(0, "first"))
	m.FastForward(leaseTime)
	g = mustSave(t, s, record(g, "second"))
	if err := s.Delete(t.Context(), key, g); err != nil {
		t.Error(err)
	}
}

// bubble runs f with a fake clock, which the server's leases follow.
func bubble(t *testing.T, f func(t *testing.T, m *miniredis.Miniredis, open func() *redisstore.Store)) {
	synctest.Test(t, func(t *testing.T) {
		m := miniredis.NewMiniRedis()
		m.ClockTTL(true)
		defer m.Close()
		f(t, m, func() *redisstore.Store {
			return newStore(t, &redis.Options{
				Addr: "127.0.0.1:1", MaxRetries: -1, DisableIdentity: true,
				Dialer: func(context.Context, string, string) (net.Conn, error) { return m.Dial() },
			})
		})
	})
}

func TestLeaseIsRenewed(t *testing.T) {
	bubble(t, func(t *testing.T, m *miniredis.Miniredis, open func() *redisstore.Store) {
		a, b := open(), open()
		unlock := mustLock(t, a)
		ctx, cancel := context.WithTimeout(t.Context(), 10*leaseTime)
		defer cancel()
		if unlock, err := b.Lock(ctx, key); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Lock while it is held: %v", err)
			unlock()
		}
		unlock()
		start := time.Now()
		mustLock(t, b)()
		if d := time.Since(start); d != 0 {
			t.Errorf("Lock of what is free took %s", d)
		}
	})
}

// A holder that cannot be reached any more keeps the others for as long as its
// lease runs.
func TestHolderDies(t *testing.T) {
	bubble(t, func(t *testing.T, m *miniredis.Miniredis, open func() *redisstore.Store) {
		a, b := open(), open()
		unlock := mustLock(t, a)
		defer unlock()
		_ = a.Close() // its lease is not renewed any more
		start := time.Now()
		unlockB, err := b.Lock(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		defer unlockB()
		if d := time.Since(start); d < leaseTime/2 || d > leaseTime+time.Second {
			t.Errorf("the lock was free after %s, want %s", d, leaseTime)
		}
	})
}

// While it is renewed a lease is held, however long. A holder that cannot reach
// Redis any more takes it for lost before another can have it, and for held
// again once it could renew it.
func TestHeld(t *testing.T) {
	bubble(t, func(t *testing.T, m *miniredis.Miniredis, open func() *redisstore.Store) {
		s := open()
		if s.Held(key) {
			t.Error("held before it was locked")
		}
		unlock := mustLock(t, s)
		for range 100 {
			time.Sleep(leaseTime / 10)
			if !s.Held(key) {
				t.Fatal("not held, though it is renewed")
			}
		}
		synctest.Wait()
		m.SetError("LOADING")
		for s.Held(key) {
			if !m.Exists(lockKey) {
				t.Fatal("held after another could take it")
			}
			time.Sleep(leaseTime / 100)
		}
		if left := m.TTL(lockKey); left < leaseTime/10 {
			t.Errorf("taken for lost %s before its end: no time to send a request", left)
		}
		m.SetError("")
		time.Sleep(leaseTime / 2)
		if !m.Exists(lockKey) || !s.Held(key) {
			t.Error("not held, though it was renewed in time")
		}
		m.Set(lockKey, "theirs")
		time.Sleep(leaseTime / 2)
		if s.Held(key) {
			t.Error("held, though another holds it")
		}
		unlock()
		if s.Held(key) {
			t.Error("held after it was let go")
		}
	})
}

// A hint ends the wait: the next attempt alone would come later.
func TestUnlockIsHeardOf(t *testing.T) {
	bubble(t, func(t *testing.T, m *miniredis.Miniredis, open func() *redisstore.Store) {
		a, b := open(), open()
		unlock := mustLock(t, a)
		entered := make(chan time.Time)
		go func() {
			unlock, err := b.Lock(t.Context(), key)
			if err != nil {
				t.Error(err)
			}
			entered <- time.Now()
			unlock()
		}()
		time.Sleep(10 * time.Second) // of the fake clock: its polls are far apart by now
		synctest.Wait()
		start := time.Now()
		unlock()
		if d := (<-entered).Sub(start); d != 0 {
			t.Errorf("the lock came %s after it was free", d)
		}
	})
}

// Without hints the next attempt comes within half a second or so.
func TestUnlockIsNotHeardOf(t *testing.T) {
	bubble(t, func(t *testing.T, m *miniredis.Miniredis, open func() *redisstore.Store) {
		s := open()
		m.Set(lockKey, "theirs")
		entered := make(chan struct{})
		go func() {
			defer close(entered)
			mustLock(t, s)()
		}()
		time.Sleep(5 * time.Second)
		m.Del(lockKey)
		start := time.Now()
		<-entered
		if d := time.Since(start); d > time.Second {
			t.Errorf("the lock came after %s", d)
		}
	})
}

// Redis is away when the lock is to be let go. unlock does not wait for it, and
// yet the others do not have to wait for the lease to end.
func TestUnlockWithoutServer(t *testing.T) {
	bubble(t, func(t *testing.T, m *miniredis.Miniredis, open func() *redisstore.Store) {
		a, b := open(), open()
		unlock := mustLock(t, a)
		m.SetError("LOADING")
		start := time.Now()
		unlock()
		if d := time.Since(start); d > time.Second {
			t.Errorf("unlock took %s", d)
		}
		time.Sleep(5 * time.Second)
		m.SetError("")
		start = time.Now()
		mustLock(t, b)()
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("the lock came %s after the server", d)
		}
	})
}

// Renewal goes on after a failure.
func TestRenewalFails(t *testing.T) {
	bubble(t, func(t *testing.T, m *miniredis.Miniredis, open func() *redisstore.Store) {
		s := open()
		defer mustLock(t, s)()
		time.Sleep(leaseTime/3 - time.Second)
		m.SetError("LOADING")
		time.Sleep(2 * time.Second)
		m.SetError("")
		time.Sleep(leaseTime)
		synctest.Wait()
		if !m.Exists(lockKey) {
			t.Error("the lease was lost")
		}
	})
}

// A lease that was lost is not taken back behind the others' backs.
func TestRenewalEnds(t *testing.T) {
	bubble(t, func(t *testing.T, m *miniredis.Miniredis, open func() *redisstore.Store) {
		s := open()
		unlock := mustLock(t, s)
		m.Set(lockKey, "theirs")
		time.Sleep(leaseTime)
		synctest.Wait()
		unlock()
		if got, _ := m.Get(lockKey); got != "theirs" {
			t.Errorf("the lock is %q", got)
		}
	})
}

// Who leaves while the lock is being granted must not keep it, even if it is
// granted only then.
func TestLockAbandoned(t *testing.T) {
	m := miniredis.RunT(t)
	client := redis.NewClient(onMini(m))
	slow := &slowTake{asked: make(chan struct{}), released: make(chan struct{}), leave: make(chan struct{})}
	client.AddHook(slow)
	s := redisstore.New(client)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := s.Lock(ctx, key)
		result <- err
	}()
	await(t, "the request", slow.asked)
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("Lock: %v", err)
	}
	await(t, "the release", slow.released) // too early
	close(slow.leave)
	_ = s.Close() // waits for what was abandoned
	_ = client.Close()
	if slow.taken != 1 {
		t.Errorf("the lock was taken %d times", slow.taken)
	}
	if m.Exists(lockKey) {
		t.Error("the lock was kept")
	}
}

// An answer that never came does not tell whether the lock was taken. It is free
// again before its lease ends, which here it does not.
func TestLockAmbiguous(t *testing.T) {
	m := miniredis.RunT(t)
	cut := &cutter{}
	o := onMini(m)
	o.Dialer, o.MaxRetries = cut.dial, -1
	s := newStore(t, o)
	mustLock(t, s)() // the script is loaded
	cut.next()
	if unlock, err := s.Lock(t.Context(), key); err == nil {
		unlock()
		t.Fatal("the answer was not lost")
	}
	mustLock(t, s)()
}

// slowTake is a hook that holds the request for the lock up, which goes out in
// the end, and notes when the lock is given back for the first time.
type slowTake struct {
	asked, released, leave chan struct{}
	once                   sync.Once
	taken                  int
}

func (h *slowTake) DialHook(next redis.DialHook) redis.DialHook { return next }
func (h *slowTake) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		// A script's name, its text, how many keys, and the keys.
		args := cmd.Args()
		if len(args) < 4 || args[3] != lockKey {
			return next(ctx, cmd)
		}
		if args[2] != 2 {
			err := next(ctx, cmd)
			if cmd.Name() == "eval" {
				h.once.Do(func() { close(h.released) })
			}
			return err
		}
		if cmd.Name() == "evalsha" {
			close(h.asked)
			<-h.leave
		}
		err := next(context.WithoutCancel(ctx), cmd)
		if err == nil {
			h.taken++
		}
		return err
	}
}
func (h *slowTake) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
