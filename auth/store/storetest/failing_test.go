package storetest

import (
	"context"
	"iter"
	"sync/atomic"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
)

// failing is a store whose nth call fails.
type failing struct {
	*watched
	n     int64
	calls atomic.Int64
}

func (f *failing) fail() error {
	if f.calls.Add(1) == f.n {
		return errBroken
	}
	return nil
}

func (f *failing) Load(ctx context.Context, key auth.Key) (*auth.Record, error) {
	if err := f.fail(); err != nil {
		return nil, err
	}
	return f.watched.Load(ctx, key)
}

func (f *failing) Save(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	if err := f.fail(); err != nil {
		return 0, err
	}
	return f.watched.Save(ctx, key, r)
}

func (f *failing) Delete(ctx context.Context, key auth.Key, generation uint64) error {
	if err := f.fail(); err != nil {
		return err
	}
	return f.watched.Delete(ctx, key, generation)
}

func (f *failing) Lock(ctx context.Context, key auth.Key) (func(), error) {
	if err := f.fail(); err != nil {
		return nil, err
	}
	return f.watched.Lock(ctx, key)
}

func (f *failing) Probe(ctx context.Context, key auth.Key) error {
	if err := f.fail(); err != nil {
		return err
	}
	return f.watched.Probe(ctx, key)
}

func (f *failing) List(ctx context.Context) iter.Seq2[auth.StoreEntry, error] {
	if err := f.fail(); err != nil {
		return func(yield func(auth.StoreEntry, error) bool) { yield(auth.StoreEntry{}, err) }
	}
	return f.watched.List(ctx)
}

// Held implements [auth.Leaser].
func (f *failing) Held(auth.Key) bool { return true }

// TestNoErrorGoesUnnoticed: whichever call of a store fails, the check that
// made it says so.
func TestNoErrorGoesUnnoticed(t *testing.T) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			for n := int64(1); n <= 150; n++ {
				f := &failing{n: n}
				err := attempt(t, c.name, func(s *watched) auth.Store {
					f.watched = s
					return f
				})
				if f.calls.Load() < n {
					return // all calls of the check have had their turn
				}
				if err == nil {
					t.Errorf("call %d failed and the check passed", n)
				}
			}
		})
	}
}
