package auth_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
)

// The contract of Store, at the store that comes with the package.
func TestMemoryStore(t *testing.T) {
	ctx := t.Context()
	s, key := new(auth.MemoryStore), auth.Key{Resource: "https://mcp.example.com/mcp"}
	if _, err := s.Load(ctx, key); !errors.Is(err, auth.ErrNotFound) {
		t.Errorf("Load of nothing: %v", err)
	}
	if err := s.Delete(ctx, key, 1); err != nil {
		t.Errorf("Delete of nothing: %v", err)
	}
	rec := &auth.Record{Token: &auth.Token{AccessToken: "a", Scopes: []string{"read"}}, Requested: []string{"read"}}
	generation, err := s.Save(ctx, key, rec)
	if err != nil || generation == 0 || rec.Generation != 0 {
		t.Fatalf("Save: %d, %v, and it changed the record to %d", generation, err, rec.Generation)
	}
	rec.Token.AccessToken, rec.Token.Scopes[0], rec.Requested[0] = "b", "b", "b"
	for range 2 {
		got, err := s.Load(ctx, key)
		if err != nil || got.Generation != generation || got.Token.AccessToken != "a" || got.Token.Scopes[0] != "read" || got.Requested[0] != "read" {
			t.Fatalf("Load: %v, %v: changed from outside", got, err)
		}
		got.Token.AccessToken, got.Token.Scopes[0], got.Requested[0] = "c", "c", "c"
	}
	for _, wrong := range []uint64{0, generation - 1, generation + 1} {
		if _, err := s.Save(ctx, key, &auth.Record{Generation: wrong}); !errors.Is(err, auth.ErrConflict) {
			t.Errorf("Save over generation %d: %v, want ErrConflict", wrong, err)
		}
		if err := s.Delete(ctx, key, wrong); !errors.Is(err, auth.ErrConflict) {
			t.Errorf("Delete of generation %d: %v, want ErrConflict", wrong, err)
		}
	}
	if next, err := s.Save(ctx, key, &auth.Record{Generation: generation}); err != nil || next <= generation {
		t.Errorf("Save: %d, %v", next, err)
	}
	if _, err := s.Load(ctx, auth.Key{}); !errors.Is(err, auth.ErrNotFound) {
		t.Errorf("another key: %v", err)
	}
}

func TestMemoryStoreLock(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, key := new(auth.MemoryStore), auth.Key{Resource: "https://mcp.example.com/mcp"}
		inside, most := 0, 0
		together(20, func(int) {
			unlock, err := s.Lock(t.Context(), key)
			if err != nil {
				t.Error(err)
				return
			}
			inside++
			most = max(most, inside)
			time.Sleep(time.Millisecond)
			inside--
			unlock()
		})
		if most != 1 {
			t.Errorf("%d held the lock at once", most)
		}
		unlock, err := s.Lock(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
		limited, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Lock(limited, key); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Lock: %v", err)
		}
		other, err := s.Lock(t.Context(), auth.Key{})
		if err != nil {
			t.Fatal(err)
		}
		other()
	})
}

// Many keys come and go, each with its own record and lock, and the first one
// like any other.
func TestMemoryStoreKeepsKeysApart(t *testing.T) {
	s := new(auth.MemoryStore)
	key := func(i int) auth.Key {
		return auth.Key{Resource: "https://mcp.example.com/mcp", Subject: string(rune('a' + i))}
	}
	const keys = 3
	for round := range 2 * keys {
		unlocks := make([]func(), keys)
		for i := range keys {
			unlock, err := s.Lock(t.Context(), key(i))
			if err != nil {
				t.Fatal(err)
			}
			unlocks[i] = unlock
		}
		gone := round % keys // which key leaves the store and comes back
		for i := range keys {
			rec, err := s.Load(t.Context(), key(i))
			if want := round > 0 && i != (round-1)%keys; (err == nil) != want {
				t.Fatalf("round %d: Load of key %d: %v", round, i, err)
			} else if err != nil {
				rec = &auth.Record{}
			} else if rec.Issuer != key(i).Subject {
				t.Fatalf("round %d: key %d has the record of %q", round, i, rec.Issuer)
			}
			rec.Issuer = key(i).Subject
			generation, err := s.Save(t.Context(), key(i), rec)
			if err != nil {
				t.Fatal(err)
			}
			if i == gone {
				if err := s.Delete(t.Context(), key(i), generation); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, unlock := range unlocks {
			unlock()
		}
	}
}
