package storetest

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/mcptokens/mcptokens/auth"
)

// lockOffenders break what a store promises of its lock and of its further
// abilities.
var lockOffenders = []offender{
	{"a lease is taken for lost", "a lease that is held", func(b *broken) { b.held = func(auth.Key) bool { return false } }},
	{"a lease is lost with another", "the lock of a login", func(b *broken) { b.held = func(k auth.Key) bool { return k == key } }},
	{"one lock for a login and for a refresh", "the lock of a login", func(b *broken) {
		b.lock = func(ctx context.Context, k auth.Key) (func(), error) {
			if k == key.Login() {
				k = key
			}
			return b.watched.Lock(ctx, k)
		}
	}},
	{"lock is none", "lock excludes", func(b *broken) {
		b.lock = func(context.Context, auth.Key) (func(), error) { return func() {}, nil }
	}},
	{"lock returns nil", "lock excludes", func(b *broken) {
		b.lock = func(context.Context, auth.Key) (func(), error) { return nil, nil }
	}},
	{"lock is refused", "lock excludes", func(b *broken) {
		b.lock = func(context.Context, auth.Key) (func(), error) { return nil, errBroken }
	}},
	{"lock lets two in", "lock excludes", func(b *broken) {
		// Of two waiters both get in, but not as long as the first is alone.
		var second bool
		b.lock = func(ctx context.Context, key auth.Key) (func(), error) {
			b.mu.Lock()
			late := second
			b.mu.Unlock()
			if late {
				return func() {}, nil
			}
			unlock, err := b.watched.Lock(ctx, key)
			return func() {
				b.mu.Lock()
				second = true
				b.mu.Unlock()
				unlock()
			}, err
		}
	}},
	{"lock does not hear the context", "lock waits no longer than its context", func(b *broken) {
		b.lock = func(_ context.Context, key auth.Key) (func(), error) {
			return b.watched.Lock(context.Background(), key)
		}
	}},
	{"lock has an error of its own", "lock waits no longer than its context", func(b *broken) {
		b.lock = func(ctx context.Context, key auth.Key) (func(), error) {
			unlock, err := b.watched.Lock(ctx, key)
			if err != nil {
				err = errBroken
			}
			return unlock, err
		}
	}},
	{"who gave up gets the lock", "lock waits no longer than its context", func(b *broken) {
		b.lock = func(ctx context.Context, key auth.Key) (func(), error) {
			unlock, err := b.watched.Lock(ctx, key)
			if err != nil {
				go func() { _, _ = b.watched.Lock(context.Background(), key) }()
			}
			return unlock, err
		}
	}},
	{"unlock does nothing", "unlock lets the next one in", func(b *broken) {
		b.lock = func(ctx context.Context, key auth.Key) (func(), error) {
			_, err := b.watched.Lock(ctx, key)
			return func() {}, err
		}
	}},
	{"one lock for all", "locks of different keys", func(b *broken) {
		b.lock = func(ctx context.Context, _ auth.Key) (func(), error) { return b.watched.Lock(ctx, auth.Key{}) }
	}},
	{"lock creates a record", "lock needs no record and changes none", func(b *broken) {
		b.lock = func(ctx context.Context, key auth.Key) (func(), error) {
			_, _ = b.watched.Save(ctx, key, &auth.Record{})
			return b.watched.Lock(ctx, key)
		}
	}},
	{"save waits for the lock", "the lock is not needed to save", func(b *broken) {
		b.save = func(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
			unlock, err := b.watched.Lock(ctx, key)
			if err != nil {
				return 0, err
			}
			defer unlock()
			return b.watched.Save(ctx, key, r)
		}
	}},
	{"probe leaves a record", "probe", func(b *broken) {
		b.probe = func(ctx context.Context, key auth.Key) error {
			_, err := b.watched.Save(ctx, key, &auth.Record{})
			return err
		}
	}},
	{"probes get in each other's way", "probe", func(b *broken) {
		var under atomic.Bool
		b.probe = func(context.Context, auth.Key) error {
			if under.Swap(true) {
				return errors.New("the entry of the probe is there already")
			}
			runtime.Gosched()
			time.Sleep(time.Millisecond)
			under.Store(false)
			return nil
		}
	}},
	{"probe waits for the lock", "probe", func(b *broken) {
		b.probe = func(ctx context.Context, key auth.Key) error {
			unlock, err := b.watched.Lock(ctx, key)
			if err == nil {
				unlock()
			}
			return err
		}
	}},
	{"watch hears nothing", "watch hears of changes", func(b *broken) {
		b.watch = func(auth.Key, func()) func() { return func() {} }
	}},
	{"watch calls from within save", "watch holds nobody up", func(b *broken) {
		b.watch = func(key auth.Key, changed func()) func() {
			b.save = func(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
				g, err := b.watched.Save(ctx, key, r)
				changed()
				return g, err
			}
			return func() {}
		}
	}},
	{"stop does not wait", "watch holds nobody up", func(b *broken) {
		b.watch = func(key auth.Key, changed func()) func() {
			stop := b.watched.Watch(key, changed)
			return func() { go stop() }
		}
	}},
	{"watch goes on", "watch stops", func(b *broken) {
		b.watch = func(key auth.Key, changed func()) func() {
			b.watched.Watch(key, changed)
			return func() {}
		}
	}},
	{"stop ends all watches", "watch stops", func(b *broken) {
		var stops []func()
		b.watch = func(key auth.Key, changed func()) func() {
			stops = append(stops, b.watched.Watch(key, changed))
			return func() {
				for _, stop := range stops {
					stop()
				}
				stops = nil
			}
		}
	}},
}
