package finder

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// maxEntries bounds each table, and maxOwned what one resource has in it: servers choose the
// addresses in challenges and documents, and their choice must not push out what is known of
// others.
const (
	maxEntries = 256
	maxOwned   = 16
)

// shared is the owner of what more than one resource asked for.
const shared = ""

// address is what the keys of both tables are made of. That it is the same has the
// compiler make the code of a table once.
type address = struct {
	of, at  string
	guarded bool
}

// wanted says which entry will do: younger than age, and asked for after since, a result of
// [Finder.Now].
type wanted struct {
	age   time.Duration
	since uint32
}

// table holds what is known, and the requests under way.
type table[K comparable, V any] struct {
	clock   *atomic.Uint32 // counts the requests of all tables of a finder
	mu      sync.Mutex
	entries map[K]*entry[V]
}

type entry[V any] struct {
	owner  string // the resource that led here
	number uint32
	at     time.Time
	done   chan struct{}

	// To be read once done is closed.
	value V
	err   error
	left  bool // the caller that asked left before there was an answer
}

func (e *entry[V]) serves(w wanted) bool {
	age := wallNow().Sub(e.at)
	return e.err == nil && e.number > w.since && 0 <= age && age < w.age
}

// usedBy takes note that a resource asked for the entry. The caller holds the table's lock.
func (e *entry[V]) usedBy(owner string) {
	if e.owner != owner {
		e.owner = shared
	}
}

// known returns what the table has, for the resource owner.
func (t *table[K, V]) known(owner string, key K, w wanted) (v V, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.entries[key]; e != nil && isClosed(e.done) && e.serves(w) {
		e.usedBy(owner)
		return e.value, true
	}
	return v, false
}

// newest returns the newest value whose key matches, however old it is.
func (t *table[K, V]) newest(match func(K) bool) (v V, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var number uint32
	for key, e := range t.entries {
		if match(key) && isClosed(e.done) && e.err == nil && e.number > number {
			number, v, ok = e.number, e.value, true
		}
	}
	return v, ok
}

// get returns what the table has, or else asks for it, for the resource owner. Callers that
// want the same thing wait for the first of them; when that one's context ends, the next asks.
func (t *table[K, V]) get(ctx context.Context, owner string, key K, w wanted, ask func(context.Context) (V, error)) (none V, err error) {
	for {
		t.mu.Lock()
		e := t.entries[key]
		if e != nil {
			e.usedBy(owner)
		}
		if e == nil || isClosed(e.done) {
			if e != nil && e.serves(w) {
				t.mu.Unlock()
				return e.value, nil
			}
			next := &entry[V]{owner: owner, number: t.clock.Add(1), at: wallNow(), done: make(chan struct{})}
			if e != nil {
				next.owner = e.owner
			}
			t.put(key, next)
			t.mu.Unlock()
			return t.ask(ctx, key, next, e, ask)
		}
		t.mu.Unlock()
		select {
		case <-e.done:
		case <-ctx.Done():
			return none, ctx.Err()
		}
		if e.number > w.since && !e.left {
			return e.value, e.err
		}
	}
}

// ask fills next, which took the place of before.
func (t *table[K, V]) ask(ctx context.Context, key K, next, before *entry[V], ask func(context.Context) (V, error)) (V, error) {
	answered := false
	defer func() { // also when ask panics: those who wait must not wait forever
		next.left = !answered || next.err != nil && ctx.Err() != nil
		if !answered || next.err != nil {
			t.restore(key, next, before)
		}
		close(next.done)
	}()
	next.value, next.err = ask(ctx)
	answered = true
	return next.value, next.err
}

// put replaces what the table has for key with e. The caller holds t.mu.
func (t *table[K, V]) put(key K, e *entry[V]) {
	if t.entries == nil {
		t.entries = make(map[K]*entry[V])
	}
	if _, replaced := t.entries[key]; !replaced {
		t.makeRoom(e.owner)
	}
	t.entries[key] = e
}

// makeRoom removes the oldest entry of owner if that has its share, or in a table that is full.
// Only for its first entry in a full table another gives way: the oldest of whoever has most.
// The caller holds t.mu.
func (t *table[K, V]) makeRoom(owner string) {
	owned := make(map[string]int)
	for _, e := range t.entries {
		owned[e.owner]++
	}
	full := len(t.entries) >= maxEntries
	most := owner
	if full && owned[owner] == 0 {
		for other, n := range owned {
			if n > owned[most] {
				most = other
			}
		}
	}
	if full || owned[owner] >= maxOwned {
		t.removeOldest(most)
	}
}

// removeOldest removes the oldest entry of owner that nobody waits for. The caller holds t.mu.
func (t *table[K, V]) removeOldest(owner string) {
	var oldest *entry[V]
	var at K
	for k, e := range t.entries {
		if e.owner == owner && isClosed(e.done) && (oldest == nil || e.number < oldest.number) {
			oldest, at = e, k
		}
	}
	if oldest != nil {
		delete(t.entries, at)
	}
}

// restore puts back what was known before a request that failed.
func (t *table[K, V]) restore(key K, failed, before *entry[V]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.entries[key] != failed {
		return
	}
	if before == nil {
		delete(t.entries, key)
		return
	}
	t.entries[key] = before
}

// forget makes the next caller ask for the values that match.
func (t *table[K, V]) forget(match func(V) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, e := range t.entries {
		if isClosed(e.done) && match(e.value) {
			delete(t.entries, k)
		}
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

// wallNow is the time without its monotonic part, which stops while a laptop sleeps.
func wallNow() time.Time { return time.Now().Round(0) }
