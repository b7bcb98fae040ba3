package auth

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcptokens/mcptokens/auth/admission"
)

// Defaults of PoolConfig, as its comments have them.
const (
	defaultMaxManagers = 10_000
	defaultPoolIdle    = time.Hour
)

// Pool keeps one [Manager] per subject and resource, for gateways that act for
// many users. Managers are made on demand, and closed when they have been idle
// for long. An idle one has no goroutine and takes less than 1 KiB beside the
// strings of its token, if it shares its configuration: PERFORMANCE.md has the
// figures for up to 100,000. Managers that share one also share what is
// discovered: users of one resource fetch its metadata and its authorization
// server's once for all of them. What is known of a resource is used for a
// minute, so that a login which begins right after the resource moved may be one
// at the server that it left; when a token is rejected, the resource is looked up
// again. What is known of a server is used for an hour. Make a pool with
// [NewPool] and Close it.
type Pool struct {
	cfg PoolConfig
	own poolDefaults

	closing closers       // managers being closed, and the timer
	done    chan struct{} // closed when Close is through

	mu      sync.Mutex
	closed  bool
	members map[poolKey]*poolMember
	idle    poolMember // the ring of members without users: next is the newest, prev the oldest
	configs map[*Config]*poolConfig
	timer   *time.Timer // for the oldest of idle; nil if there is none
}

// poolDefaults are for configurations that name no store and no client, and what
// all managers have in common.
type poolDefaults struct {
	store  MemoryStore
	client *http.Client
	gate   admission.Gate
	crowd  *crowd // of the pool's store
	events pooled
	// elsewhere: a configuration has a store that the pool does not know.
	elsewhere atomic.Bool
}

type poolKey struct{ subject, resource string }

type poolMember struct {
	manager *Manager
	config  *Config
	users   int
	used    int64 // since when it is idle: wall clock, Unix nanoseconds

	prev, next *poolMember // in Pool.idle; nil while there are users
}

func (m *poolMember) key() poolKey { return poolKey{m.manager.vault.subject, m.manager.Resource()} }

// enterIdle makes m the newest of the ring.
func (m *poolMember) enterIdle(ring *poolMember, now time.Time) {
	m.used = now.UnixNano()
	m.prev, m.next = ring, ring.next
	m.prev.next, m.next.prev = m, m
}

// leaveIdle takes m out of the ring, if it is there.
func (m *poolMember) leaveIdle() {
	if m.next != nil {
		m.prev.next, m.next.prev = m.next, m.prev
		m.prev, m.next = nil, nil
	}
}

// poolConfig is a configuration that members share.
type poolConfig struct {
	shared  *shared
	members int
}

// Source returns the tokens of one subject for one resource. It holds no
// manager, so it can be kept for as long as the pool lives, or made for every
// request. Errors of its methods are those of [Manager], those of
// [PoolConfig].Config and AllowResource, and a *[ConfigError] for an empty subject
// or for a resource that [PoolConfig].Resources does not list.
func (p *Pool) Source(subject, resource string) *PoolSource {
	return &PoolSource{pool: p, key: poolKey{subject, resource}}
}

// Format makes every fmt verb print the pool without its subjects.
func (p *Pool) Format(f fmt.State, _ rune) { redact(f, "auth.Pool{}") }

// Len returns how many managers there are.
func (p *Pool) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.members)
}

