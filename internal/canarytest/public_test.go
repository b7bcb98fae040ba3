package canarytest

import (
	"slices"
	"strings"
)

// listed reports whether a field such as "auth.Token.Expiry" is in a list by types.
func listed(list map[string]string, field string) bool {
	dot := strings.LastIndexByte(field, '.')
	return slices.Contains(strings.Fields(list[field[:dot]]), field[dot+1:])
}

// shownURLs are the fields whose scheme, host and path may be printed, but no user
// information, query and fragment.
var shownURLs = map[string]string{
	"auth.ClientAuthRequest": "Endpoint",
	"auth.Config":            "Resource",
	"auth.Flow":              "Resource",
	"auth.Key":               "Resource",
	"auth.PoolConfig":        "Resources",
	"auth.Post":              "Endpoint",
	"auth.Proof":             "URL",
	"browser.Question":       "URL",
	"grant.DevicePrompt":     "VerificationURI VerificationURIComplete",
}

// publicFields are those that hold no secret, by type: names that servers publish,
// settings, and texts that were cleaned of secrets before.
var publicFields = map[string]string{
	"auth.AuthorizationError":           "Code Description URI Issuer",
	"auth.Challenge":                    "Method Scheme Error Scopes ResourceMetadata Operation Params",
	"auth.Client":                       "ID",
	"auth.ClientAuthRequest":            "ClientID",
	"auth.ConfigError":                  "Field Problem",
	"auth.Endpoints":                    "Token Revocation AuthMethods",
	"auth.Event":                        "Type Scopes Err Resource Issuer Subject", // Subject is the program's own
	"auth.Info":                         "State Resource Issuer ClientID TokenType Scopes Requested LastError",
	"auth.InsufficientScopeError":       "Required Granted Resource Operation",
	"auth.IssuerError":                  "Expected Actual",
	"auth.Key":                          "Issuer ClientID",
	"auth.LoginRequiredError":           "Scopes Resource",
	"auth.Network":                      "Private PlainHTTP",
	"auth.PoolConfig":                   "Resources",
	"auth.Post":                         "Name",
	"auth.Proof":                        "Method",
	"auth.ReauthorizationRequiredError": "Scopes Issuer Resource",
	"auth.Record":                       "Issuer",
	"auth.RejectedError":                "Resource Operation",
	"auth.StepUpLimit":                  "Scopes",
	"auth.LoginRefusal":                 "Issuer Code Scopes",
	"auth.StoreEntry":                   "Issuer Scopes",
	"auth.StoreError":                   "Op",
	"auth.Token":                        "TokenType Scopes",
	"auth.TokenError":                   "Code Description URI Issuer GrantType what set",
	"browser.Headless":                  "RedirectURI",
	"browser.Loopback":                  "Bind Path Host",
	"browser.Message":                   "Title Text",
	"browser.Outcome":                   "Kind Title Text Reason Said Err",
	"browser.Page":                      "Name Logo",
	"browser.Paste":                     "RedirectURI",
	"browser.TerminalTexts":             "Open Paste Empty NoAnswer NotYet OtherSignIn Incomplete MoreThanCode",
	"browser.Texts":                     "Language Says",
	"clientauth.PrivateKeyJWT":          "Algorithm KeyID",
	"discovery.Attempt":                 "URL Err",
	"discovery.AuthorizationServer": "Issuer AuthorizationEndpoint TokenEndpoint RegistrationEndpoint RevocationEndpoint IntrospectionEndpoint " +
		"DeviceAuthorizationEndpoint PushedAuthorizationRequestEndpoint JWKSURI ScopesSupported ResponseTypesSupported GrantTypesSupported " +
		"TokenEndpointAuthMethodsSupported TokenEndpointAuthSigningAlgValuesSupported RevocationEndpointAuthMethodsSupported " +
		"CodeChallengeMethodsSupported DPoPSigningAlgValuesSupported AuthorizationGrantProfilesSupported problems assumed",
	"discovery.Error": "Op URL",
	"discovery.ProtectedResource": "Resource AuthorizationServers ScopesSupported BearerMethodsSupported JWKSURI ResourceName " +
		"ResourceDocumentation ResourcePolicyURI ResourceTOSURI DPoPSigningAlgValuesSupported URL",
	"dpop.Keys":                     "Algorithm",
	"external.Error":                "Code",
	"filestore.Error":               "Op Path Advice",
	"filestore.Store":               "dir",
	"grant.AssertionError":          "Field File",
	"grant.IDJAG":                   "IDPIssuer",
	"grant.IDPError":                "IDP",
	"grant.JWTBearer":               "File",
	"grant.OnBehalfOf":              "Issuer MaxScopes",
	"grant.SubjectTokenError":       "Issuer",
	"grant.TokenExchange":           "Issuer SubjectTokenType ActorTokenType Audience Resource MaxScopes RequestedTokenType",
	"keyringstore.Error":            "Op Name",
	"keyringstore.Store":            "service lockDir",
	"keyringstore.UnavailableError": "Reason",
	"redisstore.Error":              "Op Key",
	"redisstore.hints":              "listeners",
	"registration.Client":           "ClientID TokenEndpointAuthMethod",
	"registration.Error":            "Code Description URI Hint URL",
	"registration.Registrar":        "AuthMethods",
	"registration.Metadata": "RedirectURIs GrantTypes ResponseTypes Contacts ClientName ClientURI LogoURI PolicyURI TOSURI Scope " +
		"TokenEndpointAuthMethod ApplicationType SoftwareID SoftwareVersion JWKSURI JWKS",
	"sealed.Error":     "Op KeyID Stored", // its Subject is a hash
	"sqlstore.hints":   "listeners",
	"weblogin.Config":  "BaseURL",
	"weblogin.Error":   "Reason Resource",
	"weblogin.Event":   "Type Resource Scopes Err",
	"weblogin.Outcome": "Title Text Again Err", // Again is on the page; it opens for its user only
	"sqlstore.Error":   "Op ID",
	"sqlstore.Store":   "dialect table sql",
}
