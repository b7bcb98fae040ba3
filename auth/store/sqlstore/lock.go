package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store/internal/lease"
)

// Lock implements [auth.Store]. Errors: *[Error], [ErrClosed], and ctx's own.
// unlock waits for the database for a second at most, and goes on in the
// background if that was not enough.
func (s *Store) Lock(ctx context.Context, key auth.Key) (unlock func(), err error) {
	return s.locks.Lock(ctx, key)
}

// Held implements [auth.Leaser].
func (s *Store) Held(key auth.Key) bool { return s.locks.Held(key.ID()) }

// server keeps the leases of a store in its table.
type server struct{ *Store }

var _ lease.Server = server{}

// Take implements [lease.Server].
func (s server) Take(ctx context.Context, id, holder string) (since string, left time.Duration, err error) {
	var generation, ms int64
	err = s.call(ctx, "lock", id, func(ctx context.Context) error {
		err := s.db.QueryRowContext(ctx, s.sql.take, id, holder, s.lease.Milliseconds()).Scan(&generation)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		err = s.db.QueryRowContext(ctx, s.sql.left, id).Scan(&ms)
		if errors.Is(err, sql.ErrNoRows) { // removed by hand just now
			err = nil
		}
		ms = max(ms, 1)
		return err
	})
	if err != nil {
		// It may have been taken although the answer was lost.
		s.start(func() {
			ctx, cancel := context.WithTimeout(context.Background(), lease.UnlockWait)
			defer cancel()
			_ = s.Release(ctx, id, holder) // else it runs out
		})
		return "", 0, err
	}
	return strconv.FormatInt(generation, 10), time.Duration(ms) * time.Millisecond, nil
}

// sinceOf is the generation that the record had when a lease was taken.
func sinceOf(l lease.Lease) (int64, error) {
	if l.Holder == "" {
		return 0, nil
	}
	return strconv.ParseInt(l.Since, 10, 64)
}

// Renew implements [lease.Server].
func (s server) Renew(ctx context.Context, id, holder string) (ours bool, err error) {
	err = s.call(ctx, "lock", id, func(ctx context.Context) error {
		res, err := s.db.ExecContext(ctx, s.sql.renew, id, holder, s.lease.Milliseconds())
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		ours = n > 0
		return err
	})
	return ours, err
}

// Release implements [lease.Server]. It is called in goroutines of the store,
// which Close waits for.
func (s server) Release(ctx context.Context, id, holder string) error {
	_, err := s.db.ExecContext(ctx, s.sql.release, id, holder)
	return err
}

// Free implements [lease.Server]. Nobody says so: a waiter of another process
// looks twice a second at least.
func (server) Free(string, func()) (stop func()) { return func() {} }
