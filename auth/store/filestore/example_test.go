package filestore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store/filestore"
)

// Tokens that survive the process, and that all processes of a user share.
func Example() {
	home, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(home) }()

	store, err := filestore.Open(filepath.Join(home, "tokens")) // OpenFor("my-client") for the usual place
	if err != nil {
		fmt.Println(err) // says which file is wrong and how to fix it
		return
	}
	manager, err := auth.NewManager(auth.Config{Resource: "https://mcp.example/mcp", Store: store})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = manager.Close() }()

	_ = manager.SetToken(context.Background(), &auth.Token{AccessToken: "from-a-login"})
	files, _ := filepath.Glob(filepath.Join(store.Dir(), "*.json"))
	fmt.Println(len(files), "credential stored")
	// Output: 1 credential stored
}

// The text of the error says which mode is wrong and how to fix it.
func ExampleOpen_unsafe() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	_ = os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o600) // an empty one is made private
	_ = os.Chmod(dir, 0o755)
	_, err = filestore.Open(dir)
	fmt.Println(errors.Is(err, filestore.ErrUnsafe))
	// Output: true
}
