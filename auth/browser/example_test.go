package browser_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"

	"github.com/mcptokens/mcptokens/auth/browser"
)

// A grant drives a user agent like this; a program only chooses one.
func ExampleLoopback() {
	// An authorization server that approves at once.
	as := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.FormValue("redirect_uri")+"?code=c0de&state="+r.FormValue("state"), http.StatusFound)
	}))
	defer as.Close()

	ctx := context.Background()
	agent := browser.Loopback{
		Prompt: func(url string) { fmt.Fprintln(os.Stderr, "To sign in, open", url) },
		// Open is left out in a program: the user's browser is the default. Here
		// it plays a browser.
		Open: func(url string) error {
			resp, err := http.Get(url)
			if err != nil {
				return err
			}
			return resp.Body.Close()
		},
	}
	session, err := agent.Start(ctx, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	query, err := session.Visit(ctx, as.URL+"/authorize?"+url.Values{
		"redirect_uri": {session.RedirectURI()},
		"state":        {"xyz"},
	}.Encode(), "xyz")
	session.Finish(err) // tells the user how it ended
	fmt.Println(query.Get("code"), err)
	// Output: c0de <nil>
}

// For a machine that no browser reaches. Ask is left out in a program that runs
// in a terminal.
func ExamplePaste() {
	ctx := context.Background()
	agent := browser.Paste{
		Ask: func(_ context.Context, q browser.Question) (string, error) {
			fmt.Println("Open " + q.URL + q.Problem)
			return q.RedirectURI + "?code=c0de&state=xyz", nil // what the user pastes
		},
	}
	session, err := agent.Start(ctx, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	query, err := session.Visit(ctx, "https://as.example/authorize?state=xyz", "xyz")
	session.Finish(err)
	fmt.Println(query.Get("code"), err)
	// Output:
	// Open https://as.example/authorize?state=xyz
	// c0de <nil>
}

// A server that approves without a page, as in a test suite.
func ExampleHeadless() {
	as := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.FormValue("redirect_uri")+"?code=c0de&state="+r.FormValue("state"), http.StatusFound)
	}))
	defer as.Close()

	ctx := context.Background()
	session, err := browser.Headless{Client: as.Client()}.Start(ctx, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	query, err := session.Visit(ctx, as.URL+"/authorize?"+url.Values{
		"redirect_uri": {session.RedirectURI()},
		"state":        {"xyz"},
	}.Encode(), "xyz")
	session.Finish(err)
	fmt.Println(query.Get("code"), err)
	// Output: c0de <nil>
}
