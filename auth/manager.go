package auth

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/auth/internal/flight"
	"github.com/mcptokens/mcptokens/auth/internal/hub"
	"github.com/mcptokens/mcptokens/auth/internal/lifecycle"
)

// Manager obtains, refreshes, rotates, upgrades and keeps the token for one
// resource. It implements [Source] and [Accepter]. All methods may be called
// from many goroutines at once. Make one with [NewManager] and Close it.
//
// It is a shell: it asks the state machine of package lifecycle what to do,
// starts the operations and waits for them. docs/architecture.md has the
// picture.
type Manager struct {
	cfg     *shared
	given   *string // the resource as configured; nil: in its canonical form
	vault   vault
	flights flight.Group
	hub     atomic.Pointer[hub.Hub[Event]] // nil until somebody subscribes
	current atomic.Pointer[snapshot]

	mu sync.Mutex // guards st; never held across I/O or the program's code
	st state
}

// state is what a manager knows and does.
type state struct {
	machine lifecycle.Machine
	held    held // the credential that the machine knows of
	stepUps lifecycle.StepUps
	ops     *operation  // those that run, at most one of each kind
	timer   *time.Timer // the one timer, once it was needed; due at wake
	wake    int64       // Unix nanoseconds; 0: no timer
	unwatch func()      // ends the store's hints
}

// snapshot is what callers read without a lock: a token, and until when it may
// be handed out without a question; or else the renewal that gets the next one.
type snapshot struct {
	token   *Token
	until   int64 // wall clock, Unix nanoseconds
	renewal *operation
}

var (
	_ Source   = (*Manager)(nil)
	_ Accepter = (*Manager)(nil)
)

// NewManager returns a manager for cfg. It sends nothing; the first call that
// needs a token does. The error is a *[ConfigError] that names the field.
func NewManager(cfg Config) (*Manager, error) {
	network, err := cfg.Network.policy()
	if err != nil {
		return nil, err
	}
	canonical, err := cfg.names(network, cfg.Resource, cfg.Subject)
	if err != nil {
		return nil, err
	}
	s, err := newShared(cfg)
	if err != nil {
		return nil, err
	}
	return newManager(s, cfg.Resource, canonical, cfg.Subject), nil
}

func newManager(s *shared, resource, canonical, subject string) *Manager {
	m := &Manager{cfg: s}
	if resource != canonical {
		given := resource // only this one is on the heap
		m.given = &given
	}
	m.vault.init(&s.store, canonical, subject)
	m.st.machine = lifecycle.New(&s.policy, s.store.private) // our own memory holds nothing yet
	m.st.held = m.vault.current()
	if s.observer != nil {
		s.observer.TraceManagerOpen(m)
	}
	return m
}

// Token implements [Source]: it returns a token that is fresh now. Inside the
// refresh window it returns the token at once and refreshes it behind; only
// when there is no usable token does the caller wait, no longer than ctx.
//
// Errors: [ErrNoToken]; *[TokenError] when refreshing failed, the same one
// until the next attempt is due; *[ReauthorizationRequiredError] when only a
// login helps and no grant is configured; *[RejectedError] when servers
// reject every token; *[StoreError]; [ErrClosed]; and ctx's own.
func (m *Manager) Token(ctx context.Context) (*Token, error) {
	var op *operation
	if s := m.current.Load(); s != nil {
		if s.token != nil && time.Now().UnixNano() < s.until {
			return s.token, nil
		}
		op = s.renewal
	}
	if op == nil {
		op = m.renewal(ctx)
	}
	if op != nil {
		if tok := m.renewed(ctx, op); tok != nil {
			return tok, nil
		}
	}
	return m.fresh(ctx, op)
}

