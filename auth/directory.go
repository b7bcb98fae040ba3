package auth

import (
	"context"
	"sync"
	"time"

	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// How old metadata may be. Who begins an authorization looks for a resource that
// may have moved; who refreshes goes to the server that issued the token, which
// tells by 404 when its endpoints have moved.
// What a table says about a move is looked at again, unless it is new.
const (
	freshMetadata  = time.Minute
	serverMetadata = time.Hour
	moveMetadata   = 5 * time.Second
)

// directory holds what was discovered for all managers of one configuration, so
// that a hundred thousand users of one resource ask for its metadata once and
// keep one copy. The zero value is ready.
type directory struct {
	resources listings[listedResource, *discovery.ProtectedResource]
	servers   listings[listedServer, *Server]

	mu    sync.Mutex
	count uint32 // of requests so far
	homes map[string]*httpx.Home
}

// home is the network of a resource, or what is known of it.
func (d *directory) home(resource string) *httpx.Home {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.homes[resource]
	if h == nil {
		if d.homes == nil || len(d.homes) >= maxListings { // they are found out anew
			d.homes = make(map[string]*httpx.Home)
		}
		h = &httpx.Home{URL: resource}
		d.homes[resource] = h
	}
	return h
}

// listedResource is a resource and where a challenge said that its metadata are.
type listedResource struct{ resource, metadata string }

// listedServer is an issuer, or the resource that is its own server. What was
// found in a private network is not for those whom a resource on the Internet
// sends there.
type listedServer struct {
	issuer, legacy string
	guarded        bool
}

// now returns a point in time: what was requested later has a higher number.
func (d *directory) now() uint32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count
}

func (d *directory) next() uint32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count++
	return d.count
}

// wanted says which metadata will do: not older than age, and requested after
// since, a result of [directory.now].
type wanted struct {
	age   time.Duration
	since uint32
}

// maxListings bounds each of the tables below: the addresses in challenges are
// other people's.
const maxListings = 256

// listings is a table of what is known, and of requests under way.
type listings[K comparable, V any] struct {
	mu    sync.Mutex
	table map[K]*listing[V]
}

type listing[V any] struct {
	number uint32
	at     time.Time
	done   chan struct{}

	// To be read once done is closed.
	value V
	err   error
	left  bool // who asked left before there was an answer
}

func (l *listing[V]) serves(w wanted) bool {
	age := wallNow().Sub(l.at)
	return l.err == nil && l.number > w.since && 0 <= age && age < w.age
}

// known returns what is in the table.
func (t *listings[K, V]) known(key K, w wanted) (v V, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.table[key]; l != nil && isClosed(l.done) && l.serves(w) {
		return l.value, true
	}
	return v, false
}

// get returns what is in the table, or else asks for it. Callers that want the
// same thing wait for the first of them; when that one leaves, the next asks.
func (t *listings[K, V]) get(ctx context.Context, d *directory, key K, w wanted, ask func(ctx context.Context) (V, error)) (none V, err error) {
	for {
		t.mu.Lock()
		l := t.table[key]
		if l == nil || isClosed(l.done) {
			if l != nil && l.serves(w) {
				t.mu.Unlock()
				return l.value, nil
			}
			next := &listing[V]{number: d.next(), at: wallNow(), done: make(chan struct{})}
			t.put(key, next)
			t.mu.Unlock()
			next.value, next.err = ask(ctx)
			next.left = ctx.Err() != nil
			if next.err != nil {
				t.restore(key, next, l)
			}
			close(next.done)
			return next.value, next.err
		}
		t.mu.Unlock()
		select {
		case <-l.done:
		case <-ctx.Done():
			return none, ctx.Err()
		}
		if l.number > w.since && !l.left {
			return l.value, l.err
		}
	}
}

// put adds l in the place of what the table has for key, and of others if it is
// full. The caller holds t.mu.
func (t *listings[K, V]) put(key K, l *listing[V]) {
	if t.table == nil {
		t.table = make(map[K]*listing[V])
	}
	for k, old := range t.table {
		if len(t.table) < maxListings {
			break
		}
		if isClosed(old.done) {
			delete(t.table, k)
		}
	}
	t.table[key] = l
}

// restore puts what was known back in the place of a request that failed.
func (t *listings[K, V]) restore(key K, failed, before *listing[V]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.table[key] != failed {
		return
	}
	if before == nil {
		delete(t.table, key)
		return
	}
	t.table[key] = before
}

// forget makes the next caller ask.
func (t *listings[K, V]) forget(key K) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.table[key]; l != nil && isClosed(l.done) {
		delete(t.table, key)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
