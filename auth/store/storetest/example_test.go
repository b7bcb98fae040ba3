package storetest_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/mcptokens/mcptokens/auth"
)

// mapStore is a whole store, on a map where yours has a database. That it
// keeps the contract takes a test of one line:
//
//	storetest.Run(t, func(*testing.T) auth.Store { return &mapStore{values: map[string][]byte{}} })
type mapStore struct {
	mu     sync.Mutex
	last   uint64 // generation, of all keys: they rise also after a delete
	values map[string][]byte
	locks  sync.Map // a channel of one place for each key
}

func (s *mapStore) Load(_ context.Context, key auth.Key) (*auth.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.get(key)
}

func (s *mapStore) get(key auth.Key) (*auth.Record, error) {
	value, ok := s.values[key.ID()]
	if !ok {
		return nil, auth.ErrNotFound
	}
	_, r, err := auth.DecodeRecord(value)
	return r, err
}

func (s *mapStore) Save(_ context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch old, err := s.get(key); {
	case err == nil && old.Generation != r.Generation, err == auth.ErrNotFound && r.Generation != 0:
		return 0, auth.ErrConflict
	case err != nil && err != auth.ErrNotFound:
		return 0, err // of a newer version, or corrupt: not to be overwritten
	}
	s.last++
	next := *r
	next.Generation = s.last
	value, err := auth.EncodeRecord(key, &next)
	if err != nil {
		return 0, err
	}
	s.values[key.ID()] = value
	return next.Generation, nil
}

func (s *mapStore) Delete(_ context.Context, key auth.Key, generation uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, err := s.get(key); err == nil && old.Generation != generation {
		return auth.ErrConflict
	} else if err != nil && err != auth.ErrNotFound {
		return err
	}
	delete(s.values, key.ID())
	return nil
}

func (s *mapStore) Lock(ctx context.Context, key auth.Key) (func(), error) {
	lock, _ := s.locks.LoadOrStore(key, make(chan struct{}, 1))
	select {
	case lock.(chan struct{}) <- struct{}{}:
		return func() { <-lock.(chan struct{}) }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A store of one's own: four methods, and encoding and keys are done already.
func Example() {
	var store auth.Store = &mapStore{values: map[string][]byte{}}
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
