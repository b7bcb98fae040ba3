package grant

import (
	"context"
	"net/url"
	"strings"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/registration"
)

// ClientCredentials gets tokens for the client itself (RFC 6749 section 4.4;
// MCP extension "OAuth Client Credentials"). It needs nobody: the manager uses
// it ahead of expiry as it would use a refresh token. The client and how it
// authenticates are [auth.Config.Client], whose Issuer is where it is known.
type ClientCredentials struct{}

// Type is "client_credentials".
func (ClientCredentials) Type() string { return "client_credentials" }

// Interactive is false.
func (ClientCredentials) Interactive() bool { return false }

// Credentials says that the client's credentials are sent: to
// [auth.Client].Issuer only, see [auth.Grant].
func (ClientCredentials) Credentials() (what, issuer string) { return "the client's credentials", "" }

// Authorize implements [auth.Grant]. Errors: *[auth.TokenError], and those of
// [auth.Flow.Client].
func (ClientCredentials) Authorize(ctx context.Context, f *auth.Flow) (*auth.Token, error) {
	client, err := f.Client(ctx, registration.Metadata{GrantTypes: []string{"client_credentials"}})
	if err != nil {
		return nil, err
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if len(f.Scopes) > 0 {
		form.Set("scope", strings.Join(f.Scopes, " "))
	}
	return f.Exchange(ctx, client, form)
}
