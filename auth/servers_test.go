package auth_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/discovery"
)

// A server that calls itself by another form of the URL that resources list: its
// issuer, for the document and for iss, is one setting, and the error names it.
func TestIssuerOfAnotherForm(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{IssuerPath: "/tenant", IssuerWithoutPath: true}, authtest.Protection{})
		_, err := k.manager(k.discovered()).Authorize(t.Context())
		if !errors.Is(err, discovery.ErrIssuerMismatch) || !strings.Contains(err.Error(), `set Config.Server.Issuer to "`+k.srv.URL+`"`) {
			t.Fatalf("error %v, want one that says what to set", err)
		}
		cfg := k.discovered()
		cfg.Server = &auth.Server{Issuer: k.srv.URL}
		m := k.manager(cfg)
		tok, err := m.Authorize(t.Context())
		if err != nil || k.call(tok) != 200 {
			t.Fatalf("with the setting: %v", err)
		}
		if _, err := m.Refresh(t.Context()); err != nil {
			t.Errorf("refresh: %v", err)
		}
		if got := m.Info().Issuer; got != k.srv.URL {
			t.Errorf("issuer %s, want the document's", got)
		}
	})
}

// A server that does not say how it does PKCE is refused, unless the program
// says it. No endpoint has to be named for that.
//
//compat:finding no `code_challenge_methods_supported` (Entra ID, Cognito)
//compat:default refused; the error says what to set
//compat:setting Config.Server.CodeChallengeMethodsSupported
//compat:attack same
func TestServerDoesNotSayPKCE(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{Metadata: func(doc map[string]any) { delete(doc, "code_challenge_methods_supported") }}, authtest.Protection{})
		cfg := k.discovered()
		cfg.Server = &auth.Server{Issuer: k.srv.Issuer}
		_, err := k.manager(cfg).Authorize(t.Context())
		if !errors.Is(err, auth.ErrNoPKCE) || !strings.Contains(err.Error(), "CodeChallengeMethodsSupported") {
			t.Fatalf("error %v, want one that names the setting", err)
		}
		if n := k.srv.Counts().Authorize; n != 0 {
			t.Fatalf("%d authorization requests", n)
		}
		cfg.Server.CodeChallengeMethodsSupported = []string{"plain"} // which protects nothing
		if _, err := k.manager(cfg).Authorize(t.Context()); !errors.Is(err, auth.ErrNoPKCE) {
			t.Fatalf("with plain: %v", err)
		}
		cfg.Server.CodeChallengeMethodsSupported = []string{"S256"}
		if _, err := k.manager(cfg).Authorize(t.Context()); err != nil {
			t.Fatalf("with the setting: %v", err)
		}
	})
}
