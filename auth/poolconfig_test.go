package auth_test

import (
	"errors"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
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
