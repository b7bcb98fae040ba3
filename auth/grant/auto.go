package grant

import (
	"context"
	"fmt"
	"os"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/browser"
)

// Auto gets tokens for the user in the way that this machine and the server have: an
// [AuthorizationCode] login in a browser; where none can be opened, one that the
// user finishes by pasting the answer into the terminal; and without a terminal, or if
// the server does nothing else, a [DeviceCode] login. Which it is is decided at each
// login. The zero value is ready for use.
type Auto struct {
	// UserAgent is for logins with a browser or a terminal. Default:
	// [browser.Loopback].
	UserAgent auth.UserAgent

	// Prompt shows what [DeviceCode.Prompt] is given. Default: it is written to
	// standard error, which is the log of a program in a container.
	Prompt func(ctx context.Context, p DevicePrompt) error

	reachable func() (browser, terminal bool) // for tests; nil: browser.Reachable
}

// Type is "authorization_code", also when a login uses a device code.
func (Auto) Type() string { return "authorization_code" }

// Interactive is true.
func (Auto) Interactive() bool { return true }

// Authorize implements [auth.Grant]. Errors are those of the grant that is used. If
// neither can be, that is [AuthorizationCode], whose error says what is missing.
func (g Auto) Authorize(ctx context.Context, f *auth.Flow) (*auth.Token, error) {
	if g.byDevice(f) {
		prompt := g.Prompt
		if prompt == nil {
			prompt = writePrompt
		}
		return DeviceCode{Prompt: prompt}.Authorize(ctx, f)
	}
	return AuthorizationCode{UserAgent: g.UserAgent}.Authorize(ctx, f)
}

// byDevice decides. A user agent of the program knows by itself how to reach the user.
func (g Auto) byDevice(f *auth.Flow) bool {
	if f.Server.DeviceAuthorizationEndpoint == "" {
		return false
	}
	if f.Server.AuthorizationEndpoint == "" {
		return true
	}
	if _, ok := g.UserAgent.(browser.Loopback); !ok && g.UserAgent != nil {
		return false
	}
	reachable := g.reachable
	if reachable == nil {
		reachable = browser.Reachable
	}
	window, terminal := reachable()
	return !window && !terminal
}

func writePrompt(_ context.Context, p DevicePrompt) error {
	_, err := fmt.Fprintf(os.Stderr, "To sign in, open this address in a browser, on any device:\n\n  %s\n\nand enter the code %s\n", p.VerificationURI, p.UserCode)
	return err
}
