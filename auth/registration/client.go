package registration

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/mcptokens/mcptokens/internal/shown"
)

// Client is what dynamic registration returned (RFC 7591 section 3.2.1). It holds secrets, so
// with fmt, slog and encoding/json it shows the client ID and no more; to store it, encode its
// fields. fmt cannot call methods on a value in an unexported field: hold a pointer
// there.
type Client struct {
	ClientID string
	// ClientSecret is empty for a client that authenticates otherwise or not at all.
	ClientSecret string
	// ClientSecretExpiresAt is when ClientSecret stops working; zero: never.
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
	// Scopes are those that the answer says the client may ask for; nil if it does not say.
	Scopes []string
	// DeclinedScopes were asked for and are not in Scopes; nil if Scopes is.
	DeclinedScopes []string
	// RegistrationAccessToken and RegistrationClientURI are for managing the registration
	// (RFC 7592); empty if the server does not offer it.
	RegistrationAccessToken string
	RegistrationClientURI   string
}

// String returns the client ID and how the client authenticates, without secrets.
func (c Client) String() string {
	return fmt.Sprintf("registration.Client{ClientID:%q, TokenEndpointAuthMethod:%q}", shown.Text(c.ClientID), shown.Text(c.TokenEndpointAuthMethod))
}

// Format writes String for every verb, also for those that would print the fields one by one.
func (c Client) Format(w fmt.State, _ rune) {
	_, _ = io.WriteString(w, c.String())
}

// MarshalJSON encodes what String shows.
func (c Client) MarshalJSON() ([]byte, error) { return json.Marshal(c.String()) }

// LogValue returns what String shows, as a group.
func (c Client) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("client_id", shown.Text(c.ClientID)),
		slog.String("token_endpoint_auth_method", shown.Text(c.TokenEndpointAuthMethod)),
	)
}
