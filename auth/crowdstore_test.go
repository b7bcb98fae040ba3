package auth_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// counter counts what takes a second.
type counter struct {
	mu                  sync.Mutex
	running, most, done int
}

func (c *counter) run() {
	c.add(1)
	time.Sleep(time.Second)
	c.add(-1)
}

func (c *counter) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running += n
	c.most = max(c.most, c.running)
	if n < 0 {
		c.done++
	}
}

// so says how many there were at once, and how many in all.
func (c *counter) so() (most, done int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.most, c.done
}

// tired is a store that takes a second for each read, each save and the end of each
// watch, unless it is out of order.
type tired struct {
	*auth.MemoryStore
	reads, saves, ends counter
	broken             atomic.Bool
}

func (s *tired) Save(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	if s.broken.Load() {
		return 0, errors.New("out of order")
	}
	s.saves.run()
	return s.MemoryStore.Save(ctx, key, r)
}

func (s *tired) Load(ctx context.Context, key auth.Key) (*auth.Record, error) {
	s.reads.run()
	return s.MemoryStore.Load(ctx, key)
}

func (s *tired) Watch(key auth.Key, changed func()) func() {
	stop := s.MemoryStore.Watch(key, changed)
	return func() {
		s.ends.run()
		stop()
	}
}

// A crowd comes to a pool that can hold few: some read the store and the others wait,
// and when it has left, some managers are closed at a time.
func TestCrowdReadsTheStore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s := &tired{MemoryStore: new(auth.MemoryStore)}
		cfg := k.onDemand()
		cfg.Store = nil
		p := k.pool(auth.PoolConfig{Store: s, MaxManagers: 10, Config: func(string, string) (*auth.Config, error) {
			cfg := cfg // each has one of its own: the store is what they share
			return &cfg, nil
		}})
		ask := func(i int) error {
			_, err := p.Source(fmt.Sprint("user", i), k.res.URL).Token(t.Context())
			return err
		}
		began := time.Now()
		together(1000, func(i int) {
			if err := ask(i); !errors.Is(err, auth.ErrNoToken) {
				t.Error(err)
			}
		})
		most, done := s.reads.so()
		if took := time.Since(began); most != 256 || done != 1000 || took != 4*time.Second {
			t.Errorf("%d reads, at most %d at once, in %v", done, most, took)
		}
		time.Sleep(2 * time.Minute)
		if most, done := s.ends.so(); most != 16 || done != 990 || p.Len() != 10 {
			t.Errorf("%d were closed, at most %d at once, %d are left", done, most, p.Len())
		}
	})
}

// The store was out of order while many got a token: when it is back it does not get all
// of them at once, and it gets all.
func TestCrowdIsStored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s := &tired{MemoryStore: new(auth.MemoryStore)}
		cfg := k.onDemand()
		p := k.pool(auth.PoolConfig{Store: s, Config: always(cfg)})
		s.broken.Store(true)
		tok := k.token()
		together(1000, func(i int) {
			err := p.Source(fmt.Sprint("user", i), k.res.URL).Use(func(m *auth.Manager) error { return m.SetToken(t.Context(), tok) })
			if err == nil {
				t.Error("it is stored in a store that is out of order")
			}
		})
		s.broken.Store(false)
		time.Sleep(time.Minute)
		if most, done := s.saves.so(); most != 256 || done != 1000 {
			t.Errorf("%d were stored, at most %d at once", done, most)
		}
	})
}

// A read that has waited for its place too long is an error of the store. Close ends the
// wait at once.
func TestStoreThatAnswersNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s := &stuck{MemoryStore: new(auth.MemoryStore), free: make(chan struct{})}
		cfg := k.onDemand()
		cfg.Store = nil
		p := k.pool(auth.PoolConfig{Store: s, Config: always(cfg)})
		defer close(s.free)
		for i := range 256 {
			go func() { _, _ = p.Source(fmt.Sprint("user", i), k.res.URL).Token(t.Context()) }()
		}
		synctest.Wait()
		last := p.Source("last", k.res.URL)
		began := time.Now()
		_, err := last.Token(t.Context())
		if e := asError[*auth.StoreError](t, err); e.Op != "load" || time.Since(began) != 30*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		time.Sleep(time.Minute) // a failed read is repeated later
		got := make(chan error, 1)
		go func() {
			_, err := last.Token(t.Context())
			got <- err
		}()
		synctest.Wait()
		began = time.Now()
		if err := used(t, last).Close(); err != nil {
			t.Error(err)
		}
		if err := <-got; !errors.Is(err, auth.ErrClosed) || time.Since(began) != 0 {
			t.Errorf("%v %v after Close, want that it is closed", err, time.Since(began))
		}
	})
}

// stuck is a store that does not answer until it is free, whoever leaves.
type stuck struct {
	*auth.MemoryStore
	free chan struct{}
}

func (s *stuck) Load(ctx context.Context, key auth.Key) (*auth.Record, error) {
	<-s.free
	return s.MemoryStore.Load(ctx, key)
}
