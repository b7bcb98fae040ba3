package gosdktest

import (
	"context"
	"fmt"
	"log"
	"net/http"
	neturl "net/url"

	sdkauth "github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/transport"
)

// The SDK's own OAuth, as it is before.
func Example_before() {
	as, err := authtest.Start(authtest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer as.Close()
	protected := as.Protect(newServer(), authtest.Protection{Scopes: []string{"mcp:read"}})
	url := protected.URL
	ctx := context.Background()
	const callback = "http://127.0.0.1:33418/callback"
	showAndWait := func(ctx context.Context, args *sdkauth.AuthorizationArgs) (*sdkauth.AuthorizationResult, error) {
		back, err := as.Approve(ctx, args.URL)
		if err != nil {
			return nil, err
		}
		u, err := neturl.Parse(back)
		if err != nil {
			return nil, err
		}
		q := u.Query()
		return &sdkauth.AuthorizationResult{Code: q.Get("code"), State: q.Get("state"), Iss: q.Get("iss")}, nil
	}

	handler, err := sdkauth.NewAuthorizationCodeHandler(&sdkauth.AuthorizationCodeHandlerConfig{
		DynamicClientRegistrationConfig: &sdkauth.DynamicClientRegistrationConfig{
			Metadata: &oauthex.ClientRegistrationMetadata{ClientName: "example", RedirectURIs: []string{callback}},
		},
		AuthorizationCodeFetcher: showAndWait,
	})
	if err != nil {
		log.Fatal(err)
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "example", Version: "1"}, nil)
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint:     url,
		OAuthHandler: handler,
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()

	fmt.Println(call(ctx, session, "read"))
	// Output: <nil>
}

// The official Go SDK takes an http.Client, and that is all it needs to know.
func Example() {
	as, err := authtest.Start(authtest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer as.Close()
	protected := as.Protect(newServer(), authtest.Protection{Scopes: []string{"mcp:read"}})
	url := protected.URL
	ctx := context.Background()
	login := grant.AuthorizationCode{UserAgent: browser.Headless{}}

	manager, err := auth.NewManager(auth.Config{Resource: url, Grant: login})
	if err != nil {
		log.Fatal(err)
	}
	defer manager.Close()
	client := mcp.NewClient(&mcp.Implementation{Name: "example", Version: "1"}, nil)
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint:   url,
		HTTPClient: &http.Client{Transport: &transport.RoundTripper{Source: manager}},
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()

	fmt.Println(call(ctx, session, "read"))
	// Output: <nil>
}
