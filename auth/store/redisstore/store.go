package redisstore

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mcptokens/mcptokens/auth"
)

// Defaults of the options.
const (
	DefaultTTL   = 90 * 24 * time.Hour
	DefaultLease = time.Minute
)

// Store is an [auth.Store] and [auth.Watcher]. It is no [auth.Prober]: taking
// the lock writes to Redis, so a server that takes no writes is found out by
// that.
type Store struct {
	client redis.UniversalClient
	ttl    time.Duration
	lease  time.Duration
	aead   cipher.AEAD

	// local has the goroutines of this process wait for each other, so that one
	// of them alone asks Redis. Only its locks are used.
	local auth.MemoryStore

	closing chan struct{}
	wg      sync.WaitGroup // calls under way, leases held, the subscription

	mu     sync.Mutex
	closed bool
	held   map[string]*lease // by key ID
	hints  hints
}

var (
	_ auth.Store   = (*Store)(nil)
	_ auth.Watcher = (*Store)(nil)
)

// Option changes a default of [New].
type Option func(*Store)

// WithTTL sets how long a record stays after it was last saved. It should
// exceed the life of a refresh token that is not used. Default: 90 days; also
// for 0 and less.
func WithTTL(d time.Duration) Option { return func(s *Store) { s.ttl = orDefault(d, DefaultTTL) } }

// WithLease sets after how long others may refresh in the place of a process
// that died while it did. It has to be longer than [auth.Config.RefreshTimeout],
// within which a process that took it sends its request or does not; the lease of
// a process that lives is renewed. Default: 60 s; also for 0 and less.
func WithLease(d time.Duration) Option {
	return func(s *Store) { s.lease = orDefault(d, DefaultLease) }
}

// WithSeal encrypts what is stored, so that reading the server's memory, disk
// or backups gives nobody a token. Default: not encrypted. See [AESGCM] for an
// AEAD. A nonce is random, so it has to have at least 12 bytes; an AEAD that
// makes its own has a nonce size of 0. To change the key without another
// login, give an AEAD that seals with the new key and opens with both.
func WithSeal(aead cipher.AEAD) Option { return func(s *Store) { s.aead = aead } }

func orDefault(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

// New returns a store on client. It sends nothing yet.
func New(client redis.UniversalClient, opts ...Option) *Store {
	s := &Store{client: client, ttl: DefaultTTL, lease: DefaultLease, closing: make(chan struct{}), held: make(map[string]*lease)}
	for _, o := range opts {
		o(s)
	}
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
	fields, err := call(ctx, s, func() ([]any, error) {
		return loadScript.Run(ctx, s.client, []string{recKey(id)}).Slice()
	}, nil)
	if err != nil {
		return nil, wrap(ctx, "load", recKey(id), err)
	}
	if len(fields) != 2 || fields[1] == nil {
		return nil, auth.ErrNotFound
	}
	r, err := s.decode(key, id, fields)
	if err != nil {
		return nil, &Error{Op: "load", Key: recKey(id), Err: err}
	}
	return r, nil
}

// decode makes a record of what is stored, its generation and its data.
func (s *Store) decode(key auth.Key, id string, fields []any) (*auth.Record, error) {
	generation, _ := fields[0].(string)
	data, _ := fields[1].(string)
	g, err := strconv.ParseUint(generation, 10, 64)
	if err != nil {
		return nil, auth.ErrCorruptRecord
	}
	plain, err := s.open(id, []byte(data))
	if err != nil {
		return nil, err
	}
	of, r, err := auth.DecodeRecord(plain)
	if err != nil {
		return nil, err
	}
	if of != key {
		return nil, auth.ErrCorruptRecord
	}
	r.Generation = g
	return r, nil
}

// Save implements [auth.Store]. Errors: [auth.ErrConflict], *[Error],
// [ErrClosed], and ctx's own. After one of the last three it may have been
// saved or not.
func (s *Store) Save(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	data, err := auth.EncodeRecord(key, r)
	if err != nil {
		return 0, &Error{Op: "save", Key: recKey(key.ID()), Err: err}
	}
	id := key.ID()
	l := s.leaseOf(id)
	args := []any{
		strconv.FormatUint(r.Generation, 10), s.seal(id, data), s.ttl.Milliseconds(), rand.Text(),
		l.nonce, l.since, time.Now().UnixMicro(), hintChannel, savedHint(id),
	}
	generation, err := call(ctx, s, func() (uint64, error) {
		return saveScript.Run(ctx, s.client, []string{recKey(id), lockKey(id)}, args...).Uint64()
	}, nil)
	if errors.Is(err, redis.Nil) {
		return 0, auth.ErrConflict
	}
	return generation, wrap(ctx, "save", recKey(id), err)
}

// Delete implements [auth.Store]. Errors: [auth.ErrConflict], *[Error],
// [ErrClosed], and ctx's own.
func (s *Store) Delete(ctx context.Context, key auth.Key, generation uint64) error {
	id := key.ID()
	l := s.leaseOf(id)
	args := []any{strconv.FormatUint(generation, 10), s.ttl.Milliseconds(), l.nonce, l.since, hintChannel, savedHint(id)}
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
