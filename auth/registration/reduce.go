package registration

import (
	"net/http"
	"slices"
	"strings"

	"github.com/mcptokens/mcptokens/internal/clientsecret"
)

// part is one of a registration that servers refuse and that a client can do without.
type part struct {
	texts []string // of which a refusal has one, in lower case, that means this part
	drop  func(m *Metadata, listed []string) (dropped bool)
}

func (p part) meant(text string) bool {
	return slices.ContainsFunc(p.texts, func(t string) bool { return strings.Contains(text, t) })
}

var optional = []part{
	{[]string{"grant", "refresh_token"}, dropGrantTypes},
	{[]string{"application_type", "application type"}, dropApplicationType},
	{[]string{"token_endpoint_auth_method", "auth method", "authentication method", "public client", `"none"`, "'none'"}, dropNone},
	{[]string{"scope"}, dropScope},
}

// less returns what is left of m when what the server refused is taken out of it; false if that
// is nothing, or if the refusal is about something else. A server that refused a registration
// has made no client, so that nothing is left behind.
func (r Registrar) less(m Metadata, e *Error) (Metadata, bool) {
	if e.Err != nil || e.StatusCode != http.StatusBadRequest && e.StatusCode != http.StatusUnprocessableEntity {
		return m, false
	}
	text := strings.ToLower(e.Description)
	named := slices.ContainsFunc(optional, func(p part) bool { return p.meant(text) })
	if !named && e.Code != "" && e.Code != "invalid_client_metadata" && e.Code != "invalid_request" {
		return m, false // the redirect URI, or a software statement
	}
	changed := false
	for _, p := range optional {
		if p.meant(text) || !named {
			changed = p.drop(&m, r.AuthMethods) || changed
		}
	}
	return m, changed
}

func dropGrantTypes(m *Metadata, _ []string) bool {
	if len(m.GrantTypes) < 2 {
		return false
	}
	m.GrantTypes = m.GrantTypes[:1:1]
	return true
}

func dropApplicationType(m *Metadata, _ []string) bool {
	had := m.ApplicationType != ""
	m.ApplicationType = ""
	return had
}

// dropNone leaves a client that cannot be public to what the server lists, or to its default.
// A server that lists "none" means something else.
func dropNone(m *Metadata, listed []string) bool {
	if m.TokenEndpointAuthMethod != authNone || slices.Contains(listed, authNone) {
		return false
	}
	m.TokenEndpointAuthMethod = ""
	for _, method := range []string{clientsecret.Post, clientsecret.Basic} {
		if slices.Contains(listed, method) {
			m.TokenEndpointAuthMethod = method
		}
	}
	return true
}

func dropScope(m *Metadata, _ []string) bool {
	had := m.Scope != ""
	m.Scope = ""
	return had
}
