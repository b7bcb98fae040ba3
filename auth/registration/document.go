package registration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mcptokens/mcptokens/internal/httpx"
)

// maxDocument is how many bytes of a document authorization servers should read
// (draft-ietf-oauth-client-id-metadata-document-00 section 6.6).
const maxDocument = 5 << 10

// document is a Client ID Metadata Document. The secret members are there to be found, never
// to be written.
type document struct {
	ClientID string `json:"client_id"`
	Metadata
	ClientSecret          json.RawMessage `json:"client_secret,omitempty"`
	ClientSecretExpiresAt json.RawMessage `json:"client_secret_expires_at,omitempty"`
}

// NewDocument returns the Client ID Metadata Document that describes m, to be served as
// application/json at clientIDURL, which makes that a client ID. The same input gives the
// same bytes.
//
// m needs ClientName and RedirectURIs. What is empty and has a default is written out: grant
// types authorization_code and refresh_token, response type code, token endpoint
// authentication none, and the application type by the function ApplicationType. The error
// joins all problems, as that of ValidateDocument does.
func NewDocument(clientIDURL string, m Metadata) ([]byte, error) {
	if len(m.GrantTypes) == 0 {
		m.GrantTypes = []string{"authorization_code", "refresh_token"}
	}
	if len(m.ResponseTypes) == 0 {
		m.ResponseTypes = []string{"code"}
	}
	if m.TokenEndpointAuthMethod == "" {
		m.TokenEndpointAuthMethod = authNone
	}
	if m.ApplicationType == "" {
		m.ApplicationType = ApplicationType(m.RedirectURIs)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false) // keep the & of URLs readable
	enc.SetIndent("", "  ")
	if err := enc.Encode(document{ClientID: clientIDURL, Metadata: m}); err != nil {
		// Only the raw member can fail, and the encoder's error would quote it.
		return nil, errors.New("client ID metadata document: jwks is not JSON: use a JWK set (RFC 7517 section 5)")
	}
	if err := ValidateDocument(clientIDURL, out.Bytes()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// ValidateDocument checks a Client ID Metadata Document as an authorization server would that
// found it at clientIDURL (draft-ietf-oauth-client-id-metadata-document-00 sections 3 and 4,
// MCP 2026-07-28, "Client ID Metadata Documents"). It returns all problems joined, each naming
// its field, or nil.
func ValidateDocument(clientIDURL string, doc []byte) error {
	var problems []error
	if err := ValidateClientIDURL(clientIDURL); err != nil {
		problems = append(problems, err)
	}
	var d document
	if err := httpx.DecodeObject(doc, &d); err != nil {
		problems = append(problems, err)
	} else {
		problems = append(problems, d.problems(clientIDURL)...)
	}
	if len(doc) > maxDocument {
		problems = append(problems, fmt.Errorf("the document has %d bytes: keep it to %d, servers may read no more; a long jwks can become a jwks_uri", len(doc), maxDocument))
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("client ID metadata document: %w", errors.Join(problems...))
}

func (d *document) problems(clientIDURL string) []error {
	var problems []error
	if d.ClientID != clientIDURL {
		problems = append(problems, errors.New("client_id is not the URL of the document: make them the same string"))
	}
	if d.ClientName == "" {
		problems = append(problems, errors.New("client_name is missing: set the name that people are to see"))
	}
	if len(d.RedirectURIs) == 0 {
		problems = append(problems, errors.New("redirect_uris is missing: list at least one"))
	}
	// Section 4.1: everybody can read the document, so there is no secret to share.
	if d.ClientSecret != nil {
		problems = append(problems, errors.New("client_secret must not be in the document: remove it, and replace the secret, as it is public now"))
	}
	if d.ClientSecretExpiresAt != nil {
		problems = append(problems, errors.New("client_secret_expires_at must not be in the document: remove it"))
	}
	switch method := d.TokenEndpointAuthMethod; {
	case strings.HasPrefix(method, "client_secret_"):
		problems = append(problems, errors.New(`token_endpoint_auth_method needs a shared secret: use "none" or "private_key_jwt"`))
	case method == "private_key_jwt" && d.JWKSURI == "" && len(d.JWKS) == 0:
		problems = append(problems, errors.New("jwks_uri and jwks are missing: private_key_jwt needs the public key in one of them"))
	}
	return slices.Concat(problems, d.Metadata.validate())
}

// ValidateClientIDURL checks that raw can be the client ID of a Client ID Metadata Document:
// an https URL with a path that is more than "/" and has no "." or ".." segment, without
// fragment and user information (draft-ietf-oauth-client-id-metadata-document-00 section 3).
func ValidateClientIDURL(raw string) error {
	const field = "the client ID URL"
	u, err := httpx.CheckURL(field, raw)
	switch {
	case err != nil:
		return err
	case u.Scheme != "https":
		return fmt.Errorf("%w: %s is not https: authorization servers fetch it over https only", httpx.ErrInsecureURL, field)
	case u.Path == "" || u.Path == "/":
		return fmt.Errorf("%w: %s has no path: add one, as in https://app.example.com/client.json", httpx.ErrInsecureURL, field)
	case httpx.HasDotSegment(u.Path):
		return fmt.Errorf(`%w: %s has "." or ".." as a path segment: write the path without`, httpx.ErrInsecureURL, field)
	}
	return nil
}
