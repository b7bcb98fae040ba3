// A program with a client of the official Go SDK and its own authorization code flow.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
)

func main() {
	ctx := context.Background()
	c := mcp.NewClient(&mcp.Implementation{Name: "weight", Version: "1"}, nil)
	handler, err := auth.NewAuthorizationCodeHandler(&auth.AuthorizationCodeHandlerConfig{
		DynamicClientRegistrationConfig: &auth.DynamicClientRegistrationConfig{
			Metadata: &oauthex.ClientRegistrationMetadata{ClientName: "weight", RedirectURIs: []string{"http://127.0.0.1:33418/callback"}},
		},
		RedirectURL: "http://127.0.0.1:33418/callback",
		// The browser and the redirect are left to the person.
		AuthorizationCodeFetcher: func(_ context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			fmt.Println(args.URL)
			var result auth.AuthorizationResult
			_, err := fmt.Scanln(&result.Code, &result.State)
			return &result, err
		},
	})
	if err != nil {
		panic(err)
	}
	session, err := c.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: os.Args[1], OAuthHandler: handler}, nil)
	if err != nil {
		panic(err)
	}
	fmt.Println(session.CallTool(ctx, &mcp.CallToolParams{Name: "greet"}))
}
