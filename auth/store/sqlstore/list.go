package sqlstore

import (
	"context"
	"iter"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store"
)

// List implements [auth.Lister], by pages of 200 rows. Errors: *[Error] about
// one row or the database, [ErrClosed], and ctx's own.
func (s *Store) List(ctx context.Context) iter.Seq2[auth.StoreEntry, error] {
	return func(yield func(auth.StoreEntry, error) bool) {
		for last := ""; ; {
			page, err := s.page(ctx, last)
			if err != nil {
				yield(auth.StoreEntry{}, err)
				return
			}
			if len(page) == 0 {
				return
			}
			for _, r := range page {
				last = r.id
				entry, err := r.entry()
				if !yield(entry, err) {
					return
				}
			}
		}
	}
}

// named is a row with its ID.
type named struct {
	row
	id string
}

// page returns rows after an ID, in its order.
func (s *Store) page(ctx context.Context, after string) (page []named, err error) {
	err = s.call(ctx, "list", "", func(ctx context.Context) error {
		rows, err := s.db.QueryContext(ctx, s.sql.page, after)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var r named
			if err := rows.Scan(&r.id, &r.generation, &r.record, &r.saved); err != nil {
				return err
			}
			page = append(page, r)
		}
		return rows.Err()
	})
	return page, err
}

func (r named) entry() (auth.StoreEntry, error) {
	key, rec, err := r.decode()
	if err == nil && key.ID() != r.id {
		err = store.ErrCorrupt
	}
	if err != nil {
		return auth.StoreEntry{}, &Error{Op: "list", ID: r.id, Err: err}
	}
	return rec.Entry(key, time.UnixMilli(r.saved)), nil
}
