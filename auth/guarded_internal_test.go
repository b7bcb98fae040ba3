package auth

import (
	"context"
	"testing"
)

// A client authentication that asks another manager for a token does so under the lock
// of the first: the other's requests go on when that is given up.
func TestLockGuardsItsOwnRequests(t *testing.T) {
	outer := &tx{v: &vault{cfg: &storeConfig{}}}
	caller := outer.guarding(t.Context())
	if guardedBy(caller) != outer {
		t.Fatal("the request is not guarded")
	}
	inner := new(callersValues).of(context.Background(), caller)
	if guardedBy(inner) != nil {
		t.Error("another operation's lock guards the request")
	}
	own := &tx{v: &vault{cfg: &storeConfig{}}}
	if guardedBy(new(callersValues).of(own.guarding(context.Background()), caller)) != own || guardedBy(own.guarding(inner)) != own {
		t.Error("the operation's own lock does not guard the request")
	}
}
