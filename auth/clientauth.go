package auth

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"github.com/mcptokens/mcptokens/internal/clientsecret"
)

// ClientAuth is how a client proves itself at a token endpoint (RFC 6749
// section 2.3). auth/clientauth has the implementations. One with a method
// Advice() string says what to set differently when a server refuses it; it is
// part of the error's text.
type ClientAuth interface {
	// Method is the registered name, such as "client_secret_basic" (RFC 7591
	// section 2, token_endpoint_auth_method).
	Method() string

	// Authenticate adds the client's credentials to r. It is called for every
	// request, also for each retry, so that what must be fresh is. ctx has the values
	// of the call that needs a token, as that of [Grant] has.
	Authenticate(ctx context.Context, r *ClientAuthRequest) error
}

// ClientAuthRequest is a request about to be sent to an authorization server. It
// redacts itself, as [Token] does.
type ClientAuthRequest struct {
	ClientID, ClientSecret string
	// Issuer is the authorization server's identifier; Endpoint the URL that
	// the request goes to.
	Issuer, Endpoint string
	// Subject is whom the request is for: [Config.Subject], or that of a [Pool]'s
	// source. It is not for servers.
	Subject string
	// Header and Form are the request's; Authenticate changes them.
	Header http.Header
	Form   url.Values
}

// secretAuth is the client authentication of plain clients: none or a secret.
type secretAuth string

func (a secretAuth) Method() string {
	if a == clientsecret.Plain {
		return clientsecret.Basic
	}
	return string(a)
}

func (a secretAuth) Authenticate(_ context.Context, r *ClientAuthRequest) error {
	clientsecret.Apply(string(a), r.ClientID, r.ClientSecret, r.Header, r.Form)
	return nil
}

// chooseClientAuth picks how c authenticates: what the configuration says,
// else what the registration response says, else what the server's metadata
// allows (RFC 8414 section 2: client_secret_basic when it does not say).
func chooseClientAuth(c *Client, srv *Server) ClientAuth {
	switch {
	case c.Auth != nil:
		return c.Auth
	case clientsecret.Known(c.method):
		if c.method != clientsecret.None && c.Secret == "" {
			return secretAuth(clientsecret.None) // registered for a secret, but given none
		}
		return secretAuth(c.method)
	case c.Secret == "":
		return secretAuth(clientsecret.None)
	}
	supported := srv.TokenEndpointAuthMethodsSupported
	if len(supported) > 0 && !slices.Contains(supported, clientsecret.Basic) && slices.Contains(supported, clientsecret.Post) {
		return secretAuth(clientsecret.Post)
	}
	return secretAuth(clientsecret.Basic)
}

// registrationAuthMethod is the token_endpoint_auth_method to register with:
// a client that runs on the user's machine keeps no secret, so "none" where
// the server allows it, else a secret in the form that the server takes. The
// client credentials grant is for clients that have one (RFC 6749 section 4.4).
func registrationAuthMethod(srv *Server, grantTypes []string) string {
	wanted := []string{clientsecret.None, clientsecret.Basic, clientsecret.Post}
	if slices.Contains(grantTypes, "client_credentials") {
		wanted = []string{clientsecret.Basic, clientsecret.Post, clientsecret.None}
	}
	for _, m := range wanted {
		if slices.Contains(srv.TokenEndpointAuthMethodsSupported, m) {
			return m
		}
	}
	return wanted[0] // the server does not say what it takes
}
