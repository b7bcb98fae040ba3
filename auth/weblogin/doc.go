// Package weblogin logs people in through the routes of a web application, such as
// a gateway that calls MCP servers for its users. A login can begin on one replica
// and end on another: what is under way is in the Store that they share.
//
//	logins, err := weblogin.New(weblogin.Config{
//		BaseURL: "https://gateway.example/oauth", // what Handler is mounted at
//		Store:   store,
//		Subject: func(r *http.Request) (string, error) { return sessions.User(r) },
//	})
//	cfg := &auth.Config{Grant: logins, Store: store}
//	pool, err := auth.NewPool(auth.PoolConfig{Config: func(_, _ string) (*auth.Config, error) { return cfg, nil }})
//	mux.Handle("/oauth/", logins.Handler(pool))
//
// A call for a user who has to log in returns an *[auth.LoginRequiredError] at once.
// Show its URL to that user. It leads to the start route, which sends the browser
// to the authorization server, and from there it comes back to the callback route,
// which gets the token. The next call succeeds, on every replica. [Patient] lets
// calls wait for that instead, and [Logins.Link] makes a link for a "connect" button.
//
// # Who may finish a login
//
// A link is for the user whose call made it. The start route asks Config.Subject who
// sits at the browser, and gives it a cookie of ten minutes; the callback route
// wants that cookie and the same user. So whoever sends their link to another
// person does not get that person's token (MCP 2026-07-28, "URL Mode Elicitation",
// phishing), and nobody can put their own account in another's place (login CSRF,
// RFC 6749 section 10.12). What is refused gets a page, an [Event] and a typed
// [Error], and nothing is bound to anybody.
//
// A session cookie with SameSite=Strict is not sent when the browser comes from
// another site: the callback route then reloads itself once, and it is.
//
// # What is stored
//
// For each link and for each login under way one record of less than 2 KiB, under
// the user's subject. It has the PKCE verifier, so seal the store (auth/store/sealed)
// if others can read it. Each login is used once. What has expired is removed: by
// the replica that made it, and if that is gone by another one within an hour,
// where the store can list what it holds.
package weblogin
