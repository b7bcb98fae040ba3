// Package storetest shows whether an [auth.Store] keeps the contract that its
// interface states. It is for the authors of stores:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) auth.Store { return mystore.New(t.TempDir()) })
//	}
//
// A store that processes share also says how another process opens what the
// first one stored, so that the two are tried against each other: [Suite]. The
// abilities of [auth.Prober], [auth.Watcher], [auth.Lister] and [auth.Leaser] are
// tried if the store has them.
//
// For a store of your own, [store.Encode] and [auth.Key.ID] do most of the
// work; the example is a whole one.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
)

// Run tries the store that open returns. It is Suite{Open: open}.Run(t).
func Run(t *testing.T, open func(t *testing.T) auth.Store) {
	t.Helper()
	Suite{Open: open}.Run(t)
}

// Suite is how to get at a store.
type Suite struct {
	// Open returns a store that holds nothing. It is called once for every
	// subtest; t.Cleanup is the place to close the store.
	Open func(t *testing.T) auth.Store
	// Reopen returns a second view of what s stores, such as another process
	// has: another connection, the same directory opened again. Default: s
	// itself.
	Reopen func(t *testing.T, s auth.Store) auth.Store
	// Patience bounds each subtest: what has to happen has to happen within
	// it. Default: one minute.
	Patience time.Duration
}

// Run runs every check as a subtest of t.
func (s Suite) Run(t *testing.T) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			if err := s.try(t, c); err != nil {
				t.Error(err)
			}
		})
	}
}

// try runs one check against stores of its own.
func (s Suite) try(t *testing.T, c check) error {
	patience := s.Patience
	if patience <= 0 {
		patience = time.Minute
	}
	e := &env{one: s.Open(t), patience: patience}
	e.two = e.one
	if s.Reopen != nil {
		e.two = s.Reopen(t, e.one)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	return c.run(ctx, e)
}

// check is one thing that the contract says. It returns how a store breaks it,
// and has until the end of ctx for that.
type check struct {
	name string
	run  func(ctx context.Context, e *env) error
}

// checks are all of them; their names are the names of the subtests.
var checks = []check{
	{"load of nothing", loadNothing},
	{"round trip", roundTrip},
	{"nothing is shared with the caller", nothingShared},
	{"keys do not mix", keysApart},

	{"save creates only what is not there", saveCreates},
	{"save replaces only what was loaded", saveReplaces},
	{"generations rise", generationsRise},
	{"generations rise after delete", generationsRiseAfterDelete},
	{"delete only what was loaded", deleteLoaded},
	{"delete of nothing", deleteNothing},
	{"one of many creates", oneCreates},
	{"no increment is lost", incrementsKept},

	{"lock excludes", lockExcludes},
	{"lock waits no longer than its context", lockContext},
	{"unlock lets the next one in", unlockNext},
	{"locks of different keys", locksApart},
	{"lock needs no record and changes none", lockChangesNothing},
	{"the lock is not needed to save", saveWithoutLock},
	{"a lease that is held", leaseHeld},
	{"the lock of a login", lockForLogin},

	{"probe", probe},
	{"watch hears of changes", watchHears},
	{"watch holds nobody up", watchApart},
	{"watch stops", watchStops},
	{"list", list},
	{"list while deleting", listAndDelete},
}

// never is how long a check watches for what must not happen: it sees most
// offenders at once, and must not take long with the others.
const never = 50 * time.Millisecond

// env is what a check works with: two views of one empty store, which may be
// the same.
type env struct {
	one, two auth.Store
	patience time.Duration
}

// views calls f for either view of the store.
func (e *env) views(f func(name string, s auth.Store) error) error {
	if err := f("the store", e.one); err != nil || e.one == e.two {
		return err
	}
	return f("the second view", e.two)
}

// lock takes key's lock in s; a store that ignores its context fails the
// check instead of hanging it.
func (e *env) lock(ctx context.Context, s auth.Store, key auth.Key) (func(), error) {
	type result struct {
		unlock func()
		err    error
	}
	done := make(chan result, 1)
	go func() {
		unlock, err := s.Lock(ctx, key)
		done <- result{unlock, err}
	}()
	var late <-chan time.Time // counts only once ctx has ended
	for ended := ctx.Done(); ; {
		select {
		case r := <-done:
			if r.err == nil && r.unlock == nil {
				return nil, errNothing
			}
			return r.unlock, r.err
		case <-ended:
			timer := time.NewTimer(e.patience)
			defer timer.Stop()
			ended, late = nil, timer.C
		case <-late:
			return nil, errStuck
		}
	}
}

var (
	errNothing = errors.New("lock returned neither an unlock function nor an error")
	// errStuck is how a check says that its patience is at an end.
	errStuck = errors.New("nothing happened for as long as the suite waits")
)

// key is the key of most checks.
var key = auth.Key{Resource: "https://mcp.example/mcp", Issuer: "https://as.example", ClientID: "client", Subject: "subject"}

// with returns a record whose token says what.
func with(generation uint64, what string) *auth.Record {
	return &auth.Record{Generation: generation, Issuer: key.Issuer, Resource: key.Resource, Token: &auth.Token{AccessToken: what, TokenType: "Bearer"}}
}

// create saves the first record of key in s and returns its generation.
func (e *env) create(ctx context.Context, s auth.Store, key auth.Key, what string) (uint64, error) {
	g, err := s.Save(ctx, key, with(0, what))
	if err != nil {
		return 0, fmt.Errorf("save of the first record: %w", err)
	}
	if g == 0 {
		return 0, fmt.Errorf("save returned generation 0, which stands for no record")
	}
	return g, nil
}

// holds checks that both views have a record of key with that generation and
// token.
func (e *env) holds(ctx context.Context, key auth.Key, generation uint64, what string) error {
	return e.views(func(name string, s auth.Store) error {
		r, err := s.Load(ctx, key)
		switch {
		case err != nil:
			return fmt.Errorf("load in %s: %w", name, err)
		case r == nil:
			return fmt.Errorf("load in %s returned neither a record nor an error", name)
		case r.Generation != generation:
			return fmt.Errorf("%s has generation %d, want %d", name, r.Generation, generation)
		case r.Token == nil || r.Token.AccessToken != what:
			return fmt.Errorf("%s has another token than %q", name, what)
		}
		return nil
	})
}
