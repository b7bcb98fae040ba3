package auth

import (
	"net/http"
	"time"

	"github.com/mcptokens/mcptokens/internal/httpx"
)

// PoolConfig configures a [Pool]. Config is required.
type PoolConfig struct {
	// Config returns the configuration of the manager for a subject and a
	// resource; the pool sets its Subject and Resource.
	// It is called once for each manager that is made, and must not block.
	// Return the same pointer wherever the rest is the same: the managers share
	// it, which is most of what they take in memory. It must not be changed
	// afterwards. Required.
	//
	// Give all of them one Store that outlives the pool, see Store: a manager that
	// was idle is closed, and finds its token there when it is needed again. One
	// without an HTTPClient shares the pool's.
	Config func(subject, resource string) (*Config, error)

	// Store is that of configurations without one, and what [Pool.Accounts] and
	// [Pool.Logout] look through. Default: one in memory.
	Store Store

	// EventSubject returns what stands for a subject in the pool's events and in the
	// log of its managers, such as a hash of it with a secret. It is called often, and
	// must not block. Default: nil, they have none.
	EventSubject func(subject string) string

	// Resources are the URLs of the MCP servers that the pool has tokens for; any
	// other is a *[ConfigError]. AllowResource decides where a list is not enough, or
	// in addition to it: its error is what callers get. Set one where users say which MCP
	// server to call: a gateway that goes anywhere can be sent anywhere. Default:
	// nil, Config decides.
	Resources     []string
	AllowResource func(subject, resource string) error

	// AllowEmptySubject lets [Pool.Source] be called without a subject. Default:
	// that is a *[ConfigError], since calls whose user was forgotten would share a
	// token.
	AllowEmptySubject bool

	// MaxManagers is how many managers are kept; beyond that the one that was
	// idle longest is closed. One that is used, refreshes, authorizes or has a
	// token that could not be stored is not, so that there may be more for a
	// while. Default: 10,000.
	MaxManagers int

	// Idle is how long an unused manager is kept. Default: 1 hour.
	Idle time.Duration

	// RefreshIdle lets managers refresh by timer while they are idle. Default:
	// they refresh when a call comes.
	RefreshIdle bool
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
		cfg.MaxManagers = defaultMaxManagers
	}
	cfg.Idle = orDefault(cfg.Idle, defaultPoolIdle)
	if err := cfg.limit(); err != nil {
		return nil, err
	}
	p := &Pool{
		cfg: cfg, done: make(chan struct{}),
		members: make(map[poolKey]*poolMember), configs: make(map[*Config]*poolConfig),
	}
	p.idle.prev, p.idle.next = &p.idle, &p.idle
	p.own.store.pooled = true
	p.own.crowd = newCrowd()
	p.own.client = &http.Client{Timeout: 30 * time.Second}
	p.own.events.subject, p.own.events.hub.Size = cfg.EventSubject, poolEvents
	return p, nil
}

// limit makes AllowResource keep to Resources.
func (c *PoolConfig) limit() error {
	if len(c.Resources) == 0 {
		return nil
	}
	listed, further := make(map[string]bool, len(c.Resources)), c.AllowResource
	for _, resource := range c.Resources {
		canonical, err := checkNames(httpx.Anywhere{}, resource, "")
		if err != nil {
			return &ConfigError{"PoolConfig.Resources", "has an entry that is no absolute URL of an MCP server: " + quoted(resource)}
		}
		listed[canonical] = true
	}
	c.AllowResource = func(subject, resource string) error {
		canonical, err := checkNames(httpx.Anywhere{}, resource, subject)
		switch {
		case err != nil:
			return err
		case !listed[canonical]:
			return &ConfigError{"PoolConfig.Resources", "does not list " + quoted(resource) + "; nothing was sent there"}
		case further != nil:
			return further(subject, resource)
		}
		return nil
	}
	return nil
}

// allows returns why there is no manager for key.
func (c *PoolConfig) allows(key poolKey) error {
	if _, err := checkNames(httpx.Anywhere{}, key.resource, key.subject); err != nil {
		return err
	}
	if key.subject == "" && !c.AllowEmptySubject {
		return &ConfigError{"Config.Subject", "is empty, so that nothing says whose token it is; name the user, or set PoolConfig.AllowEmptySubject"}
	}
	if c.AllowResource == nil {
		return nil
	}
	return c.AllowResource(key.subject, key.resource)
}
