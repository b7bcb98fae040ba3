package auth

import (
	"context"

	"golang.org/x/oauth2"
)

// TokenSource returns the manager as an [oauth2.TokenSource], for code that
// takes one. Its Token method waits no longer than ctx. The tokens carry no
// refresh token: who refreshes it behind the manager's back burns it.
func (m *Manager) TokenSource(ctx context.Context) oauth2.TokenSource {
	return tokenSource(func() (*oauth2.Token, error) {
		t, err := m.Token(ctx)
		if err != nil {
			return nil, err
		}
		return &oauth2.Token{AccessToken: t.AccessToken, TokenType: t.TokenType, Expiry: t.Expiry}, nil
	})
}

type tokenSource func() (*oauth2.Token, error)

func (s tokenSource) Token() (*oauth2.Token, error) { return s() }
