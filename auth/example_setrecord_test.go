package auth_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/registration"
)

// A token from a login somewhere else, a web application's say, is looked after
// from here on, as the client that logged in.
func ExampleManager_SetRecord() {
	as, err := authtest.Start(authtest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer as.Close()
	as.AddClient("web-app", "its secret")
	protected := as.Protect(http.NotFoundHandler(), authtest.Protection{})
	login := as.IssueToken([]string{"mcp:read"}, protected.URL)

	manager, err := auth.NewManager(auth.Config{Resource: protected.URL})
	if err != nil {
		log.Fatal(err)
	}
	defer manager.Close()
	ctx := context.Background()
	err = manager.SetRecord(ctx, &auth.Record{
		Token:        &auth.Token{AccessToken: login.AccessToken, RefreshToken: login.RefreshToken, Expiry: login.Expiry, Scopes: login.Scopes},
		Issuer:       as.Issuer,
		Registration: &registration.Client{ClientID: "web-app", ClientSecret: "its secret"},
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := manager.Refresh(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("refreshed as", manager.Info().ClientID)
	// Output: refreshed as web-app
}
