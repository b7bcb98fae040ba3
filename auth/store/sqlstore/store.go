package sqlstore

import (
	"context"
	crand "crypto/rand"
	"database/sql"
	"errors"
	"sync"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store"
	"github.com/mcptokens/mcptokens/auth/store/internal/lease"
)

// defaultPoll is that of [WithPoll].
const defaultPoll = 500 * time.Millisecond

// Store is an [auth.Store], [auth.Prober], [auth.Watcher], [auth.Lister] and
// [auth.Leaser].
type Store struct {
	db      *sql.DB
	dialect Dialect
	table   string
	sql     *statements
	lease   time.Duration
	poll    time.Duration
	locks   *lease.Locks

	closing chan struct{}
	ended   context.Context // canceled by Close
	end     context.CancelFunc
	wg      sync.WaitGroup // calls under way, leases held, the poll

	mu     sync.Mutex
	closed bool
	hints  hints
}

var (
	_ auth.Store   = (*Store)(nil)
	_ auth.Prober  = (*Store)(nil)
	_ auth.Watcher = (*Store)(nil)
	_ auth.Lister  = (*Store)(nil)
	_ auth.Leaser  = (*Store)(nil)
)

// Option changes a default of [New].
type Option func(*Store)

// WithTable sets the table's name: lower case letters, digits and underscores,
// in PostgreSQL with a schema and a dot before it if need be. Default:
// mcptokens; also for an empty name.
func WithTable(name string) Option {
	return func(s *Store) {
		if name != "" {
			s.table = name
		}
	}
}

// WithLease sets after how long others may refresh instead of a process that
// died during its refresh, was suspended for longer, or cannot reach the
// database. The lease of a process that lives is renewed every third of this
// time, so it has to be several times longer than the database takes to answer
// at its worst. Default: 5 s; also for 0 and less.
func WithLease(d time.Duration) Option {
	return func(s *Store) { s.lease = orDefault(d, lease.Default) }
}

