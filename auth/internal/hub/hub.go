// Package hub hands events to subscribers that may be slow.
package hub

import "sync"

// buffer is how many events wait for a slow subscriber before the oldest
// is dropped in favour of the newest.
const buffer = 16

// buffered is how many events wait for a subscriber of h.
func (h *Hub[T]) buffered() int {
	if h.Size > 0 {
		return h.Size
	}
	return buffer
}

// Hub hands events to subscribers. Its lock is held for channel operations
// that cannot block. Few managers have subscribers, so it is small without.
type Hub[T any] struct {
	// Size is how many events wait for a slow subscriber; 0: 16.
	Size int

	mu     sync.Mutex
	subs   map[chan T]struct{} // nil: none
	closed bool
}

// Subscribe returns a channel of events, and a function that ends the
// subscription and closes the channel.
func (h *Hub[T]) Subscribe() (<-chan T, func()) {
	ch := make(chan T, h.buffered())
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		close(ch)
		return ch, func() {}
	}
	if h.subs == nil {
		h.subs = make(map[chan T]struct{}, 1)
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

// Publish never waits: a subscriber whose buffer is full loses its oldest
// event.
func (h *Hub[T]) Publish(e T) {
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

// Close closes all channels.
func (h *Hub[T]) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for ch := range h.subs {
		close(ch)
	}
	h.subs, h.closed = nil, true
}
