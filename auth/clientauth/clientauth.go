// Package clientauth is how a client proves itself at a token endpoint (RFC
// 6749 section 2.3). A client with a secret needs nothing from here: without
// [auth.Client].Auth the method is chosen from the server's metadata. Set it
// for a client with a key:
//
//	key, err := clientauth.LoadKey(pemBytes)
//	if err != nil { … }
//	cfg.Client = auth.Client{ID: "my-client", Auth: clientauth.PrivateKeyJWT{Key: key}}
//
// or to insist on one of the plain methods, [None], [SecretBasic] and
// [SecretPost].
package clientauth

import (
	"context"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/internal/clientsecret"
)

var (
	_ auth.ClientAuth = None{}
	_ auth.ClientAuth = SecretBasic{}
	_ auth.ClientAuth = SecretPost{}
	_ auth.ClientAuth = PrivateKeyJWT{}
)

// None is for public clients: the request names the client and proves nothing
// (RFC 6749 section 2.1). A secret is not sent even if there is one.
type None struct{}

// Method returns "none".
func (None) Method() string { return clientsecret.None }

// Authenticate adds client_id to the form.
func (m None) Authenticate(_ context.Context, r *auth.ClientAuthRequest) error {
	return apply(m.Method(), r)
}

// SecretBasic sends the client's identifier and secret by HTTP Basic
// authentication, each form-encoded first (RFC 6749 section 2.3.1).
type SecretBasic struct{}

// Method returns "client_secret_basic".
func (SecretBasic) Method() string { return clientsecret.Basic }

// Authenticate sets the Authorization header. Without a secret it returns an
// *[auth.ConfigError].
func (m SecretBasic) Authenticate(_ context.Context, r *auth.ClientAuthRequest) error {
	return apply(m.Method(), r)
}

// SecretPost sends the client's identifier and secret in the form (RFC 6749
// section 2.3.1). It is for servers that do not take [SecretBasic].
type SecretPost struct{}

// Method returns "client_secret_post".
func (SecretPost) Method() string { return clientsecret.Post }

// Authenticate adds client_id and client_secret to the form. Without a secret
// it returns an *[auth.ConfigError].
func (m SecretPost) Authenticate(_ context.Context, r *auth.ClientAuthRequest) error {
	return apply(m.Method(), r)
}

func apply(method string, r *auth.ClientAuthRequest) error {
	if r.ClientID == "" {
		return noClientID(method)
	}
	if method != clientsecret.None && r.ClientSecret == "" {
		return &auth.ConfigError{Field: "Client.Secret",
			Problem: "is empty, but " + method + " needs one; set it, or use clientauth.None for a public client"}
	}
	clientsecret.Apply(method, r.ClientID, r.ClientSecret, r.Header, r.Form)
	return nil
}

func noClientID(method string) error {
	return &auth.ConfigError{Field: "Client.ID", Problem: "is empty, but " + method + " needs it; set the identifier that the client is registered under"}
}
