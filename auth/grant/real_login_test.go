//go:build realservers

package grant_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/internal/realservers"
)

// One user's way through everything: registration on demand, login with PKCE,
// more scopes, revocation.
func TestRealOIDCProviderLoginInChromium(t *testing.T) {
	p := realservers.StartOIDCProvider(t, realservers.OIDCConfig{})
	user := newRealUser(realservers.OpenBrowser(t))
	m := newRealManager(t, p, auth.Config{Grant: grant.AuthorizationCode{UserAgent: user}})

	var in realservers.Introspection
	call := func(path string) func() error {
		return func() (err error) {
			in, err = callResource(t, p, m, path)
			return err
		}
	}
	user.during(t, call(""), func(target string) {
		user.b.Visit(target)
		user.b.WaitFor("Sign-in")
		user.b.Screenshot("oidc-provider-login")
		user.enterPassword()
		user.b.WaitFor("Authorize")
		user.b.WaitFor("mcp:read")
		user.b.Screenshot("oidc-provider-consent")
		user.b.Click("button[type=submit]")
		user.b.WaitFor("Signed in")
		user.b.Screenshot("oidc-provider-signed-in")
	})
	if in.Subject != "alice" || in.Audience != p.Resource || in.Scope != "mcp:read" || in.TokenType != "Bearer" {
		t.Errorf("the token says %+v", in)
	}
	wantEvents(t, p, map[string]int{"registration_create.success": 1, "refresh_token.saved": 1})

	// This server never widens by refresh (RFC 6749 section 6): it has to come
	// to another authorization, for both scopes, with the same registration.
	user.during(t, call("/write"), func(target string) {
		user.b.Visit(target) // still logged in
		user.b.WaitFor("Authorize")
		user.b.WaitFor("mcp:write")
		user.b.Click("button[type=submit]")
		user.b.WaitFor("Signed in")
	})
	if in.Scope != "mcp:read mcp:write" {
		t.Errorf("the token after the step-up says %+v", in)
	}
	wantEvents(t, p, map[string]int{"registration_create.success": 1, "grant.error invalid_scope": 1, "grant.revoked": 0})

	tok, err := m.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{tok.AccessToken, tok.RefreshToken}
	for i, secret := range secrets {
		if !p.Introspect(secret).Active {
			t.Errorf("token %d is not active before its revocation", i)
		}
	}
	if err := m.Revoke(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, secret := range secrets {
		if p.Introspect(secret).Active {
			t.Errorf("token %d is active after its revocation", i)
		}
	}
	if _, err := m.Token(t.Context()); !errors.Is(err, auth.ErrNoToken) {
		t.Errorf("Token after Revoke: %v, want ErrNoToken", err)
	}
}

// A user who says no is an error that says so, and no token.
func TestRealOIDCProviderUserCancels(t *testing.T) {
	p := realservers.StartOIDCProvider(t, realservers.OIDCConfig{})
	user := newRealUser(realservers.OpenBrowser(t))
	m := newRealManager(t, p, auth.Config{Grant: grant.AuthorizationCode{UserAgent: user}})
	var refused *auth.AuthorizationError
	user.during(t, func() error {
		if _, err := m.Authorize(t.Context()); !errors.As(err, &refused) {
			return errors.Join(errors.New("no AuthorizationError"), err)
		}
		return nil
	}, func(target string) {
		user.b.Visit(target)
		user.b.Click(".login-help a") // [ Cancel ]
		user.b.WaitFor("Sign-in failed")
	})
	if refused.Code != "access_denied" || refused.Issuer != p.Issuer {
		t.Errorf("Code %q from %q", refused.Code, refused.Issuer)
	}
	// This server offers pushed authorization requests (RFC 9126).
	if n := p.Events()["pushed_authorization_request.success"]; n != 1 {
		t.Errorf("%d requests were pushed", n)
	}
}

// The user logs in elsewhere, on a page with the code that the program shows.
// Meanwhile the program polls.
func TestRealOIDCProviderDeviceCode(t *testing.T) {
	p := realservers.StartOIDCProvider(t, realservers.OIDCConfig{})
	user := newRealUser(realservers.OpenBrowser(t))
	var shown grant.DevicePrompt
	m := newRealManager(t, p, auth.Config{
		Grant: grant.DeviceCode{Prompt: func(_ context.Context, prompt grant.DevicePrompt) error {
			shown = prompt
			user.toVisit <- prompt.VerificationURI
			return nil
		}},
	})
	var tok *auth.Token
	user.during(t, func() (err error) {
		tok, err = m.Authorize(t.Context())
		return err
	}, func(target string) {
		user.b.Visit(target)
		user.b.WaitFor("Enter the code displayed on your device")
		user.b.Fill("input[name=user_code]", shown.UserCode)
		user.b.Click("button[type=submit]")
		user.b.WaitFor("Confirm Device")
		user.b.WaitFor(shown.UserCode)
		awaitEvent(t, p, "grant.error authorization_pending")
		user.b.Click("button[autofocus]")
		user.enterPassword()
		user.b.WaitFor("Authorize")
		user.b.Click("button[type=submit]")
		user.b.WaitFor("Sign-in Success")
	})
	if tok.RefreshToken == "" || !slices.Contains(tok.Scopes, "mcp:read") {
		t.Errorf("scopes %q, refresh token: %t", tok.Scopes, tok.RefreshToken != "")
	}
	if in := mustCall(t, p, m); in.Subject != "alice" || in.Audience != p.Resource {
		t.Errorf("the token says %+v", in)
	}
	if _, err := m.Refresh(t.Context()); err != nil {
		t.Error(err)
	}
	if in := mustCall(t, p, m); in.Subject != "alice" {
		t.Errorf("the refreshed token says %+v", in)
	}
	wantEvents(t, p, map[string]int{"grant.error authorization_pending": p.Events()["grant.error authorization_pending"]})
}
