//go:build realservers

package main

import (
	"slices"
	"testing"

	"github.com/mcptokens/mcptokens/internal/realservers"
)

// A person uses the page that -serve leaves running.
func TestRealPageInChromium(t *testing.T) {
	w := new(world)
	defer func() {
		for _, stop := range slices.Backward(w.cleanup) {
			stop()
		}
	}()
	if err := w.start(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	b := realservers.OpenBrowser(t)
	b.Visit(w.url)
	b.Fill("input[name=user]", "alice")
	b.Click("form[action='/sign-in'] button")
	b.WaitFor("Signed in as alice")
	b.WaitFor("not connected")
	b.Click("tr:first-child button[formaction='/read']")
	b.WaitFor("It asks for access to")
	b.WaitFor("notes:read")
	b.Click("#approve")
	b.WaitFor("notes:read") // back on the page, connected
	b.Click("tr:first-child button[formaction='/read']")
	b.WaitFor("notes: read done")
	b.Screenshot("gateway-page")
	b.Click("tr:first-child button[formaction='/write']")
	b.WaitFor("notes:write") // the server asks for more
	b.Click("#approve")
	b.WaitFor("Signed in as alice")
	b.Click("tr:first-child button[formaction='/write']")
	b.WaitFor("notes: write done")
	b.Click("button[formaction='/log-out']")
	b.WaitFor("Signed in as alice")
	b.Click("tr:first-child button[formaction='/read']")
	b.WaitFor("It asks for access to") // nothing is left of the account
	b.Click("#deny")
	b.WaitFor("Not allowed")
	b.Screenshot("gateway-not-allowed")
}
