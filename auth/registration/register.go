package registration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/auth/internal/wire"
	"github.com/mcptokens/mcptokens/internal/clientsecret"
	"github.com/mcptokens/mcptokens/internal/errtext"
	"github.com/mcptokens/mcptokens/internal/httpx"
	"github.com/mcptokens/mcptokens/internal/shown"
)

const authNone = clientsecret.None

// maxClientID is how many bytes a client_id may have: it stands in URLs, stores and logs.
const maxClientID = 4 << 10

// Register registers a client at an authorization server's registration endpoint (RFC 7591
// section 3.1) and returns what the server made of it. If m.ApplicationType is empty, the
// function ApplicationType decides; m.ResponseTypes has a default, too. Nothing else is filled in.
//
// hc sends the request; nil means a client with a timeout of 30 seconds. A redirect with 307 or
// 308 is followed once, and within the origin only, whatever hc says. Otherwise the request is sent once: an answer that was lost may have left
// a client behind at the server, so whether to repeat is the caller's decision.
//
// The error is an *Error if the request was made. It is a plain one, naming the field, if
// endpoint or m are not valid.
func Register(ctx context.Context, hc *http.Client, endpoint string, m Metadata) (*Client, error) {
	return Registrar{HTTPClient: hc}.Register(ctx, endpoint, m)
}

// Registrar registers clients. The zero value is ready to use.
type Registrar struct {
	// HTTPClient sends the requests; nil means a client with a timeout of 30 seconds.
	HTTPClient *http.Client
	// Network says which endpoints may be in plain HTTP. Default: nil, those on this machine.
	Network discovery.Network
	// AuthMethods are the client authentication methods that the server's metadata lists
	// (token_endpoint_auth_methods_supported). They decide for a client that is given a secret
	// and is not told how to use it. Default: nil, client_secret_basic (RFC 7591 section 2).
	AuthMethods []string
	// Reduce sends a registration that the server refused once more, without what it refused:
	// the grant types after the first, the application type, the scope, or the authentication
	// method "none". A refusal that names none of them is taken to mean all of them. Default:
	// false, the request is sent once.
	Reduce bool
}

// Register is the function of that name.
func (r Registrar) Register(ctx context.Context, endpoint string, m Metadata) (c *Client, err error) {
	defer func() { at(endpoint, err) }()
	if _, err := httpx.CheckURLIn(r.Network, "registration_endpoint", endpoint); err != nil {
		return nil, fmt.Errorf("client registration: %w", err)
	}
	if problems := m.validate(); len(problems) > 0 {
		return nil, fmt.Errorf("client registration: %w", errors.Join(problems...))
	}
	if m.ApplicationType == "" {
		m.ApplicationType = ApplicationType(m.RedirectURIs)
	}
	if m.ResponseTypes == nil && len(m.GrantTypes) > 0 && !slices.Contains(m.GrantTypes, "authorization_code") {
		// Left out it means "code", which asks for redirect URIs and contradicts the grant types
		// (RFC 7591 sections 2 and 2.1).
		m.ResponseTypes = []string{}
	}
	c, err = r.send(ctx, endpoint, m)
	var refusal *Error
	if r.Reduce && errors.As(err, &refusal) {
		if less, ok := r.less(m, refusal); ok {
			c, err = r.send(ctx, endpoint, less)
		}
	}
	if err != nil {
		return nil, err
	}
	if c.Scopes != nil {
		for _, asked := range strings.Fields(m.Scope) {
			if !slices.Contains(c.Scopes, asked) {
				c.DeclinedScopes = append(c.DeclinedScopes, asked)
			}
		}
	}
	return c, nil
}

// send sends one registration request.
func (r Registrar) send(ctx context.Context, endpoint string, m Metadata) (*Client, error) {
	payload, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("client registration: encode metadata: %w", err)
	}
	resp, err := r.post(ctx, endpoint, payload)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := httpx.ReadBody(resp.Body)
	// RFC 7591 section 3.2.1 says 201. Servers that say 200 are common.
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
		return nil, refusal(resp, body)
	}
	if err != nil {
		return nil, &Error{StatusCode: resp.StatusCode, Err: err}
	}
	return parseClient(resp.StatusCode, body, m, r.AuthMethods, time.Now())
}

