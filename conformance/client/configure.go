package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/clientauth"
	"github.com/mcptokens/mcptokens/auth/dpop"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// metadataDocument is the client ID metadata document that the suite knows.
const metadataDocument = "https://conformance-test.local/client-metadata.json"

// credentials are what the suite gives the operator for a scenario.
type credentials struct {
	ClientID         string `json:"client_id"`
	ClientSecret     string `json:"client_secret"`
	Issuer           string `json:"issuer"`
	PrivateKeyPEM    string `json:"private_key_pem"`
	SigningAlgorithm string `json:"signing_algorithm"`
	ValidJWT         string `json:"valid_jwt"`
	IDPClientID      string `json:"idp_client_id"`
	IDPIDToken       string `json:"idp_id_token"`
	IDPIssuer        string `json:"idp_issuer"`
	IDPTokenEndpoint string `json:"idp_token_endpoint"`
}

// configure chooses the grant and the client for a scenario.
func configure(scenario, contextJSON string) (auth.Config, error) {
	var c credentials
	if contextJSON != "" {
		if err := json.Unmarshal([]byte(contextJSON), &c); err != nil {
			return auth.Config{}, fmt.Errorf("MCP_CONFORMANCE_CONTEXT is not JSON: %w", err)
		}
	}
	cfg, err := configureFor(scenario, c)
	// The suite names the issuer in some scenarios only.
	cfg.TrustDiscovery = c.Issuer == ""
	return cfg, err
}

func configureFor(scenario string, c credentials) (auth.Config, error) {
	client := auth.Client{ID: c.ClientID, Secret: c.ClientSecret, Issuer: c.Issuer}
	switch scenario {
	case "auth/client-credentials-basic":
		return auth.Config{Client: client, Grant: grant.ClientCredentials{}}, nil
	case "auth/client-credentials-jwt":
		key, err := clientauth.LoadKey([]byte(c.PrivateKeyPEM))
		if err != nil {
			return auth.Config{}, err
		}
		client.Auth = clientauth.PrivateKeyJWT{Key: key, Algorithm: c.SigningAlgorithm}
		return auth.Config{Client: client, Grant: grant.ClientCredentials{}}, nil
	case "auth/wif-jwt-bearer":
		return auth.Config{Client: client, Grant: grant.JWTBearer{Assertion: fixed(c.ValidJWT)}}, nil
	case "auth/dpop", "auth/dpop-nonce":
		return auth.Config{DPoP: dpop.Keys{}, Grant: grant.AuthorizationCode{UserAgent: browser.Headless{}}}, nil
	case "auth/enterprise-managed-authorization":
		return auth.Config{Client: client, Grant: &grant.IDJAG{
			IDPIssuer:        c.IDPIssuer,
			IDPTokenEndpoint: c.IDPTokenEndpoint,
			IDPClient:        auth.Client{ID: c.IDPClientID},
			SubjectToken:     fixed(c.IDPIDToken),
		}}, nil
	}
	return auth.Config{
		Client:            client,
		ClientMetadataURL: metadataDocument,
		Grant:             grant.AuthorizationCode{UserAgent: browser.Headless{}}, // the suite approves without a page
	}, nil
}

func fixed(s string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return s, nil }
}
