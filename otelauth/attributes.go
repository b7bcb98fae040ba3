package otelauth

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/internal/shown"
)

// Everything that is recorded passes through this file: what is not from a
// closed set of words is made safe here.

// attributes are collected one by one; what has no value is left out.
type attributes []attribute.KeyValue

// newAttributes has room for n.
func newAttributes(n int) attributes { return make(attributes, 0, n) }

func (a *attributes) add(kv ...attribute.KeyValue) { *a = append(*a, kv...) }

func (a *attributes) text(key attribute.Key, value string) {
	if value != "" {
		a.add(key.String(shown.Text(value)))
	}
}

// resource adds the MCP server.
func (a *attributes) resource(rawURL string) {
	if u := publicURL(rawURL); u != nil {
		a.text(AttrResource, u.String())
	}
}

// issuer adds the authorization server, and where it is.
func (a *attributes) issuer(rawURL string) {
	u := publicURL(rawURL)
	if u == nil {
		return
	}
	a.text(AttrIssuer, u.String())
	a.host(u)
	if u.Port() != "" {
		a.add(semconv.ServerPort(port(u)))
	}
}

// host adds the name of a server.
func (a *attributes) host(u *url.URL) { a.text(semconv.ServerAddressKey, u.Hostname()) }

// maxScopes and maxScope bound what a challenge can put into a span.
const (
	maxScopes = 32
	maxScope  = 128
)

// scopes adds those that are scope tokens of RFC 6749 section 3.3. Exporters
// drop a whole batch for one string that is not UTF-8.
func (a *attributes) scopes(key attribute.Key, scopes []string) {
	var fit []string
	for _, s := range scopes {
		if len(fit) < maxScopes && len(s) <= maxScope && isScope(s) {
			fit = append(fit, s)
		}
	}
	if len(fit) > 0 {
		a.add(key.StringSlice(fit))
	}
}

func isScope(s string) bool {
	for _, r := range s {
		if r <= ' ' || r > '~' || r == '"' || r == '\\' {
			return false
		}
	}
	return s != ""
}

// token adds what is known of a token that came just now.
func (a *attributes) token(expiry time.Time, scopes []string, unsaved bool) {
	a.scopes(AttrScopesGranted, scopes)
	if !expiry.IsZero() {
		a.add(AttrTokenExpiresIn.Int64(int64(time.Until(expiry).Round(time.Second) / time.Second)))
	}
	if unsaved {
		a.add(AttrTokenUnsaved.Bool(true))
	}
}

// errorType adds error.type if there is an error.
func (a *attributes) errorType(err error) {
	if err != nil {
		a.add(errorType(err))
	}
}

// failure adds what may be said of err: nothing that a server put in words.
func (a *attributes) failure(err error) {
	if err == nil {
		return
	}
	a.errorType(err)
	if status := httpStatus(err); status != 0 {
		a.add(semconv.HTTPResponseStatusCode(status))
	}
}

// publicURL parses rawURL and drops what may hold a secret; nil if nothing of
// use is left.
func publicURL(rawURL string) *url.URL {
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" {
		return nil
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
}

// errorType is error.type: a registered error code, else what kept the operation
// from an answer, else "_OTHER". A server may send any text as its code, a token too.
func errorType(err error) attribute.KeyValue {
	var (
		token *auth.TokenError
		authz *auth.AuthorizationError
		reg   *registration.Error
		local interface{ ErrorType() string } // of package browser
		code  string
	)
	switch {
	case errors.As(err, &local) && (local.ErrorType() == "no_browser" || local.ErrorType() == "no_terminal"):
		return semconv.ErrorTypeKey.String(local.ErrorType())
	case errors.As(err, &token):
		code = token.Code
	case errors.As(err, &authz):
		code = authz.Code
	case errors.As(err, &reg):
		code = reg.Code
	}
	switch {
	case registered(code):
		return semconv.ErrorTypeKey.String(code)
	case errors.Is(err, context.Canceled):
		return semconv.ErrorTypeKey.String("canceled")
	}
	return semconv.ErrorTypeKey.String(networkFailure(err))
}

// httpStatus is the status of the answer that err is about; 0 if none came.
func httpStatus(err error) int {
	var (
		token *auth.TokenError
		disc  *discovery.Error
		reg   *registration.Error
	)
	switch {
	case errors.As(err, &token):
		return token.StatusCode
	case errors.As(err, &disc):
		return disc.StatusCode
	case errors.As(err, &reg):
		return reg.StatusCode
	}
	return 0
}

// knownGrant is a registered grant type (IANA "OAuth URI", RFC 6749), else
// "_OTHER": a program's own grant may call itself anything.
func knownGrant(grant string) string {
	switch grant {
	case "", "refresh_token", "authorization_code", "client_credentials",
		"urn:ietf:params:oauth:grant-type:device_code",
		"urn:ietf:params:oauth:grant-type:jwt-bearer",
		"urn:ietf:params:oauth:grant-type:saml2-bearer",
		"urn:ietf:params:oauth:grant-type:token-exchange",
		"urn:openid:params:grant-type:ciba":
		return grant
	}
	return "_OTHER"
}

// mcpMethod is the request of MCP that an operation names first; empty if it
// names none. What follows may be the name of a file or a person.
func mcpMethod(operation string) string {
	method, _, _ := strings.Cut(operation, " ")
	switch method {
	case "initialize", "server/discover", "ping", "tools/list", "tools/call", "prompts/list", "prompts/get",
		"resources/list", "resources/templates/list", "resources/read", "resources/subscribe", "resources/unsubscribe",
		"subscriptions/listen", "completion/complete", "logging/setLevel",
		"tasks/list", "tasks/get", "tasks/result", "tasks/update", "tasks/cancel",
		"notifications/initialized", "notifications/cancelled", "notifications/progress", "notifications/roots/list_changed":
		return method
	}
	return ""
}

// registered reports whether code is in the IANA registry "OAuth Extensions
// Error" or in one of the RFCs from before it.
func registered(code string) bool {
	switch code {
	case
		// RFC 6749 sections 4.1.2.1 and 5.2
		"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
		"invalid_scope", "access_denied", "unsupported_response_type", "server_error", "temporarily_unavailable",
		// RFC 6750 section 3.1
		"invalid_token", "insufficient_scope",
		// RFC 7009 section 2.2.1
		"unsupported_token_type",
		// RFC 7591 section 3.2.2
		"invalid_redirect_uri", "invalid_client_metadata", "invalid_software_statement", "unapproved_software_statement",
		// RFC 8628 section 3.5
		"authorization_pending", "slow_down", "expired_token",
		// RFC 8707 section 2
		"invalid_target",
		// RFC 9101 section 7
		"invalid_request_uri", "invalid_request_object", "request_not_supported", "request_uri_not_supported",
		// RFC 9396 section 5
		"invalid_authorization_details",
		// RFC 9449 sections 5 and 8
		"invalid_dpop_proof", "use_dpop_nonce",
		// RFC 9470 section 3
		"insufficient_user_authentication",
		// OpenID Connect Core section 3.1.2.6
		"interaction_required", "login_required", "account_selection_required", "consent_required", "registration_not_supported":
		return true
	}
	return false
}
