package sealed

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store"
)

// sealer seals what another store keeps.
type sealer struct {
	below auth.Store
	keys  []Key // the first seals
}

// hinting is a sealer whose store below gives hints. A manager looks at a store
// that gives none now and then, so the two have to be told apart.
type hinting struct {
	*sealer
	watcher auth.Watcher
}

// leasing is a sealer whose store below has locks that are good for minutes, and
// leasingHinting one of both kinds.
type (
	leasing struct {
		*sealer
		leaser auth.Leaser
	}
	leasingHinting struct {
		leasing
		watcher auth.Watcher
	}
)

var (
	_ auth.Prober  = (*sealer)(nil)
	_ auth.Lister  = (*sealer)(nil)
	_ auth.Leaser  = leasing{}
	_ auth.Leaser  = leasingHinting{}
	_ auth.Watcher = hinting{}
	_ auth.Watcher = leasingHinting{}
)

// New returns a store that seals with key what it stores in below, and opens
// what was sealed with key or with one of the older ones. It is an
// [auth.Watcher] or an [auth.Leaser] if below is one. It is an [auth.Prober] and
// an [auth.Lister] always: if below is none, a probe finds nothing wrong, and a
// list is [errors.ErrUnsupported]. Errors of its methods: *[Error] about a record,
// and those of the store below. New fails for a zero Key and for two with one ID.
func New(below auth.Store, key Key, older ...Key) (auth.Store, error) {
	s := &sealer{below: below, keys: append([]Key{key}, older...)}
	seen := make(map[string]bool)
	for _, k := range s.keys {
		if k.aead == nil {
			return nil, errNoKey
		}
		if seen[k.id] {
			return nil, errSameID
		}
		seen[k.id] = true
	}
	w, hints := below.(auth.Watcher)
	l, leases := below.(auth.Leaser)
	switch {
	case leases && hints:
		return leasingHinting{leasing{s, l}, w}, nil
	case leases:
		return leasing{s, l}, nil
	case hints:
		return hinting{s, w}, nil
	}
	return s, nil
}

// Format makes every fmt verb print the store without what it is around.
func (s *sealer) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "sealed store with %v", s.keys) }

// Load implements [auth.Store].
func (s *sealer) Load(ctx context.Context, key auth.Key) (*auth.Record, error) {
	at := below(key)
	found, err := s.below.Load(ctx, at)
	if err != nil {
		return nil, err
	}
	of, r, err := s.read("load", at, found)
	if err != nil {
		return nil, err
	}
	if of != key {
		return nil, &Error{Op: "load", Stored: at, Generation: found.Generation, Err: store.ErrCorrupt}
	}
	return r, nil
}

// read opens what was found under at. A number that is reserved is
// [auth.ErrNotFound].
func (s *sealer) read(op string, at auth.Key, found *auth.Record) (auth.Key, *auth.Record, error) {
	if isReserved(found) {
		return auth.Key{}, nil, auth.ErrNotFound
	}
	key, r, id, err := s.open(at, found)
	if err != nil {
		return auth.Key{}, nil, &Error{Op: op, KeyID: id, Stored: at, Generation: found.Generation, Err: err}
	}
	return key, r, nil
}

// Save implements [auth.Store].
func (s *sealer) Save(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	at, replaced := below(key), r.Generation
	next := *r
	next.Generation = 0 // it is authenticated with the record, and known only now if it is the first
	plain, err := store.Encode(key, &next)
	if err != nil {
		return 0, &Error{Op: "save", Stored: at, Generation: replaced, Err: err}
	}
	if replaced == 0 {
		if replaced, err = s.reserve(ctx, at); err != nil {
			return 0, err
		}
	}
	saved, err := s.below.Save(ctx, at, &auth.Record{Generation: replaced, ProofKey: s.seal(at, replaced+1, plain)})
	if err == nil && saved != replaced+1 {
		err = &Error{Op: "save", KeyID: s.keys[0].id, Stored: at, Generation: saved, Err: ErrMiscounted}
	}
	if err != nil {
		return 0, err
	}
	return saved, nil
}

// reserve gets a number for a first record, so that the record can be sealed
// for the one after it. One that is reserved already, by a process that died or
// is about to save, does as well: the next save decides whose it is.
func (s *sealer) reserve(ctx context.Context, at auth.Key) (uint64, error) {
	g, err := s.below.Save(ctx, at, &auth.Record{ProofKey: []byte(reserved)})
	if !errors.Is(err, auth.ErrConflict) {
		return g, err
	}
	found, loadErr := s.below.Load(ctx, at)
	switch {
	case errors.Is(loadErr, auth.ErrNotFound): // deleted just now
		return 0, err
	case loadErr != nil:
		return 0, loadErr
	case !isReserved(found):
		return 0, err
	}
	return found.Generation, nil
}

// Delete implements [auth.Store].
func (s *sealer) Delete(ctx context.Context, key auth.Key, generation uint64) error {
	err := s.below.Delete(ctx, below(key), generation)
	if errors.Is(err, auth.ErrConflict) {
		if found, loadErr := s.below.Load(ctx, below(key)); loadErr == nil && isReserved(found) {
			return nil // there is no record
		}
	}
	return err
}

// Lock implements [auth.Store].
func (s *sealer) Lock(ctx context.Context, key auth.Key) (unlock func(), err error) {
	return s.below.Lock(ctx, below(key))
}

// Held implements [auth.Leaser].
func (s leasing) Held(key auth.Key) bool { return s.leaser.Held(below(key)) }

// Probe implements [auth.Prober].
func (s *sealer) Probe(ctx context.Context, key auth.Key) error {
	if p, ok := s.below.(auth.Prober); ok {
		return p.Probe(ctx, below(key))
	}
	return nil
}

// Watch implements [auth.Watcher].
func (s hinting) Watch(key auth.Key, changed func()) (stop func()) {
	return s.watcher.Watch(below(key), changed)
}

// Watch implements [auth.Watcher].
func (s leasingHinting) Watch(key auth.Key, changed func()) (stop func()) {
	return s.watcher.Watch(below(key), changed)
}

// List implements [auth.Lister]. It loads each record, since the list below
// does not say what it is. What the store below holds beside sealed records is
// not in it.
func (s *sealer) List(ctx context.Context) iter.Seq2[auth.StoreEntry, error] {
	return func(yield func(auth.StoreEntry, error) bool) {
		l, ok := s.below.(auth.Lister)
		if !ok {
			yield(auth.StoreEntry{}, errors.ErrUnsupported)
			return
		}
		for stored, err := range l.List(ctx) {
			if err == nil && !strings.HasPrefix(stored.Key.Subject, prefix) {
				continue
			}
			var entry auth.StoreEntry
			if err == nil {
				entry, err = s.entry(ctx, stored)
			}
			if errors.Is(err, auth.ErrNotFound) {
				continue
			}
			if !yield(entry, err) {
				return
			}
		}
	}
}

// entry opens what the list below has.
func (s *sealer) entry(ctx context.Context, stored auth.StoreEntry) (auth.StoreEntry, error) {
	found, err := s.below.Load(ctx, stored.Key)
	if err != nil {
		return auth.StoreEntry{}, err
	}
	key, r, err := s.read("list", stored.Key, found)
	if err != nil {
		return auth.StoreEntry{}, err
	}
	return r.Entry(key, stored.Saved), nil
}