// WithPoll sets how often the store looks for changes by others while somebody
// watches. Default: 0.5 s; also for 0 and less.
func WithPoll(d time.Duration) Option {
	return func(s *Store) { s.poll = orDefault(d, defaultPoll) }
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

// New returns a store on db. It sends nothing yet. It fails for an unknown
// dialect and for a table's name that is none.
func New(db *sql.DB, dialect Dialect, opts ...Option) (*Store, error) {
	s := &Store{db: db, dialect: dialect, table: defaultTable, lease: lease.Default, poll: defaultPoll, closing: make(chan struct{})}
	for _, o := range opts {
		o(s)
	}
	if err := dialect.check(s.table); err != nil {
		return nil, err
	}
	s.sql = dialect.statements(s.table)
	s.ended, s.end = context.WithCancel(context.Background())
	s.locks = lease.New(lease.Config{Server: server{s}, Time: s.lease, Go: s.start, Closing: s.closing, ErrClosed: ErrClosed})
	return s, nil
}

// Migrate makes the table if it is not there; see [Schema]. Errors: *[Error],
// [ErrClosed], and ctx's own.
func (s *Store) Migrate(ctx context.Context) error {
	return s.call(ctx, "migrate", "", func(ctx context.Context) error {
		for _, statement := range s.dialect.schema(s.table) {
			if _, err := s.db.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

// Close ends calls under way, the look for changes, and the renewal of locks
// that are still held. Close the managers first, and the *sql.DB last.
func (s *Store) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
		s.end()
	}
	s.mu.Unlock()
	s.wg.Wait()
	return nil
}

// Load implements [auth.Store]. Errors: [auth.ErrNotFound], *[Error],
// [ErrClosed], and ctx's own.
func (s *Store) Load(ctx context.Context, key auth.Key) (*auth.Record, error) {
	id := key.ID()
	found, err := s.row(ctx, "load", id)
	if err != nil {
		return nil, err
	}
	of, r, err := found.decode()
	if err == nil && of != key {
		err = store.ErrCorrupt
	}
	if err != nil {
		return nil, wrap(ctx, "load", id, err)
	}
	return r, nil
}

// row is what the table has of a record.
type row struct {
	generation, saved int64
	record            []byte
}

// decode makes a record of a row, and says of which key.
func (r row) decode() (auth.Key, *auth.Record, error) {
	key, rec, err := store.Decode(r.record)
	if err != nil {
		return auth.Key{}, nil, err
	}
	if r.generation <= 0 {
		return auth.Key{}, nil, store.ErrCorrupt
	}
	rec.Generation = uint64(r.generation)
	return key, rec, nil
}

// Save implements [auth.Store]. Errors: [auth.ErrConflict], *[Error],
// [ErrClosed], and ctx's own. After one of the last three it may have been saved
// or not.
func (s *Store) Save(ctx context.Context, key auth.Key, r *auth.Record) (generation uint64, err error) {
	id := key.ID()
	data, err := store.Encode(key, r)
	if err != nil {
		return 0, &Error{Op: "save", ID: id, Err: err}
	}
	if r.Generation != 0 {
		return s.change(ctx, "save", id, s.sql.replace, int64(r.Generation), data)
	}
	generation, err = s.change(ctx, "save", id, s.sql.create, time.Now().UnixMicro(), data)
	if !errors.Is(err, auth.ErrConflict) {
		return generation, err
	}
	// What is there may be no record any more.
	found, unread := s.row(ctx, "save", id)
	if unread != nil {
		return 0, err
	}
	if of, _, bad := found.decode(); errors.Is(bad, store.ErrCorrupt) || bad == nil && of != key {
		return s.change(ctx, "save", id, s.sql.overwrite, found.generation, data)
	}
	return 0, err
}

// row reads what the table has.
func (s *Store) row(ctx context.Context, op, id string) (found row, err error) {
	err = s.call(ctx, op, id, func(ctx context.Context) error {
		err := s.db.QueryRowContext(ctx, s.sql.load, id).Scan(&found.generation, &found.record, &found.saved)
		if errors.Is(err, sql.ErrNoRows) {
			return auth.ErrNotFound
		}
		return err
	})
	return found, err
}

// Delete implements [auth.Store]. Errors: [auth.ErrConflict], *[Error],
// [ErrClosed], and ctx's own.
func (s *Store) Delete(ctx context.Context, key auth.Key, generation uint64) error {
	id := key.ID()
	_, err := s.change(ctx, "delete", id, s.sql.delete, int64(generation), nil)
	if !errors.Is(err, auth.ErrConflict) {
		return err
	}
	return s.call(ctx, "delete", id, func(ctx context.Context) error {
		var has int64
		switch err := s.db.QueryRowContext(ctx, s.sql.exists, id).Scan(&has); {
		case errors.Is(err, sql.ErrNoRows):
			return nil // there is no record
		case err != nil:
			return err
		}
		return auth.ErrConflict
	})
}

// change runs a statement that changes a row or finds that it may not. data is
// nil where it stores nothing.
func (s *Store) change(ctx context.Context, op, id, statement string, generation int64, data []byte) (uint64, error) {
	held := s.locks.Of(id)
	since, err := sinceOf(held)
	if err != nil {
		return 0, &Error{Op: op, ID: id, Err: err}
	}
	args := []any{id, generation, held.Holder, since}
	if data != nil {
		args = append(args, data)
	}
	var now int64
	err = s.call(ctx, op, id, func(ctx context.Context) error {
		err := s.db.QueryRowContext(ctx, statement, args...).Scan(&now)
		if errors.Is(err, sql.ErrNoRows) {
			return auth.ErrConflict
		}
		return err
	})
	return uint64(now), err
}

// Probe implements [auth.Prober]: it writes what is larger than a record, and
// takes it back. A disk that fills up between is not seen by it.
func (s *Store) Probe(ctx context.Context, key auth.Key) error {
	return s.call(ctx, "probe", key.ID(), func(ctx context.Context) error {
		tx, err := s.db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, s.sql.probe, "probe "+crand.Text(), make([]byte, 16<<10))
		return errors.Join(err, tx.Rollback())
	})
}

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

// call runs f until ctx ends or the store is closed.
func (s *Store) call(ctx context.Context, op, id string, f func(ctx context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	s.wg.Add(1)
	s.mu.Unlock()
	defer s.wg.Done()
	both, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ended, cancel)()
	err := f(both)
	if err != nil && ctx.Err() == nil && s.ended.Err() != nil {
		return ErrClosed
	}
	return wrap(ctx, op, id, err)
}
