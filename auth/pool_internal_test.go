package auth

import (
	"strconv"
	"testing"
)

// Configurations are kept for as long as a manager has them, and shared by
// those that were given the same one.
func TestPoolLetsConfigurationsGo(t *testing.T) {
	common := new(Config)
	p, err := NewPool(PoolConfig{MaxManagers: 4, Config: func(subject, _ string) (*Config, error) {
		if len(subject) == 1 {
			return common, nil
		}
		return new(Config), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for i := range 30 {
		if err := p.Source(strconv.Itoa(i), "https://mcp.example.com").Use(func(*Manager) error { return nil }); err != nil {
			t.Fatal(err)
		}
		members := 0
		for _, c := range p.configs {
			members += c.members
		}
		if members != len(p.members) {
			t.Fatalf("%d configurations of %d members, but %d are kept", len(p.configs), members, len(p.members))
		}
		if want := min(i+1, 4); i == 9 && len(p.configs) != 1 || i >= 13 && len(p.configs) != want {
			t.Errorf("%d configurations after subject %d", len(p.configs), i)
		}
	}
}
