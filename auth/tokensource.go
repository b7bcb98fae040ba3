package auth

import (
	"context"

	"golang.org/x/oauth2"
)

// TokenSource returns the manager as an [oauth2.TokenSource], for code that
// takes one. Its Token method waits no longer than ctx, and returns the errors
// of [Manager.Token]; the granted scopes are in the token's Extra("scope"), as
// in a token response. The tokens carry no refresh token: a refresh behind
// the manager's back would spend it.
//
// It answers no challenges, which transport.RoundTripper does. And
// oauth2.NewClient keeps a token until 10 seconds before its expiry, whatever
// happens meanwhile: an oauth2.Transport with this as its Source does not. DPoP
// tokens are of no use to either; for them the error is a *[ConfigError].
func (m *Manager) TokenSource(ctx context.Context) oauth2.TokenSource {
	return tokenSource(func() (*oauth2.Token, error) {
		t, err := m.Token(ctx)
		if err != nil {
			return nil, err
		}
		if t.TokenType == "DPoP" {
			return nil, &ConfigError{"Config.DPoP", "binds tokens to a key, and an oauth2.TokenSource cannot hand out proofs of it; use transport.RoundTripper"}
		}
		out := &oauth2.Token{AccessToken: t.AccessToken, TokenType: t.TokenType, Expiry: t.Expiry}
		if t.Scopes != nil {
			out = out.WithExtra(map[string]any{"scope": joinScopes(t.Scopes)})
		}
		return out, nil
	})
}

type tokenSource func() (*oauth2.Token, error)

func (s tokenSource) Token() (*oauth2.Token, error) { return s() }
