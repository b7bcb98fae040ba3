package authtest_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// A login at a server that behaves as Microsoft Entra ID does, with a setting that it needs and without.
func ExampleStartProfile() {
	p := authtest.Entra()
	srv, res, err := authtest.StartProfile(p, ok)
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()

	for _, resource := range []string{"", auth.NoResource} {
		manager, err := auth.NewManager(auth.Config{
			Resource:   res.URL,
			Server:     &auth.Server{Issuer: srv.Issuer, CodeChallengeMethodsSupported: []string{"S256"}},
			Client:     auth.Client{ID: p.ClientID},
			Grant:      grant.AuthorizationCode{UserAgent: browser.Headless{Client: srv.Client(), RedirectURI: p.RedirectURIs[0]}},
			Scopes:     p.Resource.Scopes,
			Requests:   auth.Requests{Resource: resource, Authorization: map[string]string{"prompt": ""}},
			HTTPClient: srv.Client(),
			Network:    auth.Network{AnyAddress: true}, // the hosts are in no DNS
		})
		if err != nil {
			log.Fatal(err)
		}
		token, err := manager.Authorize(context.Background())
		var refused *auth.AuthorizationError
		switch {
		case errors.As(err, &refused):
			fmt.Println(refused.Description)
		case err != nil:
			log.Fatal(err)
		default:
			fmt.Println("granted:", token.Scopes)
		}
		_ = manager.Close()
	}
	// Output:
	// AADSTS9010010: The resource parameter provided in the request doesn't match with the requested scopes.
	// granted: [api://notes/read]
}
