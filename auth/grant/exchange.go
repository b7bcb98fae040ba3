package grant

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/internal/wire"
)

// typeTokenExchange is the grant type of RFC 8693 section 2.1.
const typeTokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"

var errNoIssuedType = errors.New("the token exchange response has no issued_token_type (RFC 8693 section 2.2.1)")

// exchangeToken sends form to the token endpoint of srv, with the grant type of
// RFC 8693 added to it and nothing else. The caller has to check
// IssuedTokenType.
func exchangeToken(ctx context.Context, f *auth.Flow, srv *auth.Server, c *auth.Client, form url.Values) (*wire.TokenAnswer, error) {
	form.Set("grant_type", typeTokenExchange)
	body, err := f.Post(ctx, auth.Post{Server: srv, Client: c, Form: form})
	if err != nil {
		return nil, err
	}
	tok, err := wire.ReadToken("application/json", body, strings.Fields(form.Get("scope")), time.Now())
	if err == nil && tok.IssuedTokenType == "" {
		err = errNoIssuedType
	}
	if err != nil {
		return nil, unusable(srv, typeTokenExchange, err)
	}
	return &tok, nil
}
