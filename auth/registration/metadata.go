package registration

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/mcptokens/mcptokens/internal/httpx"
)

// What Metadata.ApplicationType can be (OpenID Connect Dynamic Client Registration 1.0 section
// 2).
const (
	applicationNative = "native"
	applicationWeb    = "web"
)

// Metadata describes a client (RFC 7591 section 2). Empty fields are left out, and then the
// authorization server's default applies, unless the function that takes the Metadata says
// otherwise.
type Metadata struct {
	// RedirectURIs are where authorization responses may go: https URLs, http URLs on this
	// machine, or URIs with a scheme of the application's own (RFC 8252 section 7).
	RedirectURIs []string `json:"redirect_uris,omitempty"`
	// GrantTypes are the grants the client will use. The server's default is
	// authorization_code alone; name refresh_token as well to get refresh tokens.
	GrantTypes []string `json:"grant_types,omitempty"`
	// ResponseTypes: the server's default is "code"; empty but not nil says that there are none.
	// Default for a client without authorization_code: none.
	ResponseTypes []string `json:"response_types,omitzero"`
	// Contacts are ways to reach the people responsible, usually email addresses.
	Contacts []string `json:"contacts,omitempty"`
	// ClientName is the name that people see when they are asked for consent.
	ClientName string `json:"client_name,omitempty"`
	// ClientURI, LogoURI, PolicyURI and TOSURI are pages about the client.
	ClientURI string `json:"client_uri,omitempty"`
	LogoURI   string `json:"logo_uri,omitempty"`
	PolicyURI string `json:"policy_uri,omitempty"`
	TOSURI    string `json:"tos_uri,omitempty"`
	// Scope is the scopes the client may ask for, separated by spaces.
	Scope string `json:"scope,omitempty"`
	// TokenEndpointAuthMethod is how the client proves itself: "none" for a client that
	// cannot keep a secret, which is every client on a user's machine. The server's default
	// is client_secret_basic.
	TokenEndpointAuthMethod string `json:"token_endpoint_auth_method,omitempty"`
	// ApplicationType is "native" or "web". Default: what the function ApplicationType says.
	ApplicationType string `json:"application_type,omitempty"`
	// SoftwareID and SoftwareVersion name the software, the same for all its installations.
	SoftwareID      string `json:"software_id,omitempty"`
	SoftwareVersion string `json:"software_version,omitempty"`
	// JWKSURI or JWKS, not both, is where the client's public keys are, for private_key_jwt.
	JWKSURI string          `json:"jwks_uri,omitempty"`
	JWKS    json.RawMessage `json:"jwks,omitempty"`
}

// ApplicationType returns the application_type that fits the redirect URIs: "native" if one of
// them is on this machine or has a scheme of the application's own, "web" otherwise. OpenID
// Connect servers take its absence for "web" and then refuse such URIs, which is why MCP
// 2026-07-28, "Application Type and Redirect URI Constraints", has clients send it.
func ApplicationType(redirectURIs []string) string {
	for _, raw := range redirectURIs {
		u, err := url.Parse(raw)
		if err != nil {
			continue
		}
		if u.Scheme != "https" && u.Scheme != "http" || httpx.IsLoopback(u.Hostname()) {
			return applicationNative
		}
	}
	return applicationWeb
}

// validate returns what is wrong with m under the rules that hold for dynamic registration and
// documents alike, each problem naming its field as it is called in JSON.
func (m *Metadata) validate() []error {
	var problems []error
	for i, uri := range m.RedirectURIs {
		if err := checkRedirectURI(fmt.Sprintf("redirect_uris[%d]", i), uri); err != nil {
			problems = append(problems, err)
		}
	}
	switch m.ApplicationType {
	case "", applicationNative, applicationWeb:
	default:
		problems = append(problems, errors.New(`application_type is unknown: use "native" or "web"`))
	}
	if m.JWKSURI != "" {
		if _, err := httpx.CheckURL("jwks_uri", m.JWKSURI); err != nil {
			problems = append(problems, err)
		}
	}
	if len(m.JWKS) > 0 {
		if m.JWKSURI != "" {
			problems = append(problems, errors.New("jwks and jwks_uri are both set: keep one (RFC 7591 section 2)"))
		}
		problems = append(problems, checkJWKS(m.JWKS)...)
	}
	return problems
}

// checkRedirectURI allows what MCP 2026-07-28, "Communication Security", does, https and
// loopback, and schemes of the application's own. RFC 8252 section 7.1 wants those to be a
// reversed domain name, and servers to refuse one without a dot; that also keeps out
// javascript: and its like.
func checkRedirectURI(field, raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" || u.Scheme == "http" || u.Scheme == "https" {
		_, err := httpx.CheckURL(field, raw)
		return err
	}
	switch {
	case !strings.Contains(u.Scheme, "."):
		return fmt.Errorf("%w: %s has the scheme %q: use https, http://127.0.0.1 or a reversed domain name of yours, as in com.example.app:/callback",
			httpx.ErrInsecureURL, field, u.Scheme)
	case strings.Contains(raw, "#"):
		return fmt.Errorf("%w: %s contains a fragment: remove the # and what follows", httpx.ErrInsecureURL, field)
	}
	return nil
}

// checkJWKS makes sure that no private key is about to be published.
func checkJWKS(raw json.RawMessage) []error {
	var set struct {
		Keys []map[string]json.RawMessage `json:"keys"`
	}
	if err := httpx.DecodeObject(raw, &set); err != nil || len(set.Keys) == 0 {
		return []error{errors.New(`jwks is not a JWK set: use an object with the member "keys", which lists at least one (RFC 7517 section 5)`)}
	}
	var problems []error
	for i, key := range set.Keys {
		for _, private := range []string{"d", "k", "p", "q"} {
			if _, ok := key[private]; ok {
				problems = append(problems, fmt.Errorf("jwks.keys[%d] is a private or symmetric key (member %q): publish the public key only", i, private))
				break
			}
		}
	}
	return problems
}
