package storetest

import (
	"context"
	"iter"
	"time"

	"github.com/mcptokens/mcptokens/auth"
)

// listOffenders break what a list promises.
var listOffenders = []offender{
	{"list knows nothing", "list", func(b *broken) {
		relist(b, func(auth.StoreEntry, func(auth.StoreEntry) bool) bool { return true })
	}},
	{"list says everything twice", "list", func(b *broken) {
		relist(b, func(e auth.StoreEntry, yield func(auth.StoreEntry) bool) bool {
			for range 2 {
				if !yield(e) {
					return false
				}
			}
			return true
		})
	}},
	{"list forgets scopes", "list", func(b *broken) { reentry(b, func(e *auth.StoreEntry) { e.Scopes = nil }) }},
	{"list forgets the expiry", "list", func(b *broken) { reentry(b, func(e *auth.StoreEntry) { e.Expiry = time.Time{} }) }},
	{"list does not know when", "list", func(b *broken) { reentry(b, func(e *auth.StoreEntry) { e.Saved = time.Time{} }) }},
	{"list takes a lock for a record", "list", func(b *broken) {
		b.lock = func(ctx context.Context, key auth.Key) (func(), error) {
			if key.Subject == "only locked" {
				_, _ = b.watched.Save(ctx, key, &auth.Record{})
			}
			return b.watched.Lock(ctx, key)
		}
	}},
	{"list cannot be used to delete", "list while deleting", func(b *broken) { reentry(b, func(e *auth.StoreEntry) { e.Generation++ }) }},
	{"list ignores its context", "list while deleting", func(b *broken) {
		b.list = func(context.Context) iter.Seq2[auth.StoreEntry, error] {
			return b.watched.List(context.Background())
		}
	}},
	{"list ends without a word", "list while deleting", func(b *broken) {
		b.list = func(ctx context.Context) iter.Seq2[auth.StoreEntry, error] {
			if ctx.Err() != nil {
				return func(func(auth.StoreEntry, error) bool) {}
			}
			return b.watched.List(ctx)
		}
	}},
	{"list is locked against deleting", "list while deleting", func(b *broken) {
		busy := make(chan struct{}, 1)
		b.list = func(ctx context.Context) iter.Seq2[auth.StoreEntry, error] {
			return func(yield func(auth.StoreEntry, error) bool) {
				busy <- struct{}{}
				defer func() { <-busy }()
				b.watched.List(ctx)(yield)
			}
		}
		b.del = func(ctx context.Context, key auth.Key, g uint64) error {
			select {
			case busy <- struct{}{}:
				defer func() { <-busy }()
			case <-b.done.Done():
			}
			return b.watched.Delete(ctx, key, g)
		}
	}},
}

// relist makes a broken store that passes each entry to f.
func relist(b *broken, f func(e auth.StoreEntry, yield func(auth.StoreEntry) bool) bool) {
	b.list = func(ctx context.Context) iter.Seq2[auth.StoreEntry, error] {
		return func(yield func(auth.StoreEntry, error) bool) {
			for e, err := range b.watched.List(ctx) {
				if err != nil {
					yield(e, err)
					return
				}
				if !f(e, func(e auth.StoreEntry) bool { return yield(e, nil) }) {
					return
				}
			}
		}
	}
}

// reentry makes a broken store whose entries are changed by f.
func reentry(b *broken, f func(e *auth.StoreEntry)) {
	relist(b, func(e auth.StoreEntry, yield func(auth.StoreEntry) bool) bool {
		f(&e)
		return yield(e)
	})
}
