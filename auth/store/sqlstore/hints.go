package sqlstore

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/mcptokens/mcptokens/auth"
)

// overlap is how much longer ago than the last look a change may have been that
// is looked for: what was saved then may have become visible since.
const overlap = 5 * time.Second

// hints is who wants to hear of what; Store.mu guards it.
type hints struct {
	polling   bool
	listeners map[string][]*listener // by ID
}

// listener is one of them. Its mutex is held while f runs.
type listener struct {
	mu   sync.Mutex
	f    func()
	done bool
}

// Watch implements [auth.Watcher]. changed is called by the one goroutine that
// serves all of a store's watchers, so it should return soon. It comes within
// the time of [WithPoll] and a query.
func (s *Store) Watch(key auth.Key, changed func()) (stop func()) {
	id, l := key.ID(), &listener{f: changed}
	s.mu.Lock()
	h := &s.hints
	if h.listeners == nil {
		h.listeners = make(map[string][]*listener)
	}
	h.listeners[id] = append(h.listeners[id], l)
	if !h.polling && !s.closed {
		h.polling = true
		s.wg.Go(s.look)
	}
	s.mu.Unlock()
	return func() {
		s.mu.Lock()
		rest := slices.DeleteFunc(slices.Clone(h.listeners[id]), func(o *listener) bool { return o == l })
		if h.listeners[id] = rest; len(rest) == 0 {
			delete(h.listeners, id)
		}
		s.mu.Unlock()
		l.mu.Lock()
		l.done = true
		l.mu.Unlock()
	}
}

// look tells listeners of changes until there are none, or the store is closed.
func (s *Store) look() {
	ticker := time.NewTicker(s.poll)
	defer ticker.Stop()
	looked, seen := time.Now(), map[string]int64{}
	for {
		select {
		case <-ticker.C:
		case <-s.closing:
			return
		}
		s.mu.Lock()
		if len(s.hints.listeners) == 0 {
			s.hints.polling = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		now := time.Now()
		// By the wall clock too: a laptop may have slept.
		ago := max(now.Sub(looked), now.Round(0).Sub(looked.Round(0))) + overlap
		changed, err := s.changed(ago)
		if err != nil {
			continue // from where it was, next time
		}
		for id, generation := range changed {
			if seen[id] != generation {
				s.tell(id)
			}
		}
		looked, seen = now, changed
	}
}

// changed returns the generations of what was saved or deleted since.
func (s *Store) changed(ago time.Duration) (map[string]int64, error) {
	ctx, cancel := context.WithTimeout(s.ended, max(10*s.poll, 5*time.Second))
	defer cancel()
	rows, err := s.db.QueryContext(ctx, s.sql.changed, ago.Milliseconds())
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	changed := make(map[string]int64)
	for rows.Next() {
		var id string
		var generation int64
		if err := rows.Scan(&id, &generation); err != nil {
			return nil, err
		}
		changed[id] = generation
	}
	return changed, rows.Err()
}

func (s *Store) tell(id string) {
	s.mu.Lock()
	listeners := s.hints.listeners[id]
	s.mu.Unlock()
	for _, l := range listeners {
		l.mu.Lock()
		if !l.done {
			l.f()
		}
		l.mu.Unlock()
	}
}
