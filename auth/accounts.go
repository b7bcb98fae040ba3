package auth

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/auth/internal/hub"
	"github.com/mcptokens/mcptokens/auth/internal/suspended"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// pooled is what managers of a pool tell it.
type pooled struct {
	hub     hub.Hub[Event]
	subject func(string) string // nil: events have no subject
}

// poolEvents is how many events wait for a subscriber of a pool before the oldest
// are dropped.
const poolEvents = 1024

// Subscribe is [Manager.Subscribe] for all managers of the pool, also those that
// are made later. A subscriber that falls behind by more than 1024 events loses the
// oldest.
func (p *Pool) Subscribe() (<-chan Event, func()) { return p.own.events.hub.Subscribe() }

// Accounts lists the tokens in [PoolConfig].Store, of those that match: each field
// of of that is not empty has to be the same; a zero Key is all. Its Issuer is that
// of the authorization server that issued the token. What is listed has no secret.
// No use of a token is stored. Used is what this pool knows; of other replicas, and of
// earlier times, Saved is the best there is: the last login or refresh.
// Errors are those of [Lister]; *[ConfigError] for a store that cannot list.
func (p *Pool) Accounts(ctx context.Context, of Key) iter.Seq2[StoreEntry, error] {
	return func(yield func(StoreEntry, error) bool) {
		used := make(map[poolKey]time.Time)
		for _, key := range p.using(Key{Subject: of.Subject}) {
			used[key.canonical] = key.used
		}
		for e, err := range p.entries(ctx, of) {
			if err == nil && (e.Key.Resource == "" || !e.HasToken && !e.HasRefreshToken) {
				continue // a registration, or a login under way
			}
			e.Used = used[poolKey{e.Key.Subject, e.Key.Resource}]
			if !yield(e, err) {
				return
			}
		}
	}
}

