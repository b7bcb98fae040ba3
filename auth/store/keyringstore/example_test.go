package keyringstore_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store/filestore"
	"github.com/mcptokens/mcptokens/auth/store/keyringstore"
)

// Log in once; after a restart the tokens are there.
func ExampleOpen() {
	store, err := keyringstore.Open("my-mcp-client")
	if err != nil {
		fmt.Println(err)
		return
	}
	manager, err := auth.NewManager(auth.Config{Resource: "https://mcp.example/mcp", Store: store})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Close()
}

// On a server there is no keyring: fall back to files.
func ExampleStore_Probe() {
	choose := func(ctx context.Context) (auth.Store, error) {
		ring, err := keyringstore.Open("my-mcp-client")
		if err != nil {
			return nil, err
		}
		err = ring.Probe(ctx, auth.Key{})
		var un *keyringstore.UnavailableError
		if errors.As(err, &un) && un.Reason == keyringstore.Absent {
			return filestore.OpenFor("my-mcp-client")
		}
		return ring, err
	}
	_ = choose
}
