package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/mcptokens/mcptokens/auth"
)

// The checks of lists: everything once, nothing that is gone, no secret.

// listed returns what s lists, by key.
func listed(ctx context.Context, s auth.Store) (map[auth.Key]auth.StoreEntry, error) {
	all := make(map[auth.Key]auth.StoreEntry)
	for entry, err := range s.(auth.Lister).List(ctx) {
		if err != nil {
			return nil, fmt.Errorf("list: %w", err)
		}
		if _, twice := all[entry.Key]; twice {
			return nil, fmt.Errorf("list has key %+.60q twice", entry.Key)
		}
		all[entry.Key] = entry
	}
	return all, nil
}

// lister reports whether s can say what it holds.
func lister(ctx context.Context, s auth.Store) (bool, error) {
	l, ok := s.(auth.Lister)
	if !ok {
		return false, nil
	}
	for _, err := range l.List(ctx) {
		if errors.Is(err, errors.ErrUnsupported) {
			return false, nil
		}
		return true, err
	}
	return true, nil
}

func list(ctx context.Context, e *env) error {
	if ok, err := lister(ctx, e.one); !ok || err != nil {
		return err
	}
	if err := e.lists(ctx, nil); err != nil {
		return fmt.Errorf("of an empty store: %w", err)
	}
	// A store's clock may be a little off, and coarser than this one.
	began := time.Now().Add(-time.Minute)
	want := make(map[auth.Key]auth.StoreEntry)
	save := func(k auth.Key, r *auth.Record) error {
		g, err := e.one.Save(ctx, k, r)
		if err != nil {
			return fmt.Errorf("save: %w", err)
		}
		saved := *r
		saved.Generation = g
		want[k] = saved.Entry(k, time.Time{})
		return nil
	}
	for name, r := range samples() {
		k := key
		k.Subject = name
		if err := save(k, r); err != nil {
			return err
		}
	}
	for _, k := range nearKeys() {
		if err := save(k, with(0, "near")); err != nil {
			return err
		}
	}
	if err := e.lists(ctx, want); err != nil {
		return err
	}
	// A replaced record is listed as it is now, a deleted one not at all, and a
	// lock is no record.
	if err := save(key, with(0, "first")); err != nil {
		return err
	}
	if err := save(key, with(want[key].Generation, "second")); err != nil {
		return err
	}
	gone := key
	gone.Subject = "every field"
	if err := e.two.Delete(ctx, gone, want[gone].Generation); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	delete(want, gone)
	locked := auth.Key{Subject: "only locked"}
	err := e.locked(ctx, locked, func() error { return e.lists(ctx, want) })
	if err != nil {
		return fmt.Errorf("after changes: %w", err)
	}
	all, err := listed(ctx, e.two)
	if err != nil {
		return err
	}
	for k, entry := range all {
		if entry.Saved.Before(began) || entry.Saved.After(time.Now().Add(time.Minute)) {
			return fmt.Errorf("list: key %+.60q was saved %s, not now", k, entry.Saved)
		}
	}
	return nil
}

// lists checks that both views list want, except for the time of saving.
func (e *env) lists(ctx context.Context, want map[auth.Key]auth.StoreEntry) error {
	return e.views(func(name string, s auth.Store) error {
		got, err := listed(ctx, s)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for k, w := range want {
			g, ok := got[k]
			if !ok {
				return fmt.Errorf("list in %s lacks key %+.60q", name, k)
			}
			if !sameTime(g.Expiry, w.Expiry) || !sameTime(g.Obtained, w.Obtained) {
				return fmt.Errorf("list in %s: key %+.60q has other times", name, k)
			}
			g.Expiry, g.Obtained, g.Saved = w.Expiry, w.Obtained, w.Saved
			if !reflect.DeepEqual(g, w) {
				return fmt.Errorf("list in %s: key %+.60q: %+v, want %+v", name, k, g, w)
			}
		}
		if len(got) != len(want) {
			return fmt.Errorf("list in %s has %d entries, want %d", name, len(got), len(want))
		}
		return nil
	})
}

// The body of the loop may delete, and may end the loop.
func listAndDelete(ctx context.Context, e *env) error {
	if ok, err := lister(ctx, e.one); !ok || err != nil {
		return err
	}
	const records = 20
	for i := range records {
		k := key
		k.Subject = fmt.Sprint(i)
		if _, err := e.create(ctx, e.one, k, "listed"); err != nil {
			return err
		}
	}
	n := 0
	for _, err := range e.one.(auth.Lister).List(ctx) {
		if err != nil {
			return fmt.Errorf("list: %w", err)
		}
		if n++; n == records/2 {
			break
		}
	}
	err := e.within(ctx, "Delete while listing", func() error {
		for entry, err := range e.one.(auth.Lister).List(ctx) {
			if err != nil {
				return fmt.Errorf("list: %w", err)
			}
			if err := e.one.Delete(ctx, entry.Key, entry.Generation); err != nil {
				return fmt.Errorf("delete of what was listed: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := e.lists(ctx, nil); err != nil {
		return fmt.Errorf("after everything was deleted: %w", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := e.create(ctx, e.one, key, "left"); err != nil {
		return err
	}
	for _, err := range e.one.(auth.Lister).List(ended) {
		if !errors.Is(err, context.Canceled) {
			return fmt.Errorf("list, of a context that was canceled: %w; want the context's error", orNone(err))
		}
		return nil
	}
	return errors.New("list, of a context that was canceled, has no error")
}
