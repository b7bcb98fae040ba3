package webtest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store"
	"github.com/mcptokens/mcptokens/auth/store/filestore"
	"github.com/mcptokens/mcptokens/internal/webtest"
)

// Files give no hints, so that a replica looks now and then.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var stores [2]auth.Store
		for i := range stores {
			store, err := filestore.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			stores[i] = store
		}
		took := webtest.Waking(t, stores[0], stores[1], 20)
		if most := took[len(took)-1]; most > 2*time.Second {
			t.Errorf("a call waits for %v after the login", most)
		}
	})
}

// One store in memory tells all who watch.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(auth.MemoryStore)
		took := webtest.Waking(t, s, s, 5)
		if most := took[len(took)-1]; most > 0 {
			t.Errorf("a call waits for %v after the login", most)
		}
	})
}

// weighing adds up what a store would keep of logins.
type weighing struct {
	auth.MemoryStore
	records, bytes, largest int
}

func (s *weighing) Save(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	data, err := store.Encode(key, r)
	if err != nil {
		return 0, err
	}
	if key.Subject != "" {
		s.records, s.bytes, s.largest = s.records+1, s.bytes+len(data), max(s.largest, len(data))
	}
	return s.MemoryStore.Save(ctx, key, r)
}

// 10,000 logins under way, and the links that led to them, take less than 2 KiB each
// in the store, and nothing is left of them when they have expired.
func TestPending(t *testing.T) {
	const logins = 10_000
	synctest.Test(t, func(t *testing.T) {
		s := new(weighing)
		defer webtest.Begin(t, s, logins)()
		if s.records != 2*logins || s.largest >= 2<<10 {
			t.Errorf("%d records, the largest has %d bytes", s.records, s.largest)
		}
		t.Logf("%d records, %d bytes each, the largest %d; %d for a login and its link", s.records, s.bytes/s.records, s.largest, s.bytes/logins)
		if n := pending(t, s); n != 2*logins {
			t.Errorf("%d records are there", n)
		}
		time.Sleep(10*time.Minute + 2*time.Second)
		synctest.Wait()
		if n := pending(t, s); n != 0 {
			t.Errorf("%d records are left", n)
		}
	})
}

func pending(t *testing.T, s auth.Lister) (n int) {
	for e, err := range s.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Key.Subject != "" {
			n++
		}
	}
	return n
}
