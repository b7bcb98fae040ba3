package auth

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/auth/internal/tracing"
	"github.com/mcptokens/mcptokens/auth/internal/turn"
	"github.com/mcptokens/mcptokens/internal/errtext"
)

// saveTimeout bounds one save. It starts when the token is there, whatever is
// left of the operation's own time.
const saveTimeout = 10 * time.Second

// vault is one credential in a [Store] that other processes may share. It
// knows nothing of the network and of managers: transactions go in, versioned
// records come out. It never holds its lock across I/O.
type vault struct {
	cfg                *storeConfig
	canonical, subject string
	watch              atomic.Pointer[memoryWatch] // the manager's, which knows what it saves itself; nil: none

	mu sync.Mutex
	// held is the credential in use: newer than the store's if it could not be
	// stored. It is never nil, and no record is ever changed in place.
	held    *Record
	version uint32 // of held; it orders the results of concurrent operations
	tokens  uint32 // the last serial of a token
	// extra is what few credentials have; nil: nothing.
	extra *extra
}

// storeConfig is what the vaults of one configuration have in common.
type storeConfig struct {
	store  Store
	client *Client // as configured: it is part of the key
	server *Server // as configured; nil: it is discovered
	keys   ProofKeys
	trace  *tracing.Reporter
	// private: the store is the manager's own. anyway: tokens are refreshed
	// from memory while it cannot be reached.
	private, anyway bool
	// alone: each credential has one manager, so that there are no hints.
	alone bool
	// crowd is what many managers with one store have; nil: there is no pool.
	crowd *crowd
}

// first is the issuer of a credential without a token; empty: not known.
func (c *storeConfig) first() string {
	if c.server == nil {
		return ""
	}
	return c.server.Issuer
}

// extra is what few credentials have: a proof key, and what the store does not
// have yet, or has too much.
type extra struct {
	// binding is the proof key that tokens are bound to; nil: none yet.
	binding *binding
	// token: that of held. replaced are the refresh tokens that led to it, as
	// far back as the store may be: a save that failed may have arrived.
	token    bool
	replaced []string
	// limits of step-ups; nil: those of held are stored.
	limits    []StepUpLimit
	hasLimits bool
	wanted    []string // scopes that calls lacked which nobody waits for
	// undeleted was forgotten, but the store may hold it still.
	undeleted *Token
	// doubt is until when another process may have a newer token than this one and
	// the store, which went back in time; zero: it did not.
	doubt time.Time
	// corrupt is since when the store has a record that is none, and nothing is held
	// here to put in its place; zero: it has not.
	corrupt time.Time
}

// held is a credential, and its place in the order of all that were in use.
type held struct {
	*Record
	version uint32
	unsaved bool
}

// newer reports whether h came into use after other.
func (h held) newer(other held) bool { return h.version > other.version }

func (v *vault) init(cfg *storeConfig, canonical, subject string) {
	v.cfg, v.canonical, v.subject = cfg, canonical, subject
	v.held, v.version = &Record{Resource: canonical, Issuer: cfg.first()}, 1
}

// key names the credential's record in the store.
func (v *vault) key() Key {
	return Key{Resource: v.canonical, Issuer: v.cfg.client.Issuer, ClientID: v.cfg.client.ID, Subject: v.subject}
}

// current is the credential in use.
func (v *vault) current() held {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.snapshot()
}

// issuer is the authorization server of what is held.
func (v *vault) issuer() string { return v.current().Issuer }

func (v *vault) snapshot() held {
	return held{v.held, v.version, v.extra != nil && v.extra.token}
}

// name gives rec's token the names by which the machine tells tokens apart.
// The caller holds v.mu, and no other goroutine has the record yet.
func (v *vault) name(rec *Record) {
	old := v.held.Token
	if t := rec.Token; t != nil {
		if t.evidence == nil {
			t.evidence = new(evidence)
		}
		shared := t.serial() != 0
		if !shared {
			v.tokens++
			t.evidence.serial = v.tokens
			t.Scopes = v.cfg.crowd.sameScopes(t.Scopes)
		}
		var renewal uint32
		switch {
		case t.RefreshToken == "":
		case old != nil && old.RefreshToken == t.RefreshToken:
			renewal = old.evidence.renewal
		default:
			v.tokens++
			renewal = v.tokens
		}
		if shared && t.evidence.renewal != renewal {
			t.evidence = t.evidence.renewed(renewal)
		} else if !shared {
			t.evidence.renewal = renewal
		}
	}
}

// put brings a record into use that has names. The caller holds v.mu.
func (v *vault) put(rec *Record) {
	if t := rec.Token; t != nil {
		if t.binding != nil {
			v.more().binding = t.binding
		}
		if v.extra != nil {
			v.extra.undeleted = nil
			v.tidy()
		}
	}
	v.held = rec
	v.version++
}

// more makes the rare part of the state; the caller holds v.mu.
//
//go:noinline
func (v *vault) more() *extra {
	if v.extra == nil {
		v.extra = new(extra)
	}
	return v.extra
}

// tidy drops the rare part when nothing is left of it; the caller holds v.mu.
func (v *vault) tidy() {
	if e := v.extra; e != nil && e.binding == nil && !e.token && !e.hasLimits && e.undeleted == nil && e.wanted == nil && !time.Now().Before(e.doubt) && e.corrupt.IsZero() {
		v.extra = nil
	}
}

