package qrtest

import (
	"fmt"
	"strings"

	"github.com/mdp/qrterminal/v3"

	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// A login whose address a phone can scan from the terminal.
func Example() {
	qr := func(url string) string {
		var b strings.Builder
		qrterminal.GenerateHalfBlock(url, qrterminal.L, &b)
		return b.String()
	}
	login := grant.AuthorizationCode{UserAgent: browser.Paste{QR: qr}}

	fmt.Println(login.Type())
	lines := strings.Split(qr("https://as.example.com/authorize?client_id=1"), "\n")
	fmt.Println(len(lines) > 10, strings.ContainsAny(lines[5], "▀▄█"))
	// Output:
	// authorization_code
	// true true
}
