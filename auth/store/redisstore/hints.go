package redisstore

import (
	"context"
	"slices"
	"sync"

	"github.com/mcptokens/mcptokens/auth"
)

// All stores on a server talk through one channel: a message is one of the
// hints below. A channel for each credential would need a subscription for each
// manager; this one carries a short message for each token request.
const hintChannel = "mcptokens:hints"

func savedHint(id string) string { return "saved " + id }
func freeHint(id string) string  { return "free " + id }

// hints is who wants to hear of what; Store.mu guards it.
type hints struct {
	subscribed bool
	listeners  map[string][]*listener
}

// listener is one of them. Its mutex is held while f runs.
type listener struct {
	mu   sync.Mutex
	f    func()
	done bool
}

// Watch implements [auth.Watcher]. changed is called by the one goroutine that
// serves all of a store's watchers, so it should return soon. After a lost
// connection go-redis subscribes again; what was said in between is missed.
func (s *Store) Watch(key auth.Key, changed func()) (stop func()) {
	return s.listen(savedHint(key.ID()), changed)
}

// listen has f called for each hint, until stop. The first listener makes the
// store subscribe.
func (s *Store) listen(hint string, f func()) (stop func()) {
	l := &listener{f: f}
	s.mu.Lock()
	h := &s.hints
	if h.listeners == nil {
		h.listeners = make(map[string][]*listener)
	}
	h.listeners[hint] = append(h.listeners[hint], l)
	subscribe := !h.subscribed
	h.subscribed = true
	s.mu.Unlock()
	if subscribe {
		s.start(s.hear)
	}
	return func() {
		s.mu.Lock()
		rest := slices.DeleteFunc(slices.Clone(h.listeners[hint]), func(o *listener) bool { return o == l })
		if h.listeners[hint] = rest; len(rest) == 0 {
			delete(h.listeners, hint)
		}
		s.mu.Unlock()
		l.mu.Lock()
		l.done = true
		l.mu.Unlock()
	}
}

// hear passes hints on until the store, or the client, is closed.
func (s *Store) hear() {
	subscription := s.client.Subscribe(context.Background(), hintChannel)
	defer subscription.Close()
	messages := subscription.Channel()
	for {
		select {
		case m, ok := <-messages:
			if !ok {
				return
			}
			s.tell(m.Payload)
		case <-s.closing:
			_ = subscription.Close()
			for range messages { // until go-redis is done with it
			}
			return
		}
	}
}

func (s *Store) tell(hint string) {
	s.mu.Lock()
	listeners := s.hints.listeners[hint]
	s.mu.Unlock()
	for _, l := range listeners {
		l.mu.Lock()
		if !l.done {
			l.f()
		}
		l.mu.Unlock()
	}
}
