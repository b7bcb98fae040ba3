package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/mcptokens/mcptokens/internal/errtext"
)

// grantTokenExchange is the grant type of RFC 8693 section 2.1.
const grantTokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"

var errNoIssuedType = errtext.New("the token exchange response has no issued_token_type")

// ExchangedToken is the answer to a token exchange (RFC 8693 section 2.2.1).
// Unlike a [Token] it may be anything, an assertion for another server as well
// as an access token: IssuedTokenType says what. It redacts itself.
type ExchangedToken struct {
	// Token is the issued token.
	Token string
	// IssuedTokenType is a URN, such as
	// "urn:ietf:params:oauth:token-type:id-jag".
	IssuedTokenType string
	// TokenType is how to use it as an access token; "N_A" if it is none.
	TokenType string
	// Expiry is in wall clock time; zero: the server did not say.
	Expiry time.Time
	// Scopes are what the token is good for: what the server says, else what
	// the request asked for.
	Scopes []string
}

// Format makes every fmt verb print the token without its secret.
func (t ExchangedToken) Format(s fmt.State, _ rune) {
	redact(s, "auth.ExchangedToken{"+t.IssuedTokenType+"}")
}

// LogValue implements [slog.LogValuer] without the secret.
func (t ExchangedToken) LogValue() slog.Value {
	return slog.StringValue("auth.ExchangedToken{" + t.IssuedTokenType + "}")
}

// TokenExchange sends form, with the grant type of RFC 8693 added and nothing
// else, to the token endpoint of srv, which need not be the flow's server,
// authenticated as c, and retries what can be retried. The caller has to check
// IssuedTokenType. Errors: *[TokenError].
func (f *Flow) TokenExchange(ctx context.Context, srv *Server, c *Client, form url.Values) (tok *ExchangedToken, err error) {
	form = cloneForm(form)
	form.Set("grant_type", grantTokenExchange)
	trace := f.m.cfg.trace.exchange
	ctx = trace.TraceExchangeStart(ctx, ExchangeStart{Issuer: orElse(srv.Issuer, shownURL(srv.TokenEndpoint)), Grant: grantTokenExchange})
	defer func() { trace.TraceExchangeEnd(ctx, ExchangeEnd{Err: err}) }()
	err = f.try(ctx, func(ctx context.Context) error {
		resp, sent, err := f.m.postFormBy(ctx, f.m.cfg.post, srv, c, srv.TokenEndpoint, form, "")
		return readAnswer(newTokenError(srv, grantTokenExchange), resp, sent, err, func(body []byte) (err error) {
			tok, err = parseExchangeResponse(body, time.Now(), splitScopes(form.Get("scope")))
			return err
		})
	})
	return tok, err
}

func parseExchangeResponse(body []byte, now time.Time, requested []string) (*ExchangedToken, error) {
	var r struct {
		tokenResponse
		IssuedTokenType string `json:"issued_token_type"`
	}
	if !looksLikeJSON(body) {
		return nil, errNotJSON
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, errMalformed
	}
	switch {
	case r.AccessToken == nil || *r.AccessToken == "":
		return nil, errNoAccess
	case r.IssuedTokenType == "":
		return nil, errNoIssuedType
	}
	t := &ExchangedToken{Token: *r.AccessToken, IssuedTokenType: r.IssuedTokenType, Scopes: requested}
	if r.TokenType != nil {
		t.TokenType = *r.TokenType
	}
	if r.Scope != nil && *r.Scope != "" {
		t.Scopes = splitScopes(*r.Scope)
	}
	if life := parseExpiresIn(r.ExpiresIn); life > 0 {
		t.Expiry = now.Round(0).Add(life)
	}
	return t, nil
}
