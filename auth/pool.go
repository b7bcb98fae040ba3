package auth

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// Defaults of [PoolConfig].
const (
	DefaultMaxManagers = 10_000
	DefaultPoolIdle    = time.Hour
)

// PoolConfig configures a [Pool]. Config is required.
type PoolConfig struct {
	// Config returns the configuration of the manager for a subject and a
	// resource, which the pool puts in the place of its Subject and Resource.
	// It is called once for each manager that is made, and must not block.
	// Return the same pointer wherever the rest is the same: the managers share
	// it, which is most of what they take in memory. It must not be changed
	// afterwards. Required.
	//
	// Give all of them one Store that outlives the pool: a manager that was
	// idle is closed, and finds its token there when it is needed again. A
	// configuration without a Store gets one in memory that the pool's
	// managers share; one without an HTTPClient shares the pool's.
	Config func(subject, resource string) (*Config, error)

	// MaxManagers is how many managers are kept; beyond that the one that was
	// idle longest is closed. One that is used, refreshes, authorizes or has a
	// token that could not be stored is not, so that there may be more for a
	// while. Default: 10,000.
	MaxManagers int

	// Idle is how long a manager that nobody uses is kept. Default: 1 hour.
	Idle time.Duration

	// RefreshIdle lets managers refresh by timer while nobody uses them.
	// Default: they refresh when they are asked.
	RefreshIdle bool
}

// Pool keeps one [Manager] per subject and resource, for gateways that act for
// many users. Managers are made on demand, and closed when they were idle for
// long. An idle one has no goroutine and takes less than 1 KiB beside the
// strings of its token, if it shares its configuration: PERFORMANCE.md has the
// figures for up to 100,000. Managers that share one also share what is
// discovered: users of one resource fetch its metadata and its authorization
// server's once for all of them. What is known of a resource is used for a
// minute, so that a login which begins right after the resource moved may be one
// at the server that it left; a token that is rejected has the resource looked up
// again. What is known of a server is used for an hour. Make a pool with
// [NewPool] and Close it.
type Pool struct {
	cfg    PoolConfig
	store  MemoryStore
	client *http.Client

	closing sync.WaitGroup // managers being closed, and the timer
	done    chan struct{}  // closed when Close is through

	mu      sync.Mutex
	closed  bool
	members map[poolKey]*poolMember
	idle    poolMember // the ring of members without users: next is the newest, prev the oldest
	configs map[*Config]*poolConfig
	timer   *time.Timer // for the oldest of idle; nil if there is none
}

type poolKey struct{ subject, resource string }

type poolMember struct {
	manager *Manager
	config  *Config
	users   int
	used    int64 // since when it is idle: wall clock, Unix nanoseconds

	prev, next *poolMember // in Pool.idle; nil while there are users
}

func (m *poolMember) key() poolKey { return poolKey{m.manager.subject, m.manager.resource} }

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

// NewPool returns an empty pool. The error is a *[ConfigError].
func NewPool(cfg PoolConfig) (*Pool, error) {
	if cfg.Config == nil {
		return nil, &ConfigError{"PoolConfig.Config", "is nil; set a function that returns the configuration for a subject and a resource"}
	}
	if cfg.MaxManagers < 0 || cfg.Idle < 0 {
		return nil, &ConfigError{"PoolConfig", "MaxManagers and Idle must not be negative; leave them zero for their defaults"}
	}
	if cfg.MaxManagers == 0 {
		cfg.MaxManagers = DefaultMaxManagers
	}
	cfg.Idle = orDefault(cfg.Idle, DefaultPoolIdle)
	p := &Pool{
		cfg: cfg, client: &http.Client{Timeout: 30 * time.Second}, done: make(chan struct{}),
		members: make(map[poolKey]*poolMember), configs: make(map[*Config]*poolConfig),
	}
	p.idle.prev, p.idle.next = &p.idle, &p.idle
	return p, nil
}

// Source returns the tokens of one subject for one resource. It holds no
// manager, so it can be kept for as long as the pool lives, or made for every
// request. Errors of its methods are those of [Manager], and of
// [PoolConfig].Config.
func (p *Pool) Source(subject, resource string) *PoolSource {
	return &PoolSource{pool: p, key: poolKey{subject, resource}}
}

// PoolSource is a [Source] out of a [Pool].
type PoolSource struct {
	pool *Pool
	key  poolKey
}

var _ Source = (*PoolSource)(nil)

// Token implements [Source].
func (s *PoolSource) Token(ctx context.Context) (t *Token, err error) {
	err = s.Use(func(m *Manager) error {
		t, err = m.Token(ctx)
		return err
	})
	return t, err
}

// Resolve implements [Source].
func (s *PoolSource) Resolve(ctx context.Context, rejected *Token, c Challenge) (t *Token, err error) {
	err = s.Use(func(m *Manager) error {
		t, err = m.Resolve(ctx, rejected, c)
		return err
	})
	return t, err
}

// Resource returns the URL of the resource.
func (s *PoolSource) Resource() string { return s.key.resource }

// Use calls f with the manager, which is not closed before f returns, and
// returns f's error. f must not keep the manager.
func (s *PoolSource) Use(f func(*Manager) error) error {
	member, err := s.pool.acquire(s.key)
	if err != nil {
		return err
	}
	defer s.pool.release(member)
	return f(member.manager)
}

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
	return errors.Join(errs...)
}

// acquire returns the member for key, made now if need be, and marks it used.
func (p *Pool) acquire(key poolKey) (*poolMember, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	member, ok := p.members[key]
	if !ok {
		var err error
		if member, err = p.make(key); err != nil {
			return nil, err
		}
		p.members[key] = member
	}
	member.leaveIdle()
	member.users++
	p.evict(time.Now())
	return member, nil
}

// make makes a member; nothing is sent, so the lock may be held.
func (p *Pool) make(key poolKey) (*poolMember, error) {
	canonical, err := checkNames(key.resource, key.subject)
	if err != nil {
		return nil, err
	}
	cfg, err := p.cfg.Config(key.subject, key.resource)
	if err != nil {
		return nil, err
	}
	if cfg == nil {
		return nil, &ConfigError{"PoolConfig.Config", "returned nil; return a configuration or an error"}
	}
	c := p.configs[cfg]
	if c == nil {
		s, err := p.share(*cfg)
		if err != nil {
			return nil, err
		}
		c = &poolConfig{shared: s}
		p.configs[cfg] = c
	}
	c.members++
	return &poolMember{manager: newManager(c.shared, key.resource, canonical, key.subject), config: cfg}, nil
}

// share completes a configuration with what the pool has.
func (p *Pool) share(cfg Config) (*shared, error) {
	cfg.NoIdleRefresh = cfg.NoIdleRefresh || !p.cfg.RefreshIdle
	if cfg.Store == nil {
		cfg.Store = &p.store
	}
	if cfg.HTTPClient == nil {
		cfg.HTTPClient = p.client
	}
	return newShared(cfg)
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

// onTimer closes managers when nobody uses the pool.
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
		p.mu.Unlock() // for others to come in
	}
}

// evict closes managers that are idle too long or too many, a few at a time so
// that nobody pays for all, and returns how many. The caller holds p.mu.
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
		p.closing.Go(func() { _ = member.manager.Close() }) // has nothing to save
		closed++
	}
	return closed
}
