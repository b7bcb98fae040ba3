package standing

import (
	"net/url"
	"slices"
	"strings"

	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// Suits reports whether reg may use these redirect URIs, and the grant that comes
// first in grantTypes, as far as is known. Many servers compare the port of a
// loopback address, against RFC 8252 section 7.3, so we do too, unless the server
// left the port out itself.
func Suits(reg *registration.Client, redirectURIs, grantTypes []string) bool {
	for _, u := range redirectURIs {
		if !slices.Contains(reg.RedirectURIs, u) && !slices.Contains(reg.RedirectURIs, anyPort(u)) {
			return false
		}
	}
	return reg.GrantType == "" || len(grantTypes) == 0 || grantTypes[0] == reg.GrantType
}

// KnowsScopes reports whether reg was registered for these scopes, or the server
// declined to, as far as is known: what the answer says a client may ask for (RFC
// 7591 section 2) is a limit at many, Ory Hydra and fastmcp among them.
func KnowsScopes(reg *registration.Client, scopes []string) bool {
	if reg.Scopes == nil {
		return true
	}
	for _, s := range scopes {
		if !slices.Contains(reg.Scopes, s) && !slices.Contains(reg.DeclinedScopes, s) {
			return false
		}
	}
	return true
}

// anyPort is the http redirect URI of this machine without its port, as a server
// registers it that allows any; any other as it is.
func anyPort(redirectURI string) string {
	u, err := url.Parse(redirectURI)
	if err != nil || u.Scheme != "http" || !httpx.IsLoopback(u.Hostname()) || u.User != nil {
		return redirectURI
	}
	u.Host = strings.TrimSuffix(u.Host, ":"+u.Port())
	return u.String()
}
