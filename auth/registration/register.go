package registration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/mcptokens/mcptokens/internal/httpx"
)

const authNone = "none"

// Register registers a client at an authorization server's registration endpoint (RFC 7591
// section 3.1) and returns what the server made of it. If m.ApplicationType is empty, the
// function ApplicationType decides; m.ResponseTypes has a default, too. Nothing else is filled in.
//
// hc sends the request; nil means a client with a timeout of 30 seconds. Redirects are never
// followed, whatever hc says. The request is sent once: an answer that was lost may have left
// a client behind at the server, so whether to repeat is the caller's decision.
//
// The error is an *Error if the request was made. It is a plain one, naming the field, if
// endpoint or m are not valid.
func Register(ctx context.Context, hc *http.Client, endpoint string, m Metadata) (*Client, error) {
	if _, err := httpx.CheckURL("registration_endpoint", endpoint); err != nil {
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
	payload, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("client registration: encode metadata: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(payload))
	if err != nil {
		return nil, fmt.Errorf("client registration: %w: registration_endpoint is not a URL", httpx.ErrInsecureURL)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")

	resp, err := httpx.NoRedirect(hc).Do(req)
	if err != nil {
		return nil, &Error{Err: httpx.NewTransportError(err)}
	}
	defer resp.Body.Close()
	body, err := httpx.ReadBody(resp.Body)
	// RFC 7591 section 3.2.1 says 201. Servers that say 200 are common.
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
		return nil, refusal(resp, body)
	}
	if err != nil {
		return nil, &Error{Status: resp.StatusCode, Err: err}
	}
	client, err := parseClient(body, m)
	if err != nil {
		return nil, &Error{Status: resp.StatusCode, Err: err}
	}
	return client, nil
}

// refusal makes an error of an answer that is not a success. A body that cannot be read counts
// as one without a code.
func refusal(resp *http.Response, body []byte) *Error {
	e := &Error{Status: resp.StatusCode, RetryAfter: httpx.RetryAfter(resp.Header, time.Now())}
	var doc struct {
		Error string `json:"error"`
	}
	if httpx.DecodeObject(body, &doc) == nil {
		e.Code = httpx.ErrorCode(doc.Error)
	}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		e.Err = httpx.ErrRedirect
	}
	e.Hint = hint(e.Code, e.Status)
	return e
}

// parseClient reads a successful answer to a request for m.
func parseClient(body []byte, m Metadata) (*Client, error) {
	var doc struct {
		ClientID                string      `json:"client_id"`
		ClientSecret            string      `json:"client_secret"`
		ClientSecretExpiresAt   json.Number `json:"client_secret_expires_at"` // takes "0" as well as 0
		TokenEndpointAuthMethod string      `json:"token_endpoint_auth_method"`
		RedirectURIs            []string    `json:"redirect_uris"`
		RegistrationAccessToken string      `json:"registration_access_token"`
		RegistrationClientURI   string      `json:"registration_client_uri"`
	}
	if err := httpx.DecodeObject(body, &doc); err != nil {
		return nil, err
	}
	if doc.ClientID == "" {
		return nil, fmt.Errorf("%w: client_id is missing", httpx.ErrMalformed)
	}
	expires, err := secretExpiry(doc.ClientSecretExpiresAt)
	if err != nil {
		return nil, err
	}
	c := &Client{
		ClientID:                doc.ClientID,
		ClientSecret:            doc.ClientSecret,
		ClientSecretExpiresAt:   expires,
		TokenEndpointAuthMethod: authMethod(doc.TokenEndpointAuthMethod, m.TokenEndpointAuthMethod, doc.ClientSecret),
		RedirectURIs:            doc.RedirectURIs,
		RegistrationAccessToken: doc.RegistrationAccessToken,
		RegistrationClientURI:   doc.RegistrationClientURI,
	}
	if len(m.GrantTypes) > 0 {
		c.GrantType = m.GrantTypes[0]
	}
	if len(c.RedirectURIs) == 0 {
		c.RedirectURIs = slices.Clone(m.RedirectURIs)
	}
	if strings.HasPrefix(c.TokenEndpointAuthMethod, "client_secret_") && c.ClientSecret == "" {
		return nil, fmt.Errorf("%w: client_secret is missing though the client is to authenticate with one", httpx.ErrMalformed)
	}
	return c, nil
}

// authMethod returns how the client authenticates. Servers should say (RFC 7591 section 3.2.1);
// for those that do not, what was asked for holds unless the secret, or its absence, shows
// that the server decided otherwise.
func authMethod(registered, requested, secret string) string {
	switch {
	case registered != "":
		return registered
	case secret != "" && (requested == "" || requested == authNone):
		return "client_secret_basic"
	case requested != "":
		return requested
	default:
		return authNone
	}
}

// secretExpiry converts client_secret_expires_at, in seconds since 1970, 0 for never. That it
// may be missing is lenient: RFC 7591 requires it with a secret.
func secretExpiry(n json.Number) (time.Time, error) {
	if n == "" {
		return time.Time{}, nil
	}
	seconds, err := n.Float64()
	// The upper bound is the end of the year 9999, the last that encoding/json can store.
	if err != nil || math.IsNaN(seconds) || seconds < 0 || seconds > 253402300799 {
		return time.Time{}, fmt.Errorf("%w: client_secret_expires_at is not a time in seconds since 1970", httpx.ErrMalformed)
	}
	if seconds == 0 {
		return time.Time{}, nil
	}
	return time.Unix(int64(seconds), 0), nil
}
