package auth

import (
	"bytes"
	"context"
	"slices"
	"sync"
)

// MemoryStore is a [Store] that forgets everything with the process. The zero
// value is ready; several managers may share one.
type MemoryStore struct {
	mu      sync.Mutex
	saves   uint64 // of all keys: the newest generation
	records map[Key]*Record
	locks   map[Key]chan struct{}
}

// Load implements [Store].
func (s *MemoryStore) Load(_ context.Context, key Key) (*Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.records[key]
	if !ok {
		return nil, ErrNotFound
	}
	return own(r), nil
}

// Save implements [Store].
func (s *MemoryStore) Save(_ context.Context, key Key, r *Record) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var have uint64
	if old, ok := s.records[key]; ok {
		have = old.Generation
	}
	if have != r.Generation {
		return 0, ErrConflict
	}
	if s.records == nil {
		s.records = make(map[Key]*Record)
	}
	// Counted for all keys together, generations rise also where a record was
	// deleted, without a trace of it.
	s.saves++
	c := own(r)
	c.Generation = s.saves
	s.records[key] = c
	return c.Generation, nil
}

// Delete implements [Store].
func (s *MemoryStore) Delete(_ context.Context, key Key, generation uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.records[key]; ok {
		if old.Generation != generation {
			return ErrConflict
		}
		delete(s.records, key)
	}
	return nil
}

// own returns a copy of r that shares nothing with it.
func own(r *Record) *Record {
	c := r.clone()
	c.ProofKey = bytes.Clone(c.ProofKey)
	for i, l := range c.StepUps {
		c.StepUps[i].Scopes = slices.Clone(l.Scopes)
	}
	if c.Registration != nil {
		c.Registration.RedirectURIs = slices.Clone(c.Registration.RedirectURIs)
	}
	return c
}

// Lock implements [Store].
func (s *MemoryStore) Lock(ctx context.Context, key Key) (func(), error) {
	for {
		s.mu.Lock()
		held, ok := s.locks[key]
		if !ok {
			if s.locks == nil {
				s.locks = make(map[Key]chan struct{})
			}
			mine := make(chan struct{})
			s.locks[key] = mine
			s.mu.Unlock()
			return func() {
				s.mu.Lock()
				delete(s.locks, key)
				s.mu.Unlock()
				close(mine)
			}, nil
		}
		s.mu.Unlock()
		select {
		case <-held:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
