package mcpgo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	mcptransport "github.com/mark3labs/mcp-go/client/transport"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/registration"
)

// dying is how close to its expiry a token is handed to mcp-go without one. It
// looks at the clock again after we did, and a token that died between the two
// looks would make it ask for a login instead of a refresh.
const dying = 10 * time.Second

// TokenStore is m as an mcp-go token store, for code that logs its user in with
// mcp-go's own OAuth handler and keeps doing so:
//
//	client.NewOAuthStreamableHttpClient(url, client.OAuthConfig{TokenStore: mcpgo.TokenStore(m), …})
//
// GetToken returns m's token, fresh now and without its refresh token: mcp-go
// would spend that behind m's back. When there is none it returns
// transport.ErrNoToken, and mcp-go's authorization flow begins as usual; what
// else goes wrong comes out of the client's methods as the typed error that
// [auth.Manager.Token] returned. SaveToken is [auth.Manager.SetRecord].
//
// The store sees tokens and nothing else. So m needs the client that mcp-go
// logs in with, the same ID and secret in [auth.Config].Client, to refresh what
// it got; and a 401 for a token that the store took for good reaches the
// program as mcp-go's wish for a login. [WithOAuth] knows the handler: clients
// may be registered on demand, a 401 is answered by a refresh, and tokens that
// are bound to a key are presented with a proof.
func TokenStore(m Keeper) mcptransport.TokenStore { return &tokenStore{manager: m} }

type tokenStore struct {
	manager Keeper
	// handler is the one that uses the store, with what it asks for; nil when
	// that is not known.
	handler     *mcptransport.OAuthHandler
	scopes      []string
	redirectURI string
}

// GetToken implements mcp-go's TokenStore.
func (s *tokenStore) GetToken(ctx context.Context) (*mcptransport.Token, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	tok, err := s.manager.Token(ctx)
	if needsLogin(err) {
		return nil, fmt.Errorf("%w: %w", mcptransport.ErrNoToken, err)
	}
	if err != nil {
		return nil, err
	}
	if tok.TokenType == "DPoP" && s.handler == nil {
		return nil, &auth.ConfigError{Field: "Config.DPoP", Problem: "binds tokens to a key, and mcp-go sends no proof of it; use mcpgo.WithOAuth instead of mcpgo.TokenStore"}
	}
	out := &mcptransport.Token{AccessToken: tok.AccessToken, TokenType: tok.TokenType, Scope: strings.Join(tok.Scopes, " ")}
	if time.Until(tok.Expiry) > dying {
		out.ExpiresAt = tok.Expiry
	}
	return out, nil
}

// SaveToken implements mcp-go's TokenStore. mcp-go calls it with the answer to
// a login, just after that came.
func (s *tokenStore) SaveToken(ctx context.Context, t *mcptransport.Token) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if t == nil {
		t = new(mcptransport.Token) // which SetRecord refuses
	}
	saved := *t
	if saved.ExpiresAt.IsZero() && saved.ExpiresIn > 0 {
		saved.ExpiresAt = time.Now().Add(time.Duration(saved.ExpiresIn) * time.Second)
	}
	rec := recordOf(&saved)
	if s.handler != nil {
		if err := s.complete(ctx, rec); err != nil {
			return err
		}
	}
	return s.manager.SetRecord(ctx, rec)
}

// complete adds what the handler knows of its login.
func (s *tokenStore) complete(ctx context.Context, rec *auth.Record) error {
	meta, err := s.handler.GetServerMetadata(ctx) // cached: the login needed it
	if err != nil {
		return err
	}
	rec.Issuer = meta.Issuer
	rec.Requested = s.scopes
	if len(rec.Token.Scopes) == 0 {
		rec.Token.Scopes = s.scopes // RFC 6749 section 5.1: as requested
	}
	id := s.handler.GetClientID()
	if id == "" {
		return nil
	}
	rec.Registration = &registration.Client{
		ClientID:                id,
		ClientSecret:            s.handler.GetClientSecret(),
		TokenEndpointAuthMethod: s.handler.GetTokenEndpointAuthMethod(),
		GrantType:               "authorization_code",
	}
	if s.redirectURI != "" {
		rec.Registration.RedirectURIs = []string{s.redirectURI}
	}
	if rec.Registration.TokenEndpointAuthMethod == "" {
		rec.Registration.TokenEndpointAuthMethod = authMethod(rec.Registration.ClientSecret, meta.TokenEndpointAuthMethodsSupported)
	}
	return nil
}

// authMethod is how mcp-go authenticates a client when nobody said how: what
// worked for the login works for the refresh.
func authMethod(secret string, supported []string) string {
	switch {
	case secret == "":
		return "none"
	case slices.Contains(supported, "client_secret_basic") && !slices.Contains(supported, "client_secret_post"):
		return "client_secret_basic"
	}
	return "client_secret_post"
}

// FromTokenStore reads the token that a program kept in an mcp-go token store
// until now, for [auth.Manager.Import]:
//
//	record, err := mcpgo.FromTokenStore(ctx, old)
//	if err == nil {
//		_, err = manager.Import(ctx, record)
//	}
//	if err != nil && !errors.Is(err, auth.ErrNoToken) { … }
//
// It is safe at every start: Import takes the token once, and afterwards keeps
// what became of it. If the token's client was registered on demand, set the
// record's Registration and Issuer, which no token store keeps; or, for good,
// [auth.Config].Client.
//
// From then on the refresh token is the manager's: the program must no longer use
// the old store, and should remove what is in it.
//
// Errors: [auth.ErrNoToken] when the store has no token, or one that has
// expired and cannot be refreshed; else *[auth.StoreError] with the store's own.
func FromTokenStore(ctx context.Context, store mcptransport.TokenStore) (*auth.Record, error) {
	t, err := store.GetToken(ctx)
	switch {
	case errors.Is(err, mcptransport.ErrNoToken):
		return nil, auth.ErrNoToken
	case err != nil:
		return nil, &auth.StoreError{Op: "load", Err: err}
	case t == nil, t.RefreshToken == "" && (t.AccessToken == "" || t.IsExpired()):
		return nil, auth.ErrNoToken
	}
	return recordOf(t), nil
}

// recordOf is all that an mcp-go token says.
func recordOf(t *mcptransport.Token) *auth.Record {
	rec := &auth.Record{Token: &auth.Token{
		AccessToken: t.AccessToken, TokenType: t.TokenType, RefreshToken: t.RefreshToken,
		Expiry: t.ExpiresAt, Scopes: strings.Fields(t.Scope),
	}}
	if t.ExpiresIn > 0 && !t.ExpiresAt.IsZero() {
		if at := t.ExpiresAt.Add(-time.Duration(t.ExpiresIn) * time.Second); !at.After(time.Now()) {
			rec.Obtained = at
		}
	}
	return rec
}

// needsLogin reports that err of a manager means that only a login helps.
func needsLogin(err error) bool {
	var required *auth.ReauthorizationRequiredError
	return errors.Is(err, auth.ErrNoToken) || errors.As(err, &required)
}