// renewal returns the renewal that gets the next token, begun now if need be; nil
// if there is something else to do. A caller waits for it in Token itself, where its
// stack is small: serve needs a large frame, and in a herd, or in a queue of
// 100,000, every stack would have to keep it. "go run ./internal/bench -run
// herd,idle" shows what that costs.
//
//go:noinline
func (m *Manager) renewal(ctx context.Context) *operation {
	if m.cfg == nil || !m.cfg.store.trace.Silent() {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now, n := wallNow(), lifecycle.Need{Kind: lifecycle.Fresh, NoUser: isWithoutUser(ctx)}
	if d := m.st.machine.Next(now, &n); d.Op != lifecycle.Renew || d.Action != lifecycle.Wait {
		return nil
	}
	op, _ := m.join(ctx, lifecycle.Renew, asked{trigger: authtrace.TriggerExpired})
	m.publish(now)
	return op
}

// fresh asks the machine, after a renewal that was waited for (nil: none). It is a
// function of its own, and not inlined, for the same reason.
//
//go:noinline
func (m *Manager) fresh(ctx context.Context, op *operation) (*Token, error) {
	n := lifecycle.Need{Kind: lifecycle.Fresh}
	if op != nil && op.flight.Over() {
		res, _ := op.flight.Result()
		n.After(lifecycle.Renew, res.failure)
	}
	return m.serve(ctx, n, asked{trigger: authtrace.TriggerExpired})
}

// Resolve implements [Source]. What it does depends on the challenge:
//
//   - The token in use is another one than rejected: it is returned. A late
//     401 for an old token does nothing to its successor.
//   - It lacks scopes: they are asked for, see [Manager.UpgradeScopes]. One
//     set of scopes is asked for at most [Config.StepUpLimit] times; then the
//     same challenge gets *[InsufficientScopeError] at once for a while.
//   - Otherwise evidence decides: a token that is seconds old, or that other
//     requests are accepted with, is returned once more, after a short wait;
//     then it is refreshed if it can be, else the grant is used, which may
//     involve the user. Calls of [Manager.Accepted] are the evidence.
//
// Callers that wait for the same thing share one operation, which outlives
// them: a refresh is always finished, an authorization goes on for half a
// minute after the last caller has gone.
//
// Errors: *[ReauthorizationRequiredError], *[InsufficientScopeError],
// *[RejectedError], those of [Manager.Token] and [Manager.Authorize].
func (m *Manager) Resolve(ctx context.Context, rejected *Token, c Challenge) (*Token, error) {
	c.Scopes = onlyScopes(c.Scopes) // whatever a transport of the program takes for scopes
	named, scopes := c.Scopes, c.InsufficientScope()
	c.Scopes = m.cfg.obtainer.asks.choose(named)
	if scopes && rejected != nil {
		return m.stepUp(ctx, rejected, c, named)
	}
	return m.serve(ctx, needOf(c), asked{trigger: authtrace.TriggerChallenge, challenge: &c, rejected: rejected})
}

// Accepted implements [Accepter]: a server accepted t. It costs one atomic load
// once that is known.
func (m *Manager) Accepted(t *Token) {
	if t.accept() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.st.machine.Accepted(m.idOf(t)) {
		m.publish(wallNow())
	}
	t.evidence.note(true) // also of an old token, which no longer says anything
}

// Refresh gets a new token now, whatever the age of the one in use, and
// returns it. A refresh that is under way already counts. Errors are those of
// [Manager.Token], and [ErrNoRefreshToken].
func (m *Manager) Refresh(ctx context.Context) (*Token, error) {
	return m.serve(ctx, lifecycle.Need{Kind: lifecycle.Renewal}, asked{trigger: authtrace.TriggerExplicit})
}

// Authorize returns a usable token, getting one now rather than at the first
// challenge: from the store, by refreshing, or by the grant, which may involve
// the user. It does not wait for pauses after earlier failures. Errors:
// *[ConfigError] when there is no grant, *[AuthorizationError], *[TokenError],
// *[discovery.Error], *[registration.Error], *[IssuerError], *[StoreError],
// [ErrClosed], and ctx's own.
func (m *Manager) Authorize(ctx context.Context) (*Token, error) {
	m.mu.Lock()
	m.st.machine.Forgive()
	m.mu.Unlock()
	return m.serve(ctx, lifecycle.Need{Kind: lifecycle.Authorization}, asked{trigger: authtrace.TriggerExplicit, challenge: &Challenge{}})
}

// UpgradeScopes gets a token with scopes in addition to those granted or asked
// for before: by the refresh token if there is one, checking what was granted;
// what that did not grant, by the grant. Calls at the same moment share one
// upgrade. *[InsufficientScopeError]: it was granted less. Without a grant that
// could do it the error is *[ReauthorizationRequiredError] with all scopes to
// ask for; other errors are those of [Manager.Authorize].
func (m *Manager) UpgradeScopes(ctx context.Context, scopes ...string) (*Token, error) {
	scopes = normalizeScopes(scopes)
	if len(scopes) == 0 {
		return nil, &ConfigError{"scopes", "is empty; name the scopes to add"}
	}
	if slices.ContainsFunc(scopes, func(s string) bool { return !isScope(s) }) {
		return nil, &ConfigError{"scopes", notScopes}
	}
	tok, err := m.upgrade(ctx, lifecycle.Need{Kind: lifecycle.Upgrade, Scopes: scopes}, nil, Challenge{Scopes: scopes}, authtrace.TriggerExplicit)
	if err == nil && !coversScopes(tok.Scopes, scopes) {
		return nil, &InsufficientScopeError{Required: scopes, Granted: tok.Scopes, Resource: m.vault.canonical, Attempts: 1}
	}
	return tok, err
}

// Load reads the store, if that was not done yet, so that [Manager.Info] tells
// what is there. It sends nothing to a server. Errors: *[StoreError],
// [ErrClosed], and ctx's own.
func (m *Manager) Load(ctx context.Context) error {
	done, err := m.loaded(ctx)
	if err == nil {
		done()
	}
	return err
}

// Close ends everything that the manager owns and waits for it: timers, waits,
// an authorization in progress. It waits for the answer to a request that is under
// way, up to [Config.AnswerTimeout], because that may be the only copy of a rotated
// refresh token. Afterwards every method returns [ErrClosed]. The error is a
// *[StoreError] if the newest token could not be stored.
func (m *Manager) Close() error {
	if m == nil || m.cfg == nil {
		return errUnmade
	}
	m.mu.Lock()
	first := !m.st.machine.Closed()
	m.st.machine.Close()
	m.publish(wallNow())
	unwatch := m.st.unwatch
	m.st.unwatch = nil
	m.mu.Unlock()
	if unwatch != nil {
		unwatch() // not under the lock, which the hint takes
	}
	m.flights.Close(closeGrace)
	if !first {
		return nil
	}
	err := m.vault.saveUnsaved(m.about(context.Background()))
	if h := m.hub.Load(); h != nil {
		h.Close()
	}
	if o := m.cfg.observer; o != nil {
		o.TraceManagerClose(m)
	}
	return err
}

// closeGrace is how long Close lets an operation finish that has not sent its token
// request yet, or does not need one. The answer to one that was sent is waited for in
// any case.
const closeGrace = 5 * time.Second

// Subscribe returns a channel of events and a function that ends the
// subscription and closes the channel; so does [Manager.Close]. A subscriber
// that falls behind loses the oldest events; it never delays the manager.
func (m *Manager) Subscribe() (<-chan Event, func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.st.machine.Closed() {
		ch := make(chan Event)
		close(ch)
		return ch, func() {}
	}
	h := m.hub.Load()
	if h == nil {
		h = new(hub.Hub[Event])
		m.hub.Store(h)
	}
	return h.Subscribe()
}

// Resource returns the URL of the MCP server that the tokens are for, as
// configured. transport.RoundTripper sends them to its origin only.
func (m *Manager) Resource() string {
	if m.given != nil {
		return *m.given
	}
	return m.vault.canonical
}

// BaseTransport returns the Transport of [Config.HTTPClient]; nil if it has none.
// transport.RoundTripper sends the requests to the MCP server with it, so that a CA,
// a client certificate or a proxy is set in one place.
func (m *Manager) BaseTransport() http.RoundTripper {
	if m.cfg == nil {
		return nil
	}
	return m.cfg.obtainer.finder.Transport()
}

// Format makes every fmt verb print the manager without its secrets.
func (m *Manager) Format(f fmt.State, _ rune) {
	redact(f, "auth.Manager{"+shownURL(m.vault.canonical)+"}")
}

// target is the resource that requests are about.
func (m *Manager) target() resource { return resource{m.Resource(), m.vault.canonical} }

// busy reports whether closing the manager would end something or lose a token.
func (m *Manager) busy() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.st.held.unsaved || m.st.ops != nil
}
