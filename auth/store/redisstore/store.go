package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store"
	"github.com/mcptokens/mcptokens/auth/store/internal/lease"
)

// defaultTTL is that of [WithTTL].
const defaultTTL = 90 * 24 * time.Hour

// Store is an [auth.Store], [auth.Watcher], [auth.Lister] and [auth.Leaser]. It is no [auth.Prober]: taking
// the lock writes to Redis, so a server that takes no writes is found out by
// that.
type Store struct {
	client redis.UniversalClient
	ttl    time.Duration
	lease  time.Duration

	locks *lease.Locks

	closing chan struct{}
	wg      sync.WaitGroup // calls under way, leases held, the subscription

	mu     sync.Mutex
	closed bool
	hints  hints
}

var (
	_ auth.Store   = (*Store)(nil)
	_ auth.Watcher = (*Store)(nil)
	_ auth.Lister  = (*Store)(nil)
	_ auth.Leaser  = (*Store)(nil)
)

// Option changes a default of [New].
type Option func(*Store)

// WithTTL sets how long a record stays after it was last saved. It should
// exceed the life of a refresh token that is not used. Default: 90 days; also
// for 0 and less.
func WithTTL(d time.Duration) Option { return func(s *Store) { s.ttl = orDefault(d, defaultTTL) } }

// WithLease sets after how long others may refresh instead of a process that
// died during its refresh, was suspended for longer, or cannot reach Redis. The
// lease of a process that lives is renewed every third of this time, so it has
// to be several times longer than Redis takes to answer at its worst. Default:
// 5 s; also for 0 and less.
func WithLease(d time.Duration) Option {
	return func(s *Store) { s.lease = orDefault(d, lease.Default) }
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

// New returns a store on client. It sends nothing yet.
func New(client redis.UniversalClient, opts ...Option) *Store {
	s := &Store{client: client, ttl: defaultTTL, lease: lease.Default, closing: make(chan struct{})}
	for _, o := range opts {
		o(s)
	}
	s.locks = lease.New(lease.Config{Server: server{s}, Time: s.lease, Go: s.start, Closing: s.closing, ErrClosed: ErrClosed})
	return s
}

// Close ends the subscription, and the renewal of locks that are still held,
// and waits for calls under way. Close the managers first, and the client last.
func (s *Store) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.mu.Unlock()
	s.wg.Wait()
	return nil
}

// Load implements [auth.Store]. Errors: [auth.ErrNotFound], *[Error],
// [ErrClosed], and ctx's own.
func (s *Store) Load(ctx context.Context, key auth.Key) (*auth.Record, error) {
	id := key.ID()
	found, err := s.read(ctx, id)
	if err != nil {
		return nil, wrap(ctx, "load", recKey(id), err)
	}
	of, r, err := found.decode()
	if err == nil && of != key {
		err = store.ErrCorrupt
	}
	if err != nil {
		return nil, &Error{Op: "load", Key: recKey(id), Err: err}
	}
	return r, nil
}

// stored is what Redis has of a record.
type stored struct{ generation, data, saved string }

// read returns what is stored under id. Errors: [auth.ErrNotFound], and those
// of [call].
func (s *Store) read(ctx context.Context, id string) (stored, error) {
	fields, err := call(ctx, s, func() ([]any, error) {
		return loadScript.Run(ctx, s.client, []string{recKey(id)}).Slice()
	}, nil)
	if err != nil {
		return stored{}, err
	}
	if len(fields) != 3 || fields[1] == nil {
		return stored{}, auth.ErrNotFound
	}
	var f stored
	f.generation, _ = fields[0].(string)
	f.data, _ = fields[1].(string)
	f.saved, _ = fields[2].(string)
	return f, nil
}

// decode makes a record of what is stored, and says of which key.
func (found stored) decode() (auth.Key, *auth.Record, error) {
	g, err := strconv.ParseUint(found.generation, 10, 64)
	if err != nil {
		return auth.Key{}, nil, store.ErrCorrupt
	}
	key, r, err := store.Decode([]byte(found.data))
	if err != nil {
		return auth.Key{}, nil, err
	}
	r.Generation = g
	return key, r, nil
}

// Save implements [auth.Store]. Errors: [auth.ErrConflict], *[Error],
// [ErrClosed], and ctx's own. After one of the last three it may have been
// saved or not.
func (s *Store) Save(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	data, err := store.Encode(key, r)
	if err != nil {
		return 0, &Error{Op: "save", Key: recKey(key.ID()), Err: err}
	}
	id := key.ID()
	generation, err := s.save(ctx, id, strconv.FormatUint(r.Generation, 10), data)
	if r.Generation == 0 && errors.Is(err, redis.Nil) { // what is there may be no record any more
		found, unread := s.read(ctx, id)
		if unread != nil {
			return 0, auth.ErrConflict
		}
		if of, _, bad := found.decode(); errors.Is(bad, store.ErrCorrupt) || bad == nil && of != key {
			generation, err = s.save(ctx, id, found.generation, data)
		}
	}
	if errors.Is(err, redis.Nil) {
		return 0, auth.ErrConflict
	}
	return generation, wrap(ctx, "save", recKey(id), err)
}

// save stores data if the generation is what Redis has.
func (s *Store) save(ctx context.Context, id, generation string, data []byte) (uint64, error) {
	l := s.locks.Of(id)
	args := []any{
		generation, data, s.ttl.Milliseconds(), rand.Text(),
		l.Holder, l.Since, time.Now().UnixMicro(), hintChannel, savedHint(id),
	}
	return call(ctx, s, func() (uint64, error) {
		return saveScript.Run(ctx, s.client, []string{recKey(id), lockKey(id)}, args...).Uint64()
	}, nil)
}

// Delete implements [auth.Store]. Errors: [auth.ErrConflict], *[Error],
// [ErrClosed], and ctx's own.
func (s *Store) Delete(ctx context.Context, key auth.Key, generation uint64) error {
	id := key.ID()
	l := s.locks.Of(id)
	args := []any{strconv.FormatUint(generation, 10), s.ttl.Milliseconds(), l.Holder, l.Since, hintChannel, savedHint(id)}
	done, err := call(ctx, s, func() (bool, error) {
		return deleteScript.Run(ctx, s.client, []string{recKey(id), lockKey(id)}, args...).Bool()
	}, nil)
	if err == nil && !done {
		return auth.ErrConflict
	}
	return wrap(ctx, "delete", recKey(id), err)
}

// recKey and lockKey share a hash tag, so a cluster keeps them together.
func recKey(id string) string  { return "mcptokens:{" + id + "}:rec" }
func lockKey(id string) string { return "mcptokens:{" + id + "}:lock" }

// start runs f in a goroutine that Close waits for. It reports false, and does
// not, when the store is closed.
func (s *Store) start(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.wg.Go(f)
	return true
}

// call runs f and returns when it ends, ctx does or the store is closed,
// whichever comes first: go-redis heeds a context between attempts, but not
// while it waits for an answer unless ContextTimeoutEnabled is set. Nobody sees
// the result of an f that outlasts the caller but undo, if there is one.
func call[T any](ctx context.Context, s *Store, f func() (T, error), undo func()) (T, error) {
	type result struct {
		value T
		err   error
	}
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	done := make(chan result) // not buffered: it is received or undone
	if !s.start(func() {
		var r result
		r.value, r.err = f()
		select {
		case done <- r:
			return
		case <-ctx.Done():
		case <-s.closing:
		}
		if undo != nil {
			undo()
		}
	}) {
		return none, ErrClosed
	}
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		return none, ctx.Err()
	case <-s.closing:
		return none, ErrClosed
	}
}
