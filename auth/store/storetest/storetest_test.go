package storetest

import (
	"context"
	"sync"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
)

func TestMemoryStore(t *testing.T) {
	Run(t, func(*testing.T) auth.Store { return new(auth.MemoryStore) })
}

// TestTwoViews: the suite with two views of one store, and with the optional
// abilities.
func TestTwoViews(t *testing.T) {
	Suite{
		Open: func(*testing.T) auth.Store { return newWatched() },
		Reopen: func(_ *testing.T, s auth.Store) auth.Store {
			return &broken{watched: s.(*watched)}
		},
	}.Run(t)
}

// watched is a MemoryStore with the optional abilities.
type watched struct {
	*auth.MemoryStore
	done context.Context // ends the locks that nobody lets go
	end  context.CancelFunc

	mu       sync.Mutex
	count    map[auth.Key]uint64 // for offenders
	watchers map[*watcher]struct{}
}

func newWatched() *watched {
	w := &watched{MemoryStore: new(auth.MemoryStore), count: make(map[auth.Key]uint64), watchers: make(map[*watcher]struct{})}
	w.done, w.end = context.WithCancel(context.Background())
	return w
}

// release ends every wait for a lock and every watch.
func (s *watched) release() {
	s.end()
	s.mu.Lock()
	all := s.watchers
	s.watchers = make(map[*watcher]struct{})
	s.mu.Unlock()
	for w := range all {
		w.stop()
	}
}

func (s *watched) Lock(ctx context.Context, key auth.Key) (func(), error) {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.done, cancel)()
	return s.MemoryStore.Lock(waiting, key)
}

func (s *watched) Save(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	g, err := s.MemoryStore.Save(ctx, key, r)
	s.notify(key)
	return g, err
}

func (s *watched) Delete(ctx context.Context, key auth.Key, g uint64) error {
	err := s.MemoryStore.Delete(ctx, key, g)
	s.notify(key)
	return err
}

// Probe implements [auth.Prober].
func (s *watched) Probe(context.Context, auth.Key) error { return nil }

// watcher calls changed from a goroutine of its own.
type watcher struct {
	key    auth.Key
	signal chan struct{}
	ended  chan struct{}
	once   sync.Once
}

func (w *watcher) stop() {
	w.once.Do(func() { close(w.signal) })
	<-w.ended
}

func (s *watched) notify(key auth.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.watchers {
		if w.key == key {
			select {
			case w.signal <- struct{}{}:
			default:
			}
		}
	}
}

// Watch implements [auth.Watcher].
func (s *watched) Watch(key auth.Key, changed func()) func() {
	w := &watcher{key: key, signal: make(chan struct{}, 1), ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		for range w.signal {
			changed()
		}
	}()
	s.mu.Lock()
	s.watchers[w] = struct{}{}
	s.mu.Unlock()
	return func() {
		s.mu.Lock()
		delete(s.watchers, w)
		s.mu.Unlock()
		w.stop()
	}
}
