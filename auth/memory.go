package auth

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"
)

// MemoryStore is a [Store] that forgets everything with the process. The zero
// value is ready; several managers may share one, and hear of each other's logins
// and logouts at once.
type MemoryStore struct {
	mu   sync.Mutex
	last uint64 // the highest generation of all keys
	// pooled: it is a pool's own, where a key has one manager, who needs no hints.
	pooled bool
	// first holds one key without a map: the store of a single manager rarely
	// has another.
	firstKey Key
	first    memoryEntry
	// others are by key without a subject, and by subject: what many users of
	// one resource have in common is there once.
	others map[Key]map[string]memoryEntry
}

// Format makes every fmt verb print the store without its subjects.
func (s *MemoryStore) Format(f fmt.State, _ rune) { redact(f, "auth.MemoryStore{}") }

// Held implements [Leaser].
func (s *MemoryStore) Held(key Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at(key).lock != nil
}

// memoryEntry is what there is for a key: a record, a lock that is held, or
// both.
type memoryEntry struct {
	rec   *Record
	lock  *memoryLock // nil: it is free
	saved int64       // of rec: Unix time in nanoseconds
	watch *memoryWatch
}

// memoryWatch is one who wants to hear of changes.
type memoryWatch struct {
	next  *memoryWatch
	calls sync.WaitGroup // what stop waits for

	mu      sync.Mutex // guards the rest; not held during a call
	changed func()     // nil: no more
	busy    bool       // changed is being called
	again   bool       // there was another change meanwhile
}

// tell has those called who watch a key, but for the one who made the change.
func (w *memoryWatch) tell(by *memoryWatch) {
	for ; w != nil; w = w.next {
		if w != by {
			w.hear()
		}
	}
}

func (w *memoryWatch) hear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.changed == nil:
	case w.busy:
		w.again = true
	default:
		w.busy = true
		w.calls.Go(w.call)
	}
}

func (w *memoryWatch) call() {
	for {
		w.mu.Lock()
		changed := w.changed
		w.mu.Unlock()
		if changed != nil {
			changed()
		}
		w.mu.Lock()
		if !w.again || w.changed == nil {
			w.busy = false
			w.mu.Unlock()
			return
		}
		w.again = false
		w.mu.Unlock()
	}
}

// Watch implements [Watcher].
func (s *MemoryStore) Watch(key Key, changed func()) (stop func()) {
	w := s.watch(key, changed)
	return func() { s.unwatch(key, w) }
}

func (s *MemoryStore) watch(key Key, changed func()) *memoryWatch {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.at(key)
	w := &memoryWatch{changed: changed, next: e.watch}
	e.watch = w
	s.put(key, e)
	return w
}

// unwatch leaves w's next as it is: a call may be on its way along the list.
func (s *MemoryStore) unwatch(key Key, w *memoryWatch) {
	s.mu.Lock()
	e := s.at(key)
	for at := &e.watch; *at != nil; at = &(*at).next {
		if *at == w {
			*at = w.next
			break
		}
	}
	s.put(key, e)
	s.mu.Unlock()
	w.mu.Lock()
	w.changed = nil
	w.mu.Unlock()
	w.calls.Wait()
}

// memoryLock is a lock that is held.
type memoryLock struct {
	freed chan struct{} // closed by unlock
}

// uncontended is the lock that nobody waits for. It is never changed.
var uncontended memoryLock

// at returns what there is for key. The caller holds s.mu.
func (s *MemoryStore) at(key Key) memoryEntry {
	if s.firstKey == key {
		return s.first
	}
	subject := key.Subject
	key.Subject = ""
	return s.others[key][subject]
}

// put makes e what there is for key. The caller holds s.mu.
func (s *MemoryStore) put(key Key, e memoryEntry) {
	group := key
	group.Subject = ""
	_, other := s.others[group][key.Subject]
	switch {
	case s.firstKey == key, s.first == memoryEntry{} && !other:
		s.firstKey, s.first = key, e
	case e == memoryEntry{}:
		delete(s.others[group], key.Subject)
		if len(s.others[group]) == 0 {
			delete(s.others, group)
		}
	default:
		if s.others == nil {
			s.others = make(map[Key]map[string]memoryEntry)
		}
		if s.others[group] == nil {
			s.others[group] = make(map[string]memoryEntry)
		}
		s.others[group][key.Subject] = e
	}
}

// Load implements [Store].
func (s *MemoryStore) Load(_ context.Context, key Key) (*Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.at(key)
	if e.rec == nil {
		return nil, ErrNotFound
	}
	return own(e.rec), nil
}

// Save implements [Store].
func (s *MemoryStore) Save(_ context.Context, key Key, r *Record) (uint64, error) {
	return s.keep(key, own(r), nil)
}

// keep is Save for a record that does not change any more: it is stored without
// a copy, and its Generation is set. by hears nothing of it.
func (s *MemoryStore) keep(key Key, r *Record, by *memoryWatch) (uint64, error) {
	generation, watch, err := s.replace(key, r)
	watch.tell(by)
	return generation, err
}

func (s *MemoryStore) replace(key Key, r *Record) (uint64, *memoryWatch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.at(key)
	var have uint64
	if e.rec != nil {
		have = e.rec.Generation
	}
	if have != r.Generation {
		return 0, nil, ErrConflict
	}
	// A first record starts above those of all keys, so generations rise also
	// where a record was deleted, without a trace of it.
	if have == 0 {
		have = s.last
	}
	r.Generation = have + 1
	s.last = max(s.last, r.Generation)
	e.rec, e.saved = r, time.Now().UnixNano()
	s.put(key, e)
	return r.Generation, e.watch, nil
}

// Delete implements [Store].
func (s *MemoryStore) Delete(_ context.Context, key Key, generation uint64) error {
	watch, err := s.remove(key, generation)
	watch.tell(nil)
	return err
}

func (s *MemoryStore) remove(key Key, generation uint64) (*memoryWatch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.at(key)
	switch {
	case e.rec == nil:
		return nil, nil
	case e.rec.Generation != generation:
		return nil, ErrConflict
	}
	e.rec, e.saved = nil, 0
	s.put(key, e)
	return e.watch, nil
}

// List implements [Lister].
func (s *MemoryStore) List(ctx context.Context) iter.Seq2[StoreEntry, error] {
	return func(yield func(StoreEntry, error) bool) {
		for _, e := range s.list() {
			if ctx.Err() != nil {
				yield(StoreEntry{}, ctx.Err())
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// list is what is stored now.
func (s *MemoryStore) list() (list []StoreEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	add := func(key Key, e memoryEntry) {
		if e.rec != nil {
			list = append(list, e.rec.Entry(key, time.Unix(0, e.saved)))
		}
	}
	add(s.firstKey, s.first)
	for key, group := range s.others {
		for key.Subject = range group {
			add(key, group[key.Subject])
		}
	}
	return list
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
		e := s.at(key)
		if e.lock == nil {
			e.lock = &uncontended
			s.put(key, e)
			s.mu.Unlock()
			return func() { s.unlock(key) }, nil
		}
		if e.lock == &uncontended {
			e.lock = &memoryLock{make(chan struct{})}
			s.put(key, e)
		}
		freed := e.lock.freed
		s.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *MemoryStore) unlock(key Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.at(key)
	freed := e.lock.freed
	e.lock = nil
	s.put(key, e)
	if freed != nil {
		close(freed)
	}
}
