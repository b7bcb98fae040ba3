// A program with an mcp-go client and its own OAuth.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
)

func main() {
	c, err := client.NewOAuthStreamableHttpClient(os.Args[1], client.OAuthConfig{
		RedirectURI: "http://127.0.0.1:33418/callback",
		TokenStore:  client.NewMemoryTokenStore(),
		PKCEEnabled: true,
	})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	if err := c.Start(ctx); client.IsOAuthAuthorizationRequiredError(err) {
		if err := logIn(ctx, client.GetOAuthHandler(err)); err != nil {
			panic(err)
		}
	}
	if _, err := c.Initialize(ctx, mcp.InitializeRequest{}); err != nil {
		panic(err)
	}
	fmt.Println(c.CallTool(ctx, mcp.CallToolRequest{}))
}

// logIn leaves the browser and the redirect to the person.
func logIn(ctx context.Context, h *transport.OAuthHandler) error {
	verifier, err := client.GenerateCodeVerifier()
	if err != nil {
		return err
	}
	state, err := client.GenerateState()
	if err != nil {
		return err
	}
	if err := h.RegisterClient(ctx, "weight"); err != nil {
		return err
	}
	url, err := h.GetAuthorizationURL(ctx, state, client.GenerateCodeChallenge(verifier))
	if err != nil {
		return err
	}
	fmt.Println(url)
	var code string
	if _, err := fmt.Scanln(&code); err != nil {
		return err
	}
	return h.ProcessAuthorizationResponse(ctx, code, state, verifier)
}
