package auth_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
)

// A pool has tokens for the resources that the program lists, and for nobody who
// was not named.
func TestPoolLimits(t *testing.T) {
	refused := errors.New("not for this user")
	list := []string{"https://mcp.example.com/a", "https://MCP.example.com:443/b"}
	only := func(subject, resource string) error {
		if subject == "alice" && strings.HasSuffix(resource, "/a") {
			return nil
		}
		return refused
	}
	for _, tt := range []struct {
		name              string
		cfg               auth.PoolConfig
		subject, resource string
		field             string // of a *ConfigError
		err               error
	}{
		{"anything", auth.PoolConfig{}, "alice", "https://other.example/mcp", "", nil},
		{"no subject", auth.PoolConfig{}, "", "https://mcp.example.com/a", "Config.Subject", nil},
		{"no subject, allowed", auth.PoolConfig{AllowEmptySubject: true}, "", "https://mcp.example.com/a", "", nil},
		{"listed", auth.PoolConfig{Resources: list}, "alice", "https://mcp.example.com/a", "", nil},
		{"listed in another spelling", auth.PoolConfig{Resources: list}, "alice", "https://mcp.example.com/b", "", nil},
		{"below what is listed", auth.PoolConfig{Resources: list}, "alice", "https://mcp.example.com/a/b", "PoolConfig.Resources", nil},
		{"at another host", auth.PoolConfig{Resources: list}, "alice", "https://mcp.example.com.evil.example/a", "PoolConfig.Resources", nil},
		{"at another port", auth.PoolConfig{Resources: list}, "alice", "https://mcp.example.com:8443/a", "PoolConfig.Resources", nil},
		{"with another user", auth.PoolConfig{Resources: list}, "alice", "https://x@mcp.example.com/a", "Config.Resource", nil},
		{"allowed", auth.PoolConfig{AllowResource: only}, "alice", "https://mcp.example.com/a", "", nil},
		{"for another subject", auth.PoolConfig{AllowResource: only}, "bob", "https://mcp.example.com/a", "", refused},
		{"both, listed only", auth.PoolConfig{Resources: list, AllowResource: only}, "alice", "https://mcp.example.com/b", "", refused},
		{"both, allowed only", auth.PoolConfig{Resources: list, AllowResource: only}, "alice", "https://other.example/a", "PoolConfig.Resources", nil},
		{"both", auth.PoolConfig{Resources: list, AllowResource: only}, "alice", "https://mcp.example.com/a", "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := 0
			tt.cfg.Config = func(string, string) (*auth.Config, error) {
				asked++
				return &auth.Config{}, nil
			}
			p, err := auth.NewPool(tt.cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			err = p.Source(tt.subject, tt.resource).Use(func(*auth.Manager) error { return nil })
			var ce *auth.ConfigError
			switch {
			case tt.field != "" && (!errors.As(err, &ce) || ce.Field != tt.field),
				tt.field == "" && tt.err != nil && !errors.Is(err, tt.err),
				tt.field == "" && tt.err == nil && err != nil:
				t.Errorf("error %v", err)
			}
			if want := map[bool]int{true: 1, false: 0}[err == nil]; asked != want || p.Len() != want {
				t.Errorf("the configuration was asked for %d times, there are %d managers", asked, p.Len())
			}
		})
	}
}
