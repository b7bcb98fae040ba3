package auth

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/internal/errtext"
)

// ErrNotFound is what [Store.Load] returns for a key that holds nothing.
var ErrNotFound = errtext.New("auth: no record")

// ErrConflict is what [Store.Save] and [Store.Delete] return when the record
// has changed since it was loaded.
var ErrConflict = errtext.New("auth: record changed meanwhile")

// Key names a record in a [Store]. It is comparable.
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
// it, or a client registration alone. It redacts itself.
type Record struct {
	// Generation counts the saves of this key; the store sets it. 0: never
	// saved.
	Generation uint64
	// Issuer and Resource are what the token is for. A refresh token is sent
	// to its issuer only.
	Issuer, Resource string
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
}

// StepUpLimit remembers how often one set of scopes was asked for in vain, so
// that a restart does not open another browser window.
type StepUpLimit struct {
	Scopes   []string  `json:"scopes"`
	Attempts int       `json:"attempts"`
	Until    time.Time `json:"until"`
}

// Format makes every fmt verb print the record without its secrets.
func (r Record) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "auth.Record{#%d %s %v}", r.Generation, r.Issuer, r.Token)
}

// LogValue implements [slog.LogValuer] without the secrets.
func (r Record) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(r)) }

// clone returns a copy that shares nothing that anybody changes.
func (r *Record) clone() *Record {
	c := *r
	c.Requested = slices.Clone(r.Requested)
	c.StepUps = slices.Clone(r.StepUps)
	if r.Token != nil {
		t := *r.Token
		t.Scopes = slices.Clone(t.Scopes)
		c.Token = &t
	}
	if r.Registration != nil {
		reg := *r.Registration
		c.Registration = &reg
	}
	return &c
}

// Store keeps records: in memory by default. auth/store has more, for files,
// the operating system's keyring and Redis; auth/store/storetest shows whether
// one of your own keeps this contract.
//
// Its methods may be called from many goroutines at once, and several managers,
// also of several processes and machines, may share what it stores. An error
// other than [ErrNotFound] and [ErrConflict] means that the store does not know;
// the manager goes on with the token it has and tries again.
//
// What a store can do beyond this it says by implementing [Prober] or
// [Watcher].
type Store interface {
	// Load returns the record of key, or [ErrNotFound]. The caller owns what
	// it returns.
	//
	// A record that was there and is not any more is a logout by somebody else:
	// the manager forgets the token, though it lives, because a logout has to
	// reach all processes, and because a refresh token that nobody keeps may
	// have been spent by one of them. So a store that has lost its data logs
	// everybody out, and one that only cannot get at them has to return another
	// error.
	Load(ctx context.Context, key Key) (*Record, error)

	// Save stores r under key if the stored record still has r.Generation (0:
	// there is none), and returns the generation it has now, a higher one.
	// [ErrConflict]: it has not, and nothing was changed. When Save returns
	// nil the record is durable by the store's own measure. Save keeps no
	// reference to r.
	Save(ctx context.Context, key Key, r *Record) (generation uint64, err error)

	// Delete removes the record of key if it still has generation.
	// [ErrConflict]: it has not. A record that is not there is no error.
	Delete(ctx context.Context, key Key, generation uint64) error

	// Lock waits until the caller alone holds key's lock, or until ctx ends.
	// The manager holds it around one token request, never longer than
	// [Config.RefreshTimeout]. unlock is called exactly once. Load, Save and
	// Delete do not need the lock; it saves requests, while the generation
	// saves the data.
	Lock(ctx context.Context, key Key) (unlock func(), err error)
}

// Prober is implemented by stores that can tell beforehand whether a save
// would succeed.
type Prober interface {
	// Probe returns the error that saving under key would, as far as can be
	// seen. The manager calls it under the lock before it spends a refresh
	// token: a token that is rotated and cannot be stored is lost with the
	// process.
	Probe(ctx context.Context, key Key) error
}

// Watcher is implemented by stores that hear of changes which others make.
type Watcher interface {
	// Watch calls changed, from a goroutine of the store's, soon after the
	// record of key may have changed, also for changes of the caller's own. It
	// is a hint: calls may be missing and may come for nothing. stop ends it
	// and waits for a call under way.
	Watch(key Key, changed func()) (stop func())
}

// redact is shared by the types whose every fmt verb prints one safe line.
func redact(f fmt.State, s string) { _, _ = io.WriteString(f, s) }
