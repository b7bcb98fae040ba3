package storetest

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/mcptokens/mcptokens/auth"
)

// broken is a store that keeps the contract but for the functions that are
// set.
type broken struct {
	*watched
	load  func(ctx context.Context, key auth.Key) (*auth.Record, error)
	save  func(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error)
	del   func(ctx context.Context, key auth.Key, generation uint64) error
	lock  func(ctx context.Context, key auth.Key) (func(), error)
	probe func(ctx context.Context, key auth.Key) error
	watch func(key auth.Key, changed func()) func()
	held  func(key auth.Key) bool
	list  func(ctx context.Context) iter.Seq2[auth.StoreEntry, error]
}

func (b *broken) Load(ctx context.Context, key auth.Key) (*auth.Record, error) {
	if b.load != nil {
		return b.load(ctx, key)
	}
	return b.watched.Load(ctx, key)
}

func (b *broken) Save(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	if b.save != nil {
		return b.save(ctx, key, r)
	}
	return b.watched.Save(ctx, key, r)
}

func (b *broken) Delete(ctx context.Context, key auth.Key, generation uint64) error {
	if b.del != nil {
		return b.del(ctx, key, generation)
	}
	return b.watched.Delete(ctx, key, generation)
}

func (b *broken) Lock(ctx context.Context, key auth.Key) (func(), error) {
	if b.lock != nil {
		return b.lock(ctx, key)
	}
	return b.watched.Lock(ctx, key)
}

func (b *broken) Probe(ctx context.Context, key auth.Key) error {
	if b.probe != nil {
		return b.probe(ctx, key)
	}
	return b.watched.Probe(ctx, key)
}

func (b *broken) Watch(key auth.Key, changed func()) func() {
	if b.watch != nil {
		return b.watch(key, changed)
	}
	return b.watched.Watch(key, changed)
}

// Held implements [auth.Leaser].
func (b *broken) Held(key auth.Key) bool { return b.held == nil || b.held(key) }

func (b *broken) List(ctx context.Context) iter.Seq2[auth.StoreEntry, error] {
	if b.list != nil {
		return b.list(ctx)
	}
	return b.watched.List(ctx)
}

var errBroken = errors.New("broken")

// change makes a broken store whose loads are changed by f.
func change(b *broken, f func(r *auth.Record)) {
	b.load = func(ctx context.Context, key auth.Key) (*auth.Record, error) {
		r, err := b.watched.Load(ctx, key)
		if err == nil {
			f(r)
		}
		return r, err
	}
}

// rekey makes a broken store that takes keys for what f makes of them.
func rekey(b *broken, f func(k auth.Key) auth.Key) {
	b.load = func(ctx context.Context, key auth.Key) (*auth.Record, error) { return b.watched.Load(ctx, f(key)) }
	b.save = func(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
		return b.watched.Save(ctx, f(key), r)
	}
	b.del = func(ctx context.Context, key auth.Key, g uint64) error { return b.watched.Delete(ctx, f(key), g) }
	b.lock = func(ctx context.Context, key auth.Key) (func(), error) { return b.watched.Lock(ctx, f(key)) }
}

// overwrite saves whatever generation r has.
func (b *broken) overwrite(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	return b.watched.Save(ctx, key, withGeneration(r, b.generation(ctx, key)))
}

func (b *broken) generation(ctx context.Context, key auth.Key) uint64 {
	r, err := b.watched.Load(ctx, key)
	if err != nil {
		return 0
	}
	return r.Generation
}

func withGeneration(r *auth.Record, g uint64) *auth.Record {
	c := *r
	c.Generation = g
	return &c
}

// racySave looks first and writes then.
func (b *broken) racySave(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	have := b.generation(ctx, key)
	time.Sleep(time.Millisecond) // of the bubble's clock
	if have != r.Generation {
		return 0, auth.ErrConflict
	}
	return b.overwrite(ctx, key, r)
}
