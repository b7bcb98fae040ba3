package mcpgo_test

import (
	"context"
	"log"

	"github.com/mark3labs/mcp-go/client"
	mcptransport "github.com/mark3labs/mcp-go/client/transport"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/mcpgo"
)

// A server that reads its token when it starts, under mcp-go's own transport.
func ExampleCommandFunc() {
	manager, err := auth.NewManager(auth.Config{
		Resource: "https://api.weather.example/", // what the server uses the token for
		Grant:    grant.AuthorizationCode{},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer manager.Close()
	c, err := client.NewStdioMCPClientWithOptions("weather-server", nil, []string{"--units", "metric"},
		mcptransport.WithCommandFunc(mcpgo.CommandFunc(manager,
			mcpgo.WithTokenVariable("WEATHER_TOKEN"),
			mcpgo.WithInheritedEnv("HTTPS_PROXY", "LANG"),
		)))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
}

// The same server, restarted whenever its token was replaced.
func ExampleNewStdio() {
	manager, err := auth.NewManager(auth.Config{
		Resource: "https://api.weather.example/",
		Grant:    grant.AuthorizationCode{},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer manager.Close()
	c := client.NewClient(mcpgo.NewStdio(manager, "weather-server", []string{"--units", "metric"},
		mcpgo.WithTokenVariable("WEATHER_TOKEN"),
		mcpgo.WithRestart(),
	))
	defer c.Close()
	if err := c.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// A server that reads the token from a file when it needs one, so that it can
// run for as long as it likes.
func ExampleNewTokenFile() {
	manager, err := auth.NewManager(auth.Config{
		Resource: "https://api.weather.example/",
		Grant:    grant.AuthorizationCode{},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer manager.Close()
	file, err := mcpgo.NewTokenFile(context.Background(), manager, "")
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	c := client.NewClient(mcpgo.NewStdio(manager, "weather-server", nil,
		mcpgo.WithTokenFile("WEATHER_TOKEN_FILE", file)))
	defer c.Close()
	if err := c.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
}
