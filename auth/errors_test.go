package auth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// What people read. The texts say who refused what, what the program's own code
// said, and what to do.
func TestErrorTexts(t *testing.T) {
	const as, mcp = "https://as.example.com", "https://mcp.example.com/mcp"
	at := time.Date(2026, 7, 28, 12, 0, 0, 0, time.FixedZone("", 3600))
	foreign := errors.New("in somebody's words")
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"config", &auth.ConfigError{Field: "Config.Resource", Problem: "is empty"}, "auth: Config.Resource: is empty"},
		{"token, refused", &auth.TokenError{Code: "invalid_grant", StatusCode: 400, Issuer: as, GrantType: "refresh_token", Err: foreign},
			"auth: token request (refresh_token) to https://as.example.com: refused with invalid_grant"},
		{"token, no answer", &auth.TokenError{Issuer: as, GrantType: "urn:ietf:params:oauth:grant-type:jwt-bearer", Err: context.DeadlineExceeded},
			"auth: token request (jwt-bearer) to https://as.example.com: context deadline exceeded"},
		{"token, foreign cause", &auth.TokenError{Issuer: as, Err: foreign}, "auth: token request to https://as.example.com: in somebody's words"},
		{"token, status", &auth.TokenError{StatusCode: 502}, "auth: token request: HTTP 502"},
		{"token, status and cause", &auth.TokenError{StatusCode: 200, Err: io.ErrUnexpectedEOF}, "auth: token request: HTTP 200: unexpected EOF"},
		{"token, next attempt", &auth.TokenError{StatusCode: 503, NextAttempt: at}, "auth: token request: HTTP 503; next attempt at 2026-07-28T11:00:00Z"},
		{"authorization, refused", &auth.AuthorizationError{Code: "access_denied", Issuer: as}, "auth: authorization at https://as.example.com: refused with access_denied"},
		{"authorization, cause", &auth.AuthorizationError{Issuer: as, Err: auth.ErrNoPKCE},
			"auth: authorization at https://as.example.com: the authorization server does not support PKCE with S256, or does not say so; if it does, set Config.Server to its Issuer with CodeChallengeMethodsSupported [\"S256\"]"},
		{"authorization, foreign cause", &auth.AuthorizationError{Err: foreign}, "auth: authorization: in somebody's words"},
		{"authorization, nothing known", &auth.AuthorizationError{}, "auth: authorization failed"},
		{"reauthorization", &auth.ReauthorizationRequiredError{Scopes: []string{"a", "b"}, Resource: mcp, Err: auth.ErrNoToken},
			`auth: authorization required for https://mcp.example.com/mcp with scopes "a b"; configure a Grant or call SetToken: no token`},
		{"reauthorization, nothing known", &auth.ReauthorizationRequiredError{Resource: mcp}, "auth: authorization required for https://mcp.example.com/mcp; configure a Grant or call SetToken"},
		{"reauthorization, refused", &auth.ReauthorizationRequiredError{Resource: mcp, Err: &auth.TokenError{Code: "invalid_grant"}},
			"auth: authorization required for https://mcp.example.com/mcp; configure a Grant or call SetToken: token request: refused with invalid_grant"},
		{"scope", &auth.InsufficientScopeError{Required: []string{"a", "b"}, Resource: mcp, Attempts: 2},
			`auth: insufficient scope at https://mcp.example.com/mcp: it requires "a b"; gave up after 2 upgrade(s)`},
		{"scope, none named", &auth.InsufficientScopeError{Resource: mcp}, "auth: insufficient scope at https://mcp.example.com/mcp: it does not say which scopes it requires"},
		{"scope, cause", &auth.InsufficientScopeError{Required: []string{"a"}, Resource: mcp, Err: foreign},
			`auth: insufficient scope at https://mcp.example.com/mcp: it requires "a": in somebody's words`},
		{"rejected", &auth.RejectedError{Resource: mcp, Rejections: 4, NextAttempt: at},
			"auth: https://mcp.example.com/mcp rejected 4 fresh tokens in a row; check its audience, keys and clock. Next attempt at 2026-07-28T11:00:00Z"},
		{"store", &auth.StoreError{Op: "save", Err: foreign}, "auth: store: save: in somebody's words"},
		{"store, conflict", &auth.StoreError{Op: "save", Err: auth.ErrConflict}, "auth: store: save: record changed meanwhile"},
		{"issuer", &auth.IssuerError{Expected: as, Actual: "https://other.example.com"},
			"auth: Client is registered with https://as.example.com, but the resource's authorization server is https://other.example.com; if that is right, register there and set Config.Client, with its Issuer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.err.Error(); got != tt.want {
				t.Errorf("text\n%q, want\n%q", got, tt.want)
			}
			if got, want := (&auth.StoreError{Op: "load", Err: tt.err}).Error(), "auth: store: load: "+strings.TrimPrefix(tt.want, "auth: "); got != want {
				t.Errorf("as a cause it is\n%q, want\n%q", got, want)
			}
			if cause := errors.Unwrap(tt.err); cause != nil && !errors.Is(fmt.Errorf("x: %w", tt.err), cause) {
				t.Errorf("%v is not found", cause)
			}
		})
	}
}

// Each cause is found by errors.Is and errors.As through the errors around it.
func TestErrorsUnwrap(t *testing.T) {
	cause := errors.New("cause")
	for _, err := range []error{
		&auth.TokenError{Err: cause},
		&auth.AuthorizationError{Err: cause},
		&auth.ReauthorizationRequiredError{Err: cause},
		&auth.InsufficientScopeError{Err: cause},
		&auth.StoreError{Err: cause},
		&auth.InsufficientScopeError{Err: &auth.ReauthorizationRequiredError{Err: &auth.TokenError{Err: cause}}},
	} {
		if !errors.Is(err, cause) {
			t.Errorf("%T hides its cause", err)
		}
	}
}

// Retryable is what the classification says, and the text of a request whose
// answer was lost warns of it.
func TestTokenErrorRetryable(t *testing.T) {
	tests := []struct {
		fault authtest.Fault
		want  bool
		text  string
	}{
		{authtest.OAuthError("invalid_grant", 400), false, ""},
		{authtest.OAuthError("invalid_request", 400), false, ""},
		{authtest.OAuthError("server_error", 500), true, ""},
		{authtest.OAuthError("temporarily_unavailable", 400), true, ""},
		{authtest.Status(404), false, ""},
		{authtest.Status(429), true, ""},
		{authtest.Status(500), true, ""},
		{authtest.HTML(), true, ""},
		{authtest.ResetBefore(), true, "(the request may have been processed)"},
	}
	for _, tt := range tests {
		t.Run(tt.fault.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				m, _ := k.started(k.config())
				k.srv.InjectAlways(authtest.TokenEndpoint, tt.fault)
				_, err := m.Refresh(t.Context())
				te := asError[*auth.TokenError](t, err)
				if te.Retryable() != tt.want || !strings.Contains(te.Error(), tt.text) {
					t.Errorf("%v, retryable: %v, want %v and %q", te, te.Retryable(), tt.want, tt.text)
				}
			})
		})
	}
}
