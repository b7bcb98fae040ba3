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
	mu    sync.Mutex
	saves uint64 // of all keys: the newest generation
	// first holds one key without a map: the store of a single manager has
	// hardly ever another.
	first  memoryEntry
	others map[Key]*memoryEntry
}

// memoryEntry is what there is for a key: a record, a lock that is held, or
// both.
type memoryEntry struct {
	key    Key
	rec    *Record
	locked bool
	freed  chan struct{} // closed by unlock; nil while nobody waits
}

func (e *memoryEntry) empty() bool { return e.rec == nil && !e.locked }

// entry returns what there is for key, or makes an entry for it if add, else
// nil. The caller holds s.mu.
func (s *MemoryStore) entry(key Key, add bool) *memoryEntry {
	if !s.first.empty() && s.first.key == key {
		return &s.first
	}
	e := s.others[key]
	if e != nil || !add {
		return e
	}
	if s.first.empty() {
		s.first.key = key
		return &s.first
	}
	if s.others == nil {
		s.others = make(map[Key]*memoryEntry)
	}
	e = &memoryEntry{key: key}
	s.others[key] = e
	return e
}

// tidy forgets an entry that is empty; the caller holds s.mu.
func (s *MemoryStore) tidy(e *memoryEntry) {
	if e.empty() && e != &s.first {
		delete(s.others, e.key)
	}
}

// Load implements [Store].
func (s *MemoryStore) Load(_ context.Context, key Key) (*Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entry(key, false)
	if e == nil || e.rec == nil {
		return nil, ErrNotFound
	}
	return own(e.rec), nil
}

// Save implements [Store].
func (s *MemoryStore) Save(_ context.Context, key Key, r *Record) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entry(key, true)
	var have uint64
	if e.rec != nil {
		have = e.rec.Generation
	}
	if have != r.Generation {
		s.tidy(e)
		return 0, ErrConflict
	}
	// Counted for all keys together, generations rise also where a record was
	// deleted, without a trace of it.
	s.saves++
	e.rec = own(r)
	e.rec.Generation = s.saves
	return s.saves, nil
}

// Delete implements [Store].
func (s *MemoryStore) Delete(_ context.Context, key Key, generation uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entry(key, false)
	if e == nil || e.rec == nil {
		return nil
	}
	if e.rec.Generation != generation {
		return ErrConflict
	}
	e.rec = nil
	s.tidy(e)
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
		e := s.entry(key, true)
		if !e.locked {
			e.locked = true
			s.mu.Unlock()
			return func() { s.unlock(e) }, nil
		}
		if e.freed == nil {
			e.freed = make(chan struct{})
		}
		freed := e.freed
		s.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *MemoryStore) unlock(e *memoryEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.locked = false
	if e.freed != nil {
		close(e.freed)
		e.freed = nil
	}
	s.tidy(e)
}