// entries lists all that matches, also what has no token.
func (p *Pool) entries(ctx context.Context, of Key) iter.Seq2[StoreEntry, error] {
	return func(yield func(StoreEntry, error) bool) {
		l, ok := p.store().(Lister)
		switch {
		case p.own.elsewhere.Load():
			yield(StoreEntry{}, &ConfigError{"PoolConfig.Store", "is nil, but a configuration has a Store of its own; set it to that"})
			return
		case !ok:
			yield(StoreEntry{}, &ConfigError{"PoolConfig.Store", "cannot list what it holds; use one that is an auth.Lister, or name the subject and the resource"})
			return
		}
		of, err := canonicalKey(of)
		if err != nil {
			yield(StoreEntry{}, err)
			return
		}
		for e, err := range l.List(ctx) {
			if err == nil && !matches(e, of) {
				continue
			}
			if err != nil {
				err = &StoreError{Op: "list", Err: err}
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

func matches(e StoreEntry, of Key) bool {
	return (of.Subject == "" || of.Subject == e.Key.Subject) && (of.Resource == "" || of.Resource == e.Key.Resource) &&
		(of.ClientID == "" || of.ClientID == e.Key.ClientID) && (of.Issuer == "" || discovery.SameIssuer(of.Issuer, e.Issuer))
}

// canonicalKey is of with its resource in the form that stores have.
func canonicalKey(of Key) (Key, error) {
	if of.Resource == "" {
		return of, nil
	}
	canonical, err := checkNames(httpx.Anywhere{}, of.Resource, of.Subject)
	of.Resource = canonical
	return of, err
}

// Logout revokes the tokens that match, see [Pool.Accounts], at their authorization
// servers where those can, and forgets them here, in the store and on all replicas.
// One of a user has Subject and Resource, all of a user Subject, and everybody's at
// a server Issuer. Web logins under way are forgotten likewise, and links that lead
// to one, but for Issuer, which they have none of yet. With a Subject alone nothing of
// that user is left in the store. Clients that were registered stay, for others use
// them. It goes on after an error, and joins them: those of [Manager.Revoke], but for
// [ErrNoRevocation], and of the store. n is how many tokens were forgotten. *[ConfigError]: of is zero, which would be everybody.
func (p *Pool) Logout(ctx context.Context, of Key) (n int, err error) {
	if of == (Key{}) {
		return 0, &ConfigError{"of", "is zero, which would log out everybody; name a subject, a resource or an issuer"}
	}
	canonical, err := canonicalKey(of)
	if err != nil {
		return 0, err
	}
	var errs []error
	var tokens, rest []StoreEntry
	if _, lists := p.store().(Lister); lists || of.Subject == "" || of.Resource == "" {
		for e, err := range p.entries(ctx, Key{Subject: of.Subject}) {
			switch {
			case err != nil:
				errs = append(errs, err)
			case e.Key.Resource == "" && p.hasBegun(ctx, e, canonical):
				rest = append(rest, e)
			case e.Key.Resource != "" && matches(e, canonical):
				tokens = append(tokens, e)
			}
		}
	}
	for _, e := range rest { // first: no login that is under way may end afterwards
		errs = append(errs, p.remove(ctx, e.Key))
	}
	done := make(map[poolKey]bool)
	for _, key := range p.using(canonical) { // a manager may have what could not be stored
		done[key.canonical] = true
		n += p.logOut(ctx, key.poolKey, &errs)
	}
	for _, e := range tokens {
		key := poolKey{e.Key.Subject, e.Key.Resource}
		if !done[key] {
			n += p.logOut(ctx, key, &errs)
		}
		errs = append(errs, p.remove(ctx, e.Key)) // also if it is of a configuration that is not used any more
	}
	return n, errors.Join(errs...)
}

// hasBegun reports whether e, which has no token, is a web login that matches.
// Whatever else has a subject goes with the subject.
func (p *Pool) hasBegun(ctx context.Context, e StoreEntry, of Key) bool {
	switch {
	case of == (Key{Subject: e.Key.Subject}):
		return true
	case e.Key.Issuer != suspended.KeyIssuer || of.ClientID != "" || !matches(e, Key{Subject: of.Subject, Issuer: of.Issuer}):
		return false
	case of.Resource == "":
		return true
	}
	rec, err := p.store().Load(ctx, e.Key)
	if err != nil {
		return false
	}
	at, err := canonicalKey(Key{Resource: rec.Resource})
	return err == nil && at.Resource == of.Resource
}

// logOut logs one account out, and returns how many tokens that forgot.
func (p *Pool) logOut(ctx context.Context, key poolKey, errs *[]error) (n int) {
	err := (&PoolSource{p, key}).Use(func(m *Manager) error {
		had, err := m.revoke(ctx)
		if had {
			n = 1
		}
		return err
	})
	if err != nil && !errors.Is(err, ErrNoRevocation) {
		*errs = append(*errs, err)
	}
	return n
}

// remove takes a record out of the store, whoever writes it meanwhile.
func (p *Pool) remove(ctx context.Context, key Key) error {
	for range 3 {
		rec, err := p.store().Load(ctx, key)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return &StoreError{Op: "load", Err: err}
		}
		err = p.store().Delete(ctx, key, rec.Generation)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrConflict) {
			return &StoreError{Op: "delete", Err: err}
		}
	}
	return &StoreError{Op: "delete", Err: ErrConflict}
}

// memberKey is a member of the pool, by its own name and that of the store.
type memberKey struct {
	poolKey
	canonical poolKey
	used      time.Time // last
}

// using are the members that match.
func (p *Pool) using(of Key) (keys []memberKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, member := range p.members {
		m := member.manager
		e := StoreEntry{Key: m.vault.key(), Issuer: m.vault.current().Issuer}
		if matches(e, of) {
			used := time.Unix(0, member.used)
			if member.users > 0 {
				used = wallNow()
			}
			keys = append(keys, memberKey{key, poolKey{e.Key.Subject, e.Key.Resource}, used})
		}
	}
	return keys
}

// store is where the pool's tokens are.
func (p *Pool) store() Store {
	if p.cfg.Store != nil {
		return p.cfg.Store
	}
	return &p.own.store
}
