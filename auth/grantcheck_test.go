package auth_test

import (
	"testing"

	"github.com/mcptokens/mcptokens/auth"
)

// checkedGrant is a grant with fields to be set.
type checkedGrant struct {
	flowGrant
	err error
}

func (g checkedGrant) Check() error { return g.err }

// A grant that cannot work is found when the manager is made, not at the first
// challenge.
func TestGrantIsChecked(t *testing.T) {
	wrong := &auth.ConfigError{Field: "checkedGrant.Field", Problem: "is empty"}
	for _, want := range []*auth.ConfigError{nil, wrong} {
		g := checkedGrant{}
		if want != nil {
			g.err = want
		}
		m, err := auth.NewManager(auth.Config{Resource: "https://mcp.example/mcp", Grant: g})
		if want == nil && err != nil || want != nil && (m != nil || err != error(want)) {
			t.Errorf("NewManager: %v, want %v", err, want)
		}
		if m != nil {
			_ = m.Close()
		}
	}
}
