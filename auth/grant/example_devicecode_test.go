package grant_test

import (
	"context"
	"fmt"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// A program on a remote machine has the user log in on another.
// A program that runs on desktops, over SSH and in containers.
func ExampleAuto() {
	m, err := auth.NewManager(auth.Config{
		Resource: "https://mcp.example.com/mcp",
		Grant:    grant.Auto{},
	})
	if err != nil {
		panic(err)
	}
	defer m.Close()
}

func ExampleDeviceCode() {
	m, err := auth.NewManager(auth.Config{
		Resource: "https://mcp.example.com/mcp",
		Client:   auth.Client{ID: "remote-shell"},
		Grant: grant.DeviceCode{Prompt: func(_ context.Context, p grant.DevicePrompt) error {
			_, err := fmt.Printf("Open %s and enter %s\n", p.VerificationURI, p.UserCode)
			return err
		}},
	})
	if err != nil {
		panic(err)
	}
	defer m.Close()
}