// refusal makes an error of an answer that is not a success. A body that cannot be read counts
// as one without a code.
func refusal(resp *http.Response, body []byte) *Error {
	e := refused(resp.StatusCode, wire.ReadRefusal(body))
	e.RetryAfter = httpx.RetryAfter(resp.Header, time.Now())
	return e
}

func refused(status int, r wire.Refusal) *Error {
	return &Error{Code: r.Code, Description: r.Description, URI: r.URI, StatusCode: status, Hint: hint(r.Code, status)}
}

// The members of an answer that decide who the client is and how it proves that.
var clientMembers = []string{
	"client_id", "client_secret", "client_secret_expires_at", "token_endpoint_auth_method", "redirect_uris",
	"registration_access_token", "registration_client_uri",
}

// parseClient reads a successful answer to a request for m, which arrived at now, of a server
// that lists these authentication methods; see package wire for what is read how. The error is
// an *Error.
func parseClient(status int, body []byte, m Metadata, listed []string, now time.Time) (*Client, error) {
	malformed := func(problem string) error {
		return &Error{StatusCode: status, Err: errtext.Errorf(httpx.ErrMalformed, "%s", problem)}
	}
	o, err := wire.ReadObject(body, clientMembers...)
	if err != nil {
		return nil, malformed(err.Error())
	}
	c := new(Client)
	var method string
	for _, member := range []struct {
		name string
		to   *string
	}{{"client_id", &c.ClientID}, {"client_secret", &c.ClientSecret}, {"token_endpoint_auth_method", &method}} {
		if *member.to, err = o.String(member.name); err != nil {
			return nil, malformed(err.Error())
		}
	}
	if c.ClientID == "" {
		if r := wire.ReadRefusal(body); r.Code != "" {
			return nil, refused(status, r) // a refusal with a status of success
		}
		return nil, malformed("client_id is missing")
	}
	if len(c.ClientID) > maxClientID || !shown.Visible(c.ClientID) {
		return nil, malformed("client_id has more than 4 KiB, or characters that cannot be seen")
	}
	// What cannot be read of the rest is absent: a time, never; redirect URIs, those asked for.
	c.ClientSecretExpiresAt, _ = o.Time("client_secret_expires_at", now)
	c.TokenEndpointAuthMethod = authMethod(method, m.TokenEndpointAuthMethod, c.ClientSecret, listed)
	c.RedirectURIs, _ = o.List("redirect_uris")
	c.RegistrationAccessToken, _ = o.String("registration_access_token")
	c.RegistrationClientURI, _ = o.String("registration_client_uri")
	if c.Scopes, _ = o.Words("scope"); len(c.Scopes) == 0 {
		c.Scopes = nil // a server that writes "" means no limit
	}
	if len(m.GrantTypes) > 0 {
		c.GrantType = m.GrantTypes[0]
	}
	if len(c.RedirectURIs) == 0 {
		c.RedirectURIs = slices.Clone(m.RedirectURIs)
	}
	if strings.HasPrefix(c.TokenEndpointAuthMethod, "client_secret_") && c.ClientSecret == "" {
		return nil, malformed("client_secret is missing though the client is to authenticate with one")
	}
	return c, nil
}

// authMethod returns how the client authenticates. Servers should say (RFC 7591 section 3.2.1);
// for those that do not, what was asked for holds unless the secret, or its absence, shows
// that the server decided otherwise. Then what its metadata lists decides.
func authMethod(registered, requested, secret string, listed []string) string {
	switch {
	case registered != "":
		return registered
	case secret != "" && requested != clientsecret.Basic && !slices.Contains(listed, clientsecret.Basic) && slices.Contains(listed, clientsecret.Post):
		return clientsecret.Post
	case secret != "" && (requested == "" || requested == authNone):
		return clientsecret.Basic
	case requested != "":
		return requested
	default:
		return authNone
	}
}
