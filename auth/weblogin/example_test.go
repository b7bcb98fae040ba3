package weblogin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/weblogin"
)

// sessionUser is the program's own session.
func sessionUser(r *http.Request) (string, error) {
	c, err := r.Cookie("session")
	if err != nil {
		return "", err
	}
	return c.Value, nil // a real program checks it
}

// A gateway with one configuration for all users. A call for a user who has to log
// in gets a link for them.
func Example() {
	store := new(auth.MemoryStore) // one that replicas share, in a real program
	logins, err := weblogin.New(weblogin.Config{BaseURL: "https://gateway.example/oauth", Store: store, Subject: sessionUser})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer logins.Close()
	cfg := &auth.Config{Grant: logins}
	pool, err := auth.NewPool(auth.PoolConfig{
		Store: store, Resources: []string{"https://mcp.example/mcp"},
		Config: func(_, _ string) (*auth.Config, error) { return cfg, nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	http.Handle("/oauth/", logins.Handler(pool))

	// A page with a "connect" button makes a link without a call.
	link, err := logins.Link(context.Background(), "alice", "https://mcp.example/mcp", "/accounts")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(link.URL[:len("https://gateway.example/oauth/start?login=")] + "…")
	fmt.Println(logins.RedirectURI())
	// Output:
	// https://gateway.example/oauth/start?login=…
	// https://gateway.example/oauth/callback
}

// A call that fails because a login is needed says where the user can log in.
func ExampleLogins_errors() {
	call := func() error { // of a tool, through mcp-go's client
		return fmt.Errorf("calling the tool: %w", &auth.LoginRequiredError{URL: "https://gateway.example/oauth/start?login=…", More: true})
	}
	var required *auth.LoginRequiredError
	if err := call(); errors.As(err, &required) && required.More {
		fmt.Println("allow more:", required.URL)
	}
	// Output: allow more: https://gateway.example/oauth/start?login=…
}
