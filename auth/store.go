package auth

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/mcptokens/mcptokens/auth/registration"
)

// What the methods of a [Store] return.
var (
	// ErrNotFound is what [Store.Load] returns for a key that holds nothing.
	ErrNotFound = errors.New("auth: no record")
	// ErrConflict is what [Store.Save] and [Store.Delete] return when the record
	// has changed since it was loaded.
	ErrConflict = errors.New("auth: record changed meanwhile")
)

// Key names a record in a [Store]. It is comparable, and prints no Subject.
type Key struct {
	// Resource is the MCP server's URL; empty for a client registration, which
	// is shared by all resources of its issuer.
	Resource string
	// Issuer is the authorization server: the configured one, or for a client
	// registration the one that it was made with.
	Issuer string
	// ClientID is the configured client; empty when clients are registered on
	// demand.
	ClientID string
	// Subject is whose token it is: [Config.Subject].
	Subject string
}

// Record is what is stored under a [Key]: a credential and what is bound to
// it, or a client registration alone. It redacts itself, as [Token] does.
type Record struct {
	// Generation counts the saves of this key; the store sets it. 0: never
	// saved.
	Generation uint64
	// Issuer and Resource are what the token is for. A refresh token is sent
	// to its issuer only.
	Issuer, Resource string
	// Endpoints are those of Issuer; nil when they are not known. They are used
	// while nothing better is known, and with Issuer only; a client's secret goes
	// to them only if the program named Issuer and they are of its origin.
	Endpoints *Endpoints
	// Token is the newest token; nil when there is none.
	Token *Token
	// Obtained is when the authorization server issued Token, for its whole
	// lifetime; zero when that is not known.
	Obtained time.Time
	// Requested are the scopes asked for so far; the next authorization asks
	// for them again.
	Requested []string
	// ProofKey is the private key that the token is bound to, as
	// [ProofKey.Marshal] returned it; nil when it is not bound.
	ProofKey []byte
	// Registration is the dynamically registered client that the token
	// belongs to, or nil.
	Registration *registration.Client
	// StepUps are the limits on scope upgrades that are in force.
	StepUps []StepUpLimit
	// Replaced has hashes of the last refresh tokens that led to Token's, or is empty:
	// of two records it shows which one is newer. It is no text.
	Replaced string
	// Restored is when a manager found that the store went back in time and stored the
	// record again; nil: that is over. Another may have a newer one, so whoever reads
	// it sends no refresh token for some seconds.
	Restored *time.Time
	// Refusal is the last login that the user refused, or nil. A login that works
	// ends it.
	Refusal *LoginRefusal
}

// LoginRefusal is a login that a person refused, or left without an answer. The
// processes that waited for it do not ask again.
type LoginRefusal struct {
	At     time.Time `json:"at"`
	Issuer string    `json:"issuer,omitempty"`
	// Code is what the authorization server said, such as "access_denied"; empty:
	// there was no answer in time.
	Code string `json:"code,omitempty"`
	// Scopes were asked for.
	Scopes []string `json:"scopes,omitempty"`
}

// StepUpLimit remembers how often one set of scopes was asked for without success, so
// that a restart does not open another browser window.
type StepUpLimit struct {
	Scopes   []string  `json:"scopes"`
	Attempts int       `json:"attempts"`
	Until    time.Time `json:"until"`
	// Granted: they were granted, and the resource does not see them.
	Granted bool `json:"granted,omitempty"`
}

// clone returns a copy that shares nothing that anybody changes.
func (r *Record) clone() *Record {
	c := *r
	c.Requested = slices.Clone(r.Requested)
	c.StepUps = slices.Clone(r.StepUps)
	c.Endpoints = r.Endpoints.clone()
	if r.Token != nil {
		t := *r.Token
		t.Scopes, t.Extra = slices.Clone(t.Scopes), maps.Clone(t.Extra)
		c.Token = &t
	}
	if r.Registration != nil {
		reg := *r.Registration
		c.Registration = &reg
	}
	if r.Restored != nil {
		restored := *r.Restored
		c.Restored = &restored
	}
	if r.Refusal != nil {
		refusal := *r.Refusal
		refusal.Scopes = slices.Clone(refusal.Scopes)
		c.Refusal = &refusal
	}
	return &c
}

