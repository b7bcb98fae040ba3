package weblogin_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/store"
)

// counting counts what a store is asked for, and how large what it keeps is.
type counting struct {
	auth.MemoryStore
	mu      sync.Mutex
	ops     int
	largest int
}

// Watch is not that of an [auth.Watcher]: a hint makes each replica that has a
// manager for the user look, behind.
func (s *counting) Watch() {}

func (s *counting) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ops += n
}

// since returns the operations since the last call.
func (s *counting) since() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.ops
	s.ops = 0
	return n
}

func (s *counting) Load(ctx context.Context, key auth.Key) (*auth.Record, error) {
	s.count(1)
	return s.MemoryStore.Load(ctx, key)
}

func (s *counting) Save(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	s.count(1)
	data, err := store.Encode(key, r)
	if err != nil {
		return 0, err
	}
	if key.Issuer == "urn:mcptokens:weblogin" {
		s.mu.Lock()
		s.largest = max(s.largest, len(data))
		s.mu.Unlock()
	}
	return s.MemoryStore.Save(ctx, key, r)
}

func (s *counting) Delete(ctx context.Context, key auth.Key, generation uint64) error {
	s.count(1)
	return s.MemoryStore.Delete(ctx, key, generation)
}

// A start takes at most 3 loads and saves, a callback 4, a call with a fresh token
// none, and what is kept meanwhile less than 2 KiB.
func TestStoreOperations(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := new(counting)
		g := newGateway(t, 1, s, authtest.Config{})
		g.browser("zoe").walk(g.link("zoe")) // the client is registered
		b := g.browser("alice")
		link := g.link("alice")
		s.since()
		_, server, _ := b.get(link)
		if n := s.since(); n > 3 {
			t.Errorf("a start takes %d operations of the store", n)
		}
		_, callback, _ := b.get(server)
		b.get(callback)
		if n := s.since(); n > 4 {
			t.Errorf("a callback takes %d operations of the store", n)
		}
		if !g.connected("alice") {
			t.Fatal("not connected")
		}
		s.since()
		if g.connected("alice"); s.since() != 0 {
			t.Error("a call with a fresh token asks the store")
		}
		if s.largest == 0 || s.largest >= 2<<10 {
			t.Errorf("a login under way takes %d bytes", s.largest)
		}
		t.Logf("a login under way takes %d bytes", s.largest)
	})
}

// One configuration serves all users: what is discovered and the client are there
// once.
func TestUsersShare(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGateway(t, 1, new(auth.MemoryStore), authtest.Config{})
		for i := range 20 {
			user := fmt.Sprint("user", i)
			b := g.browser(user)
			if status, _, body := b.get(b.walk(g.link(user))); status != http.StatusSeeOther {
				t.Fatalf("HTTP %d: %s", status, body)
			}
		}
		if n := g.srv.Counts(); n.Metadata != 1 || n.ResourceMetadata != 1 || n.Register != 1 || n.Token != 20 {
			t.Errorf("20 users made %+v", n)
		}
	})
}
