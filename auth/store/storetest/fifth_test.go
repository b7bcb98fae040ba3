package storetest_test

import (
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store/storetest"
)

// TestExample: the store that the documentation shows keeps the contract.
func TestExample(t *testing.T) {
	storetest.Run(t, func(*testing.T) auth.Store { return &mapStore{rows: map[auth.Key]row{}} })
}
