package auth

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mcptokens/mcptokens/auth/admission"
	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// checkNames returns the canonical form of a resource, or a *[ConfigError] for
// it or the subject.
func checkNames(network httpx.Network, resource, subject string) (string, error) {
	if !utf8.ValidString(subject) {
		return "", &ConfigError{"Config.Subject", "is not UTF-8, so that it cannot be stored; encode it, in hexadecimal for instance"}
	}
	if resource == "" {
		return "", &ConfigError{"Config.Resource", "is empty; set it to the URL of the MCP server"}
	}
	if _, err := httpx.CheckURLIn(network, "Config.Resource", resource); err != nil {
		return "", badURL("Config.Resource", resource, err)
	}
	canonical, err := (&discovery.Client{Network: network}).ResourceURL(resource)
	if err != nil {
		return "", &ConfigError{"Config.Resource", "is no resource indicator of RFC 8707; set the absolute URL of the MCP server"}
	}
	if canonical == resource {
		return resource, nil // one string in memory, not two
	}
	return canonical, nil
}

// names is checkNames for a manager, which is not reached over the network if
// it is for a server of authtest in memory.
func (c *Config) names(network httpx.Network, resource, subject string) (string, error) {
	canonical, err := checkNames(network, resource, subject)
	if err == nil && c.HTTPClient == nil && httpx.IsInMemory(canonical) {
		return "", &ConfigError{"Config.HTTPClient", "is nil, but Config.Resource is in the memory of an authtest.Server; set it to the server's Client()"}
	}
	return canonical, err
}

// withDefaults returns a copy of c with its defaults in place, or a
// *[ConfigError] for the first field that cannot be used, Resource apart.
func (c Config) withDefaults(network *httpx.Policy) (Config, error) {
	for _, f := range []struct {
		field    string
		negative bool
	}{
		{"Config.RefreshWindow", c.RefreshWindow < 0},
		{"Config.RefreshTimeout", c.RefreshTimeout < 0},
		{"Config.AnswerTimeout", c.AnswerTimeout < 0},
		{"Config.AuthorizationTimeout", c.AuthorizationTimeout < 0},
		{"Config.StepUpLimit", c.StepUpLimit < 0},
		{"Config.TokenRequests.Most", c.TokenRequests != nil && c.TokenRequests.Most < 0},
	} {
		if f.negative {
			return c, &ConfigError{f.field, "must not be negative; leave it zero for its default"}
		}
	}
	if err := checkClient(network, c.Client); err != nil {
		return c, err
	}
	if c.ClientMetadataURL != "" {
		if err := registration.ValidateClientIDURL(c.ClientMetadataURL); err != nil {
			return c, &ConfigError{"Config.ClientMetadataURL", "must be an https URL with a path, without fragment, user information or dot segments"}
		}
	}
	if c.Server != nil {
		srv := *c.Server
		c.Server = &srv
		if srv.TokenEndpoint != "" && srv.CodeChallengeMethodsSupported == nil {
			srv.CodeChallengeMethodsSupported = []string{"S256"} // the program vouches for a server that it configures
		}
		if err := checkServer(network, &srv); err != nil {
			return c, err
		}
	}
	if c.Client.Issuer == "" && c.Server != nil {
		c.Client.Issuer = c.Server.Issuer
	}
	if c.Scopes = normalizeScopes(c.Scopes); slices.ContainsFunc(c.Scopes, func(s string) bool { return !isScope(s) }) {
		return c, &ConfigError{"Config.Scopes", notScopes}
	}
	if c.ScopeRules.NoOfflineAccess && hasOffline(c.Scopes) {
		return c, &ConfigError{"Config.Scopes", "has offline_access, which ScopeRules.NoOfflineAccess declines; remove one of them"}
	}
	var err error
	if c.Requests, err = c.Requests.checked(); err != nil {
		return c, err
	}
	if err := checkGrant(network, c.Grant); err != nil {
		return c, err
	}
	c.RefreshWindow = orDefault(c.RefreshWindow, defaultRefreshWindow)
	c.RefreshTimeout = orDefault(c.RefreshTimeout, defaultRefreshTimeout)
	c.AnswerTimeout = orDefault(c.AnswerTimeout, defaultAnswerTimeout)
	c.AuthorizationTimeout = orDefault(c.AuthorizationTimeout, defaultAuthorizationTimeout)
	if c.StepUpLimit == 0 {
		c.StepUpLimit = defaultStepUpLimit
	}
	if c.TokenRequests == nil {
		c.TokenRequests = new(admission.Gate)
	}
	if c.Registration.ClientName == "" {
		c.Registration.ClientName = "MCP client (Go)"
	}
	if c.Store == nil {
		c.Store = new(MemoryStore)
	}
	return c, nil
}

const notScopes = "has an entry that is no scope of RFC 6749 section 3.3: list each scope as a separate string, in ASCII, without spaces and quotation marks"

// checkGrant asks a grant whether it can be used. One with URLs of its own asks
// back about them.
func checkGrant(network *httpx.Policy, g Grant) error {
	switch g := g.(type) {
	case interface {
		CheckURLs(check func(field, raw string) error) error
	}:
		return g.CheckURLs(func(field, raw string) error {
			_, err := httpx.CheckURLIn(network, field, raw)
			return err
		})
	case interface{ Check() error }:
		return g.Check()
	}
	return nil
}

// checkClient validates a configured client, whose fields often come from files and
// the environment.
func checkClient(network *httpx.Policy, c Client) error {
	if c.ID == "" && (c.Secret != "" || c.Auth != nil) {
		return &ConfigError{"Config.Client.ID", "is empty but Secret or Auth is set; set the identifier they belong to"}
	}
	for _, f := range []struct{ field, value string }{{"Config.Client.ID", c.ID}, {"Config.Client.Secret", c.Secret}} {
		if strings.ContainsFunc(f.value, unicode.IsControl) { // RFC 6749 appendix A
			return &ConfigError{f.field, "has a line break or another control character; trim what was read from a file"}
		}
	}
	if c.Issuer == "" {
		return nil
	}
	if _, err := httpx.CheckURLIn(network, "Config.Client.Issuer", c.Issuer); err != nil {
		return badURL("Config.Client.Issuer", c.Issuer, err)
	}
	return nil
}

// checkServer validates a configured server.
func checkServer(network *httpx.Policy, s *Server) error {
	if s.Issuer == "" && s.TokenEndpoint == "" {
		return &ConfigError{"Config.Server", "has neither Issuer nor TokenEndpoint; set one, or leave Server nil to have it discovered"}
	}
	for _, u := range []struct{ field, url string }{
		{"Config.Server.Issuer", s.Issuer},
		{"Config.Server.TokenEndpoint", s.TokenEndpoint},
		{"Config.Server.AuthorizationEndpoint", s.AuthorizationEndpoint},
		{"Config.Server.RegistrationEndpoint", s.RegistrationEndpoint},
		{"Config.Server.RevocationEndpoint", s.RevocationEndpoint},
		{"Config.Server.PushedAuthorizationRequestEndpoint", s.PushedAuthorizationRequestEndpoint},
		{"Config.Server.DeviceAuthorizationEndpoint", s.DeviceAuthorizationEndpoint},
		{"Config.Server.IntrospectionEndpoint", s.IntrospectionEndpoint},
		{"Config.Server.JWKSURI", s.JWKSURI},
	} {
		if u.url == "" {
			continue
		}
		if _, err := httpx.CheckURLIn(network, u.field, u.url); err != nil {
			return badURL(u.field, u.url, err)
		}
	}
	return nil
}

func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}