// read takes over what the store holds: another process may have rotated, logged
// in or logged out.
func (v *vault) read(ctx context.Context) (held, error) {
	for replaced := false; ; {
		before := v.current()
		rec, err := v.cfg.store.Load(ctx, v.key())
		if errors.Is(err, errtext.Corrupt) && before.Token != nil && !replaced && v.replaceCorrupt(ctx, before) {
			replaced = true
			continue
		}
		if v.isLost(err) {
			err = ErrNotFound
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return before, &StoreError{Op: "load", Err: err}
		}
		var key *binding
		if err == nil {
			key = v.loadKey(rec)
		}
		v.mu.Lock()
		if v.held != before.Record {
			// Another record came into use during the read, and may be newer:
			// hints and logins read without the store's lock.
			v.mu.Unlock()
			continue
		}
		adopted := err == nil && v.catchUp(rec, key)
		if err != nil {
			v.catchUpWithNothing()
		}
		now := v.snapshot()
		v.mu.Unlock()
		if adopted {
			v.cfg.trace.Step(ctx, authtrace.StepAdopt, time.Now(), nil)
		}
		return now, nil
	}
}

// forgetClient drops the registration that the server no longer knows,
// and so no refresh token of it either.
func (v *vault) forgetClient(ctx context.Context, clientID string) {
	rec := *v.current().Record
	if rec.Registration == nil || rec.Registration.ClientID != clientID {
		return
	}
	rec.Registration = nil
	if rec.Token != nil {
		rec.Token = rec.Token.copy()
		rec.Token.RefreshToken = ""
	}
	_ = v.save(ctx, &rec) // a failure is retried in the background, as for any token
}

// takeTurn waits until this process may ask a person, where all who share the
// store do so in turn [invariant 13]. done looks whether another has done it.
func (v *vault) takeTurn(ctx context.Context, patience time.Duration, done func(context.Context) bool, waits func()) (turn.Turn, error) {
	if v.cfg.private {
		return turn.Turn{End: func() {}}, nil
	}
	start := time.Now()
	t, err := turn.Take(ctx, turn.Of{
		Lock: func(ctx context.Context) (func(), error) { return v.cfg.store.Lock(ctx, v.key().Login()) },
		Done: done, Waits: waits, Patience: patience,
	})
	if err == nil { // else the login is given up
		v.cfg.trace.Step(ctx, authtrace.StepTurn, start, nil)
	}
	return t, err
}

// refused notes that a person refused, for those who wait for their turn and for the
// next login.
func (v *vault) refused(ctx context.Context, r *LoginRefusal) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	unlock, err := v.lock(ctx, v.key())
	if err != nil {
		return
	}
	defer unlock()
	if _, err := v.read(ctx); err == nil {
		rec := *v.current().Record
		rec.Refusal = r
		_ = v.save(ctx, &rec)
	}
}

// lock takes the lock of a key.
func (v *vault) lock(ctx context.Context, key Key) (func(), error) {
	start := time.Now()
	unlock, err := v.cfg.store.Lock(ctx, key)
	if err != nil {
		unlock, err = nil, &StoreError{Op: "lock", Err: err}
	}
	v.cfg.trace.Step(ctx, authtrace.StepLock, start, err)
	return unlock, err
}

// probe finds out whether what is about to be requested could be stored.
func (v *vault) probe(ctx context.Context) error {
	p, ok := v.cfg.store.(Prober)
	if !ok {
		return nil
	}
	if err := p.Probe(ctx, v.key()); err != nil {
		return &StoreError{Op: "probe", Err: err}
	}
	return nil
}

// secrets are those of the credential in use, which its server knows.
func (v *vault) secrets() []string { return secretsOf(v.current().Record) }

func secretsOf(rec *Record) (list []string) {
	if rec.Token != nil {
		list = append(list, rec.Token.AccessToken, rec.Token.RefreshToken, rec.Token.Extra.Text("id_token"))
	}
	if rec.Registration != nil {
		list = append(list, rec.Registration.ClientSecret, rec.Registration.RegistrationAccessToken)
	}
	return list
}

// proofKey returns the key that tokens are bound to, making it at its first
// use; nil when they are not bound.
func (v *vault) proofKey() (*binding, error) {
	if v.cfg.keys == nil {
		return nil, nil
	}
	if b := v.bound(); b != nil {
		return b, nil
	}
	key, err := v.cfg.keys.New()
	if err != nil {
		return nil, &ConfigError{"Config.DPoP", "cannot make a key: " + safeCause(err)}
	}
	data, err := key.Marshal()
	if err != nil {
		return nil, &ConfigError{"Config.DPoP", "cannot marshal its key: " + safeCause(err)}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if e := v.more(); e.binding == nil {
		e.binding = &binding{key: key, data: data}
	}
	return v.extra.binding, nil
}

// bound is the proof key in use; nil: none yet.
func (v *vault) bound() *binding {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.extra == nil {
		return nil
	}
	return v.extra.binding
}

// loadKey restores the key of a stored record; nil when there is none or it
// cannot be used.
func (v *vault) loadKey(rec *Record) *binding {
	if v.cfg.keys == nil || len(rec.ProofKey) == 0 {
		return nil
	}
	if b := v.bound(); b != nil && string(b.data) == string(rec.ProofKey) {
		return b
	}
	key, err := v.cfg.keys.Load(rec.ProofKey)
	if err != nil {
		return nil
	}
	return &binding{key: key, data: rec.ProofKey}
}
