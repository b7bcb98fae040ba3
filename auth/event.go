package auth

import (
	"sync"
	"time"
)

// EventType says what happened to the token.
type EventType string

// The events.
const (
	EventTokenUpdated            EventType = "token_updated"            // a new token is in use
	EventRefreshFailed           EventType = "refresh_failed"           // a refresh gave up; Err says why and when the next is due
	EventReauthorizationRequired EventType = "reauthorization_required" // only a new authorization helps
	EventSaveFailed              EventType = "save_failed"              // the token is in use but not stored; saving is retried
	EventSaved                   EventType = "saved"                    // the token that could not be stored now is
	EventForgotten               EventType = "forgotten"                // Revoke: there is no token any more
)

// Event is told to subscribers. It holds no secret: call [Manager.Token] for
// the token itself.
type Event struct {
	Type   EventType
	Time   time.Time
	Expiry time.Time
	Scopes []string
	Err    error
}

// eventBuffer is how many events wait for a slow subscriber before the oldest
// is dropped in favour of the newest.
const eventBuffer = 16

// hub hands events to subscribers. Its lock is held for channel operations
// that cannot block.
type hub struct {
	mu     sync.Mutex
	subs   map[chan Event]struct{}
	closed bool
}

func (h *hub) subscribe() (<-chan Event, func()) {
	ch := make(chan Event, eventBuffer)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		close(ch)
		return ch, func() {}
	}
	if h.subs == nil {
		h.subs = make(map[chan Event]struct{})
	}
	h.subs[ch] = struct{}{}
	return ch, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if _, ok := h.subs[ch]; ok {
			delete(h.subs, ch)
			close(ch)
		}
	}
}

// publish never waits: a subscriber whose buffer is full loses its oldest
// event.
func (h *hub) publish(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for ch := range h.subs {
		for sent := false; !sent; {
			select {
			case ch <- e:
				sent = true
			default:
				select {
				case <-ch:
				default:
				}
			}
		}
	}
}

func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for ch := range h.subs {
		close(ch)
	}
	h.subs = nil
}
