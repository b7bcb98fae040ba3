package storetest_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store"
)

// mapStore is a whole store, on a map where yours has a table. That it keeps
// the contract takes a test of one line:
//
//	storetest.Run(t, func(*testing.T) auth.Store { return &mapStore{rows: map[auth.Key]row{}} })
type mapStore struct {
	locks auth.MemoryStore // only its locks are used; processes that share a table need others
	mu    sync.Mutex
	last  uint64 // generation, of all keys: they rise also after a delete
	rows  map[auth.Key]row
}

type row struct {
	generation uint64
	value      []byte
}

func (s *mapStore) Load(_ context.Context, key auth.Key) (*auth.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.rows[key]; ok {
		_, record, err := store.Decode(r.value)
		return record, err
	}
	return nil, auth.ErrNotFound
}

func (s *mapStore) Save(_ context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := *r
	next.Generation = s.last + 1
	value, err := store.Encode(key, &next)
	if err == nil && s.rows[key].generation != r.Generation {
		err = auth.ErrConflict
	}
	if err == nil {
		s.last, s.rows[key] = next.Generation, row{next.Generation, value}
	}
	return next.Generation, err
}

func (s *mapStore) Delete(_ context.Context, key auth.Key, generation uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.rows[key]; ok && r.generation != generation {
		return auth.ErrConflict
	}
	delete(s.rows, key)
	return nil
}

func (s *mapStore) Lock(ctx context.Context, key auth.Key) (func(), error) {
	return s.locks.Lock(ctx, key)
}

// A store of your own: four methods, and encoding and keys are done already.
func Example() {
	var store auth.Store = &mapStore{rows: map[auth.Key]row{}}
	ctx := context.Background()
	key := auth.Key{Resource: "https://mcp.example/mcp", Subject: "alice"}

	generation, _ := store.Save(ctx, key, &auth.Record{Token: &auth.Token{AccessToken: "secret"}})
	loaded, _ := store.Load(ctx, key)
	fmt.Println(loaded.Generation == generation, loaded.Token)

	_, err := store.Save(ctx, key, &auth.Record{}) // as if nobody had saved before
	fmt.Println(err)
	// Output:
	// true auth.Token{Bearer}
	// auth: record changed meanwhile
}
