// Package standing keeps what this process has seen of the clients that were
// registered on demand: which of them a server knows for certain, and which it may
// have forgotten. It is only memory. After a restart nothing is certain, and a
// client is looked at once before a person is asked to log in with it.
package standing

import (
	"sync"
	"time"
)

const (
	// lasts is how long a server is believed to know a client that it knew. Those
	// that forget clients do so after hours or at a restart.
	lasts = time.Hour
	// confirms is how soon a second refusal has to follow the first to confirm it.
	confirms = time.Minute
	// most bounds the memory. A client that is pushed out is looked at once more.
	most = 1024
)

// Book is what is known. The zero value knows nothing. It may be used by many
// goroutines.
type Book struct {
	mu      sync.Mutex
	clients map[string]*client // by issuer and client ID
}

type client struct {
	known   time.Time // when the server knew it last
	refused time.Time // when it refused the client first, and has not accepted it since
	vain    time.Time // when it refused a registration that was moments old
}

// Known notes that the server knows the client: it registered it, or accepted
// it.
func (b *Book) Known(issuer, id string, now time.Time) {
	b.with(issuer, id, func(c *client) { c.known, c.refused = now, time.Time{} })
}

// Doubt notes that something went wrong which a forgotten client would explain.
func (b *Book) Doubt(issuer, id string) {
	b.with(issuer, id, func(c *client) { c.known = time.Time{} })
}

// Certain reports whether the server knew the client a short time ago.
func (b *Book) Certain(issuer, id string, now time.Time) (certain bool) {
	b.with(issuer, id, func(c *client) { certain = within(c.known, now, lasts) })
	return certain
}

// Refused notes that the server refused the client. It reports whether that is
// certain: servers have refused a good client once, while they started or their
// replicas were not in step.
func (b *Book) Refused(issuer, id string, now time.Time) (confirmed bool) {
	b.with(issuer, id, func(c *client) {
		if confirmed = within(c.refused, now, confirms); !confirmed {
			c.refused = now
		}
	})
	return confirmed
}

// InVain notes that the server refused a client that it had just registered:
// registering again does not help.
func (b *Book) InVain(issuer, id string, now time.Time) {
	b.with(issuer, id, func(c *client) { c.vain = now })
}

// Hopeless reports whether registering again was of no use a short time ago.
func (b *Book) Hopeless(issuer, id string, now time.Time) (hopeless bool) {
	b.with(issuer, id, func(c *client) { hopeless = within(c.vain, now, lasts) })
	return hopeless
}

// with calls f for a client under the lock.
func (b *Book) with(issuer, id string, f func(*client)) {
	key := issuer + " " + id
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.clients[key]
	if c == nil {
		if b.clients == nil || len(b.clients) >= most {
			b.clients = make(map[string]*client)
		}
		c = new(client)
		b.clients[key] = c
	}
	f(c)
}

// within reports whether at is set and no longer before now than d, by a clock
// that may have been set back.
func within(at, now time.Time, d time.Duration) bool {
	return !at.IsZero() && !now.After(at.Add(d)) && !at.After(now.Add(d))
}