// Close closes all managers and waits for them. Managers in use end with
// [ErrClosed]. The error joins theirs.
func (p *Pool) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		<-p.done
		return nil
	}
	p.closed = true
	open := p.members
	p.members, p.configs = nil, nil
	p.idle.prev, p.idle.next = nil, nil
	if p.timer != nil && p.timer.Stop() {
		p.closing.Done()
	}
	p.mu.Unlock()
	defer close(p.done)
	p.closing.Wait()
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		errs  []error
		limit = make(chan struct{}, 64)
	)
	for _, member := range open {
		limit <- struct{}{}
		wg.Go(func() {
			defer func() { <-limit }()
			if err := member.manager.Close(); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	p.own.events.hub.Close()
	return errors.Join(errs...)
}

// acquire returns the member for key, made now if need be, and marks it used.
// The program's own code, which may use the pool, is called without the lock.
func (p *Pool) acquire(key poolKey) (*poolMember, error) {
	for {
		if member, err := p.find(key); member != nil || err != nil {
			return member, err
		}
		made, err := p.make(key)
		if err != nil {
			return nil, err
		}
		if p.add(key, made) {
			return made, nil
		}
		_ = made.manager.Close() // another call was faster; it has done nothing
	}
}

// add makes a member that of its key, and marks it used. It reports false if
// there is one already, or if the pool is closed.
func (p *Pool) add(key poolKey, made *poolMember) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.members[key] != nil {
		return false
	}
	p.members[key] = made
	p.count(made)
	made.users++
	p.evict(time.Now())
	return true
}

// find returns the member for key, marked used; nil if there is none.
func (p *Pool) find(key poolKey) (*poolMember, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	member, ok := p.members[key]
	if !ok {
		return nil, nil
	}
	member.leaveIdle()
	member.users++
	p.evict(time.Now())
	return member, nil
}

// make makes a member. Nothing is sent.
func (p *Pool) make(key poolKey) (*poolMember, error) {
	if err := p.cfg.allows(key); err != nil {
		return nil, err
	}
	cfg, err := p.cfg.Config(key.subject, key.resource)
	if err != nil {
		return nil, err
	}
	if cfg == nil {
		return nil, &ConfigError{"PoolConfig.Config", "returned nil; return a configuration or an error"}
	}
	network, err := cfg.Network.policy()
	if err != nil {
		return nil, err
	}
	canonical, err := cfg.names(network, key.resource, key.subject)
	if err != nil {
		return nil, err
	}
	s, err := p.shared(cfg)
	if err != nil {
		return nil, err
	}
	return &poolMember{manager: newManager(s, key.resource, canonical, key.subject), config: cfg}, nil
}

// count notes that a member uses its configuration. The pool may have dropped it
// with the last other member since then. The caller holds p.mu.
func (p *Pool) count(m *poolMember) {
	c := p.configs[m.config]
	if c == nil {
		c = &poolConfig{shared: m.manager.cfg}
		p.configs[m.config] = c
	}
	c.members++
}

// shared returns what the members of one configuration have in common.
func (p *Pool) shared(cfg *Config) (*shared, error) {
	p.mu.Lock()
	c := p.configs[cfg]
	p.mu.Unlock()
	if c != nil {
		return c.shared, nil
	}
	s, err := p.share(*cfg)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	if c := p.configs[cfg]; c != nil {
		return c.shared, nil
	}
	p.configs[cfg] = &poolConfig{shared: s}
	return s, nil
}

// share completes a configuration with what the pool has.
func (p *Pool) share(cfg Config) (*shared, error) {
	cfg.NoIdleRefresh = cfg.NoIdleRefresh || !p.cfg.RefreshIdle
	common := cfg.Store == nil // to all configurations
	switch {
	case cfg.Store == nil:
		cfg.Store = p.store()
	case p.cfg.Store == nil:
		p.own.elsewhere.Store(true)
	}
	if cfg.HTTPClient == nil {
		cfg.HTTPClient = p.own.client
	}
	if cfg.TokenRequests == nil {
		cfg.TokenRequests = &p.own.gate
	}
	s, err := newShared(cfg)
	if err != nil {
		return nil, err
	}
	s.pooled = &p.own.events
	if s.store.crowd = p.own.crowd; !common {
		s.store.crowd = newCrowd()
	}
	if cfg.Store == Store(&p.own.store) {
		s.store.alone, s.policy.Hints = true, false
	}
	return s, nil
}

func (p *Pool) release(member *poolMember) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if member.users--; member.users > 0 || p.closed {
		return
	}
	now := time.Now()
	member.enterIdle(&p.idle, now)
	p.evict(now)
	p.arm(now)
}

// arm sets the timer for the manager that was idle longest; the caller holds
// p.mu.
func (p *Pool) arm(now time.Time) {
	if oldest := p.idle.prev; p.timer == nil && oldest != &p.idle {
		p.closing.Add(1)
		idle := time.Duration(now.UnixNano() - oldest.used)
		p.timer = time.AfterFunc(min(p.cfg.Idle-idle, p.cfg.Idle), p.onTimer) // the clock may have been set back
	}
}

// onTimer closes idle managers while no calls come.
func (p *Pool) onTimer() {
	defer p.closing.Done()
	for {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return
		}
		now := time.Now()
		if p.evict(now) == 0 {
			p.timer = nil
			p.arm(now)
			p.mu.Unlock()
			return
		}
		p.mu.Unlock() // lets others in
	}
}

// evict closes managers that are idle too long or too many, and returns how
// many: a few at a time, so that no single call pays for all. The caller holds p.mu.
func (p *Pool) evict(now time.Time) (closed int) {
	for range 8 {
		member := p.idle.prev
		if member == &p.idle {
			return closed
		}
		if len(p.members) <= p.cfg.MaxManagers && time.Duration(now.UnixNano()-member.used) < p.cfg.Idle {
			return closed
		}
		member.leaveIdle()
		if member.manager.busy() {
			member.enterIdle(&p.idle, now)
			continue
		}
		delete(p.members, member.key())
		if c := p.configs[member.config]; c.members > 1 {
			c.members--
		} else {
			delete(p.configs, member.config)
		}
		p.closing.retire(member.manager) // has nothing to save
		closed++
	}
	return closed
}