// Store keeps records: in memory by default. auth/store has more, for files,
// the operating system's keyring, Redis, PostgreSQL and SQLite, and one that
// encrypts what any of them keeps; auth/store/storetest shows whether one of
// your own keeps this contract.
//
// Its methods may be called from many goroutines at once, and several managers,
// also of several processes and machines, may share what it stores. An error
// other than [ErrNotFound] and [ErrConflict] means that the store does not know;
// the manager goes on with the token it has and tries again. An error with a
// method Retryable() bool that returns false, its own or that of an error which
// it wraps, is permanent: the record is there and cannot be read, or cannot be
// stored, until a person does something. It is returned at once, and a new login
// would not help; any other is tried again for a while.
//
// A store that can do more implements [Prober], [Watcher], [Lister] or [Leaser].
type Store interface {
	// Load returns the record of key, or [ErrNotFound]. The caller owns what
	// it returns.
	//
	// A record that is gone means that another process has logged out. The
	// manager then forgets a token that is still good: a logout has to reach
	// all processes, and one of them may have spent a refresh token that is
	// not kept. So a store that has lost its data logs everyone out, and one
	// that only cannot reach them has to return another error.
	//
	// A record that is no record any more is store.ErrCorrupt. A manager that has a
	// token saves it in its place, with generation 0, so the store puts what it
	// found aside, or takes that save for a first one.
	//
	// A store may go back in time, restored or failed over. A manager that has the
	// newer record, by what Replaced says and when it was obtained, saves it again,
	// and sends no refresh token for some seconds: another may have a newer one yet.
	Load(ctx context.Context, key Key) (*Record, error)

	// Save stores r under key if the stored record still has r.Generation (0:
	// there is none), and returns the generation it has now: r.Generation+1
	// where it replaced a record, and for a first one a number higher than any
	// that key had before. [ErrConflict]: it has not, and nothing was changed.
	// When Save returns nil the record is durable by the store's own measure.
	// Save keeps no reference to r.
	Save(ctx context.Context, key Key, r *Record) (generation uint64, err error)

	// Delete removes the record of key if it still has generation.
	// [ErrConflict]: it has not. A record that is not there is no error.
	Delete(ctx context.Context, key Key, generation uint64) error

	// Lock waits until the caller alone holds key's lock, or until ctx ends.
	// The manager holds it around one token request, never longer than
	// [Config.RefreshTimeout] and [Config.AnswerTimeout] together; one that lives
	// must not lose it before. unlock is called exactly once. Load, Save and
	// Delete do not need the lock; it saves requests, while the generation
	// saves the data. A lock whose holder dies has to become free by itself,
	// within seconds.
	//
	// The lock of [Key.Login] is held for minutes: while the manager asks a
	// person, up to [Config.AuthorizationTimeout], so that of all processes one
	// opens a window. The others wait for it, look into the store, and take over
	// when it is free and there is nothing: neither a token, nor a
	// [Record.Refusal] that is new. The lock of the key itself is free meanwhile,
	// for refreshes. A lock that ends too early costs another window.
	Lock(ctx context.Context, key Key) (unlock func(), err error)
}

// Prober is implemented by stores that can tell beforehand whether a save
// would succeed.
type Prober interface {
	// Probe returns the error that saving under key would, as far as can be
	// seen. The manager calls it under the lock before it spends a refresh
	// token: a token that is rotated and cannot be stored is lost with the
	// process. It calls it without the lock before it asks a person, perhaps in
	// several processes at once.
	Probe(ctx context.Context, key Key) error
}

// Watcher is implemented by stores that hear of changes which others make.
type Watcher interface {
	// Watch calls changed, from a goroutine of the store, soon after the
	// record of key may have changed, also for changes of the caller's own. It
	// is a hint: calls may be missing and may come for nothing. stop ends it
	// and waits for a call under way.
	Watch(key Key, changed func()) (stop func())
}

// Leaser is implemented by stores whose lock is a lease, which its holder can
// lose while it lives: suspended, or cut off from the server.
type Leaser interface {
	// Held reports whether the lock of key that Lock gave to a caller of this
	// store, and that was not let go, is certainly held still. It asks nobody and
	// returns at once. The manager calls it before it makes a request with a
	// refresh token, and when the connection takes that; if it is not held, the
	// manager takes the lock again and reads what others stored.
	Held(key Key) bool
}

// Lister is implemented by stores that can say what they hold: for a page of
// accounts, or to delete what is left of a user who is gone.
type Lister interface {
	// List returns what the store holds, in no order. What is saved or deleted
	// meanwhile may be in it or not; everything else is in it once. The store
	// holds no lock and no connection while the loop's body runs, which may
	// delete.
	//
	// An error stands for one record that cannot be read, and the entry has its
	// Key if that is known; the list goes on. Or it ends the list: ctx's error,
	// and any other after which nothing comes. A store that wraps another which
	// cannot list returns [errors.ErrUnsupported].
	List(ctx context.Context) iter.Seq2[StoreEntry, error]
}

// StoreEntry is a record in a list. It has no secret.
type StoreEntry struct {
	// Key and Generation are what [Store.Delete] needs. Key.Resource is empty
	// for a client registration without a token.
	Key        Key
	Generation uint64
	// Issuer is the authorization server that issued the token.
	Issuer string
	// Scopes were granted with the newest token.
	Scopes []string
	// Expiry is when the access token ends, Obtained when it was issued, Saved
	// when the record was stored last by the store's clock; zero when unknown.
	Expiry, Obtained, Saved time.Time
	// Used is when a call of this process used the token last: of [Pool.Accounts], and
	// as long as the pool keeps the manager ([PoolConfig].Idle). Zero when unknown, as
	// it is in a [Lister]'s list.
	Used time.Time
	// HasToken: there is an access token, alive or not. HasRefreshToken: it can
	// be renewed.
	HasToken, HasRefreshToken bool
}

// Entry is what a [Lister] says of r, stored under key at the time saved.
func (r *Record) Entry(key Key, saved time.Time) StoreEntry {
	e := StoreEntry{Key: key, Generation: r.Generation, Issuer: r.Issuer, Obtained: r.Obtained, Saved: saved}
	if t := r.Token; t != nil {
		e.Scopes, e.Expiry = slices.Clone(t.Scopes), t.Expiry
		e.HasToken, e.HasRefreshToken = t.AccessToken != "", t.RefreshToken != ""
	}
	return e
}
