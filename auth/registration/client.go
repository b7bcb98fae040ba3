package registration

import (
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Client is what dynamic registration returned (RFC 7591 section 3.2.1). It holds secrets, so
// with fmt and slog it shows the client ID and no more; encoding/json does write them, for
// those who have to store it.
type Client struct {
	ClientID string
	// ClientSecret is empty for a client that authenticates otherwise or not at all.
	ClientSecret string
	// ClientSecretExpiresAt is when ClientSecret stops to work; zero: never.
	ClientSecretExpiresAt time.Time
	// TokenEndpointAuthMethod is how the client has to authenticate: what the server says,
	// else what was asked for, else the default of RFC 7591 section 2. It is never empty.
	TokenEndpointAuthMethod string
	// RedirectURIs are those that the server has registered, which may differ from those
	// asked for.
	RedirectURIs []string
	// GrantType is the first of the grant types that were asked for; empty: it is not known.
	// A client registered for one grant is of no use for another.
	GrantType string
	// RegistrationAccessToken and RegistrationClientURI are for managing the registration
	// (RFC 7592); empty if the server does not offer it.
	RegistrationAccessToken string
	RegistrationClientURI   string
}

// String returns the client ID and how the client authenticates, without secrets.
func (c Client) String() string {
	return fmt.Sprintf("registration.Client{ClientID:%q, TokenEndpointAuthMethod:%q}", c.ClientID, c.TokenEndpointAuthMethod)
}

// Format writes String for every verb, also for those that would print the fields one by one.
func (c Client) Format(w fmt.State, _ rune) {
	_, _ = io.WriteString(w, c.String())
}

// LogValue returns what String shows, as a group.
func (c Client) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("client_id", c.ClientID),
		slog.String("token_endpoint_auth_method", c.TokenEndpointAuthMethod),
	)
}
