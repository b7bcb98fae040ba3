package auth_test

import (
	"errors"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/authtrace"
)

func TestPoolConfigErrors(t *testing.T) {
	mine := errors.New("unknown subject")
	good := &auth.Config{}
	for _, tc := range []struct {
		name, subject, resource string
		cfg                     *auth.Config
		err                     error
		field                   string
	}{
		{"the function refuses", "a", "https://mcp.example.com", nil, mine, ""},
		{"nil", "a", "https://mcp.example.com", nil, nil, "PoolConfig.Config"},
		{"no resource", "a", "", good, nil, "Config.Resource"},
		{"a resource that is no URL", "a", "mcp", good, nil, "Config.Resource"},
		{"no subject", "", "https://mcp.example.com", good, nil, "Config.Subject"},
		{"a subject that is no text", "\xff", "https://mcp.example.com", good, nil, "Config.Subject"},
		{"a bad configuration", "a", "https://mcp.example.com", &auth.Config{StepUpLimit: -1}, nil, "Config.StepUpLimit"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := auth.NewPool(auth.PoolConfig{Config: func(string, string) (*auth.Config, error) { return tc.cfg, tc.err }})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			_, err = p.Source(tc.subject, tc.resource).Token(t.Context())
			if tc.err != nil {
				if !errors.Is(err, tc.err) {
					t.Errorf("error %v", err)
				}
			} else if e := asError[*auth.ConfigError](t, err); e.Field != tc.field {
				t.Errorf("error %v, want one of %s", err, tc.field)
			}
			if p.Len() != 0 {
				t.Errorf("%d managers", p.Len())
			}
		})
	}
	for name, cfg := range map[string]auth.PoolConfig{
		"PoolConfig.Config": {},
		"PoolConfig":        {Config: always(auth.Config{}), MaxManagers: -1},

		"PoolConfig.Resources": {Config: always(auth.Config{}), Resources: []string{"https://mcp.example.com", "mcp"}},
	} {
		_, err := auth.NewPool(cfg)
		if e := asError[*auth.ConfigError](t, err); e.Field != name {
			t.Errorf("error %v, want one of %s", err, name)
		}
	}
	if _, err := auth.NewPool(auth.PoolConfig{Config: always(auth.Config{}), Idle: -1}); err == nil {
		t.Error("a negative Idle was accepted")
	}
}

// The program's own code, called when a manager is made, may use the pool.
func TestPoolIsUsedByWhatItCalls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		var p *auth.Pool
		cfg := k.onDemand()
		inConfig, atOpen := 0, 0
		other := func(subject string) error {
			return p.Source(subject, k.res.URL).Use(func(*auth.Manager) error { return nil })
		}
		cfg.Tracer = &openTracer{open: func() {
			if atOpen++; atOpen == 1 {
				if err := other("seen by the tracer"); err != nil || p.Len() == 0 {
					t.Errorf("in TraceManagerOpen: %v", err)
				}
			}
		}}
		p = k.pool(auth.PoolConfig{Config: func(subject, _ string) (*auth.Config, error) {
			if inConfig++; subject == "alice" && inConfig == 1 {
				if err := other("seen by Config"); err != nil || p.Len() == 0 {
					t.Errorf("in Config: %v", err)
				}
			}
			return &cfg, nil
		}})
		if err := other("alice"); err != nil || p.Len() != 3 || atOpen != 3 {
			t.Errorf("%v, %d managers, %d seen", err, p.Len(), atOpen)
		}
	})
}

// openTracer hears when managers are made.
type openTracer struct {
	authtrace.Nop
	open func()
}

func (o *openTracer) TraceManagerOpen(*auth.Manager)  { o.open() }
func (o *openTracer) TraceManagerClose(*auth.Manager) {}
