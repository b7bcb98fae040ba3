//go:build realservers

package realservers

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"testing"
	"time"
)

//go:embed oidcprovider.mjs
var oidcScript []byte

// OIDCConfig says what an [OIDCProvider] should be like.
type OIDCConfig struct {
	// Clients are pre-registered, each by its metadata of RFC 7591 with
	// client_id. Others may register on demand.
	Clients []map[string]any
	// TokenTTL is how long an access token lives. Default: 1 hour.
	TokenTTL time.Duration
	// RequireNonce has both servers demand a nonce in DPoP proofs.
	RequireNonce bool
}

// OIDCProvider is the authorization server oidc-provider, certified by the
// OpenID Foundation, with an MCP resource that asks it about every token. It
// rotates each refresh token that is used, and takes the reuse of one for theft.
// Its login page takes any name and password.
type OIDCProvider struct {
	// Issuer is its issuer identifier.
	Issuer string
	// Resource is the URL of the protected resource: GET it with the scope
	// mcp:read, Resource + "/write" with mcp:write as well. The answer is the
	// token's [Introspection].
	Resource string

	t      testing.TB
	client *http.Client
}

// What the resource is to the authorization server.
const (
	resourceClient = "resource-server"
	resourceSecret = "of the resource server"
	resourceScope  = "mcp:read mcp:write"
)

// StartOIDCProvider starts both servers and returns when they answer.
func StartOIDCProvider(t testing.TB, cfg OIDCConfig) *OIDCProvider {
	t.Helper()
	p := &OIDCProvider{Issuer: "http://127.0.0.1:" + FreePort(t), t: t, client: newClient(t)}
	p.startResource(cfg)
	if cfg.TokenTTL == 0 {
		cfg.TokenTTL = time.Hour
	}
	config, err := json.Marshal(map[string]any{
		"issuer": p.Issuer, "resource": p.Resource, "scope": resourceScope,
		"tokenTTL": cfg.TokenTTL / time.Second, "requireNonce": cfg.RequireNonce,
		"clients": append(cfg.Clients, map[string]any{
			"client_id": resourceClient, "client_secret": resourceSecret,
			"grant_types": []string{}, "response_types": []string{}, "redirect_uris": []string{},
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "--input-type=module", "-")
	cmd.Dir = Dir(t)
	cmd.Stdin = bytes.NewReader(oidcScript)
	cmd.Env = append(os.Environ(), "OIDC_CONFIG="+string(config))
	Start(t, cmd, p.Issuer+"/test/events")
	return p
}

// HTTPClient returns a client for the servers' users, whose connections close
// when the test ends.
func (p *OIDCProvider) HTTPClient() *http.Client { return p.client }

// Events returns how often things happened at the authorization server so far,
// by the name of oidc-provider's event, such as "grant.revoked"; those that end
// in error by their code as well, such as "grant.error invalid_grant".
func (p *OIDCProvider) Events() map[string]int {
	p.t.Helper()
	resp, err := p.client.Get(p.Issuer + "/test/events")
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	var events map[string]int
	if err := json.NewDecoder(resp.Body).Decode(&events); err != nil {
		p.t.Fatal(err)
	}
	return events
}

// Introspection is what the authorization server says about a token (RFC 7662
// section 2.2).
type Introspection struct {
	Active    bool   `json:"active"`
	Subject   string `json:"sub"`
	ClientID  string `json:"client_id"`
	Scope     string `json:"scope"`
	Audience  string `json:"aud"`
	TokenType string `json:"token_type"`
	Confirm   struct {
		JKT string `json:"jkt"` // thumbprint of the key that it is bound to
	} `json:"cnf"`
}

// Introspect asks the authorization server about a token, as the resource does.
func (p *OIDCProvider) Introspect(token string) Introspection {
	p.t.Helper()
	in, err := p.introspect(token)
	if err != nil {
		p.t.Fatal(err)
	}
	return in
}

func (p *OIDCProvider) introspect(token string) (in Introspection, err error) {
	form := url.Values{"token": {token}}
	req, err := http.NewRequest(http.MethodPost, p.Issuer+"/token/introspection", bytes.NewBufferString(form.Encode()))
	if err != nil {
		return in, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(resourceClient), url.QueryEscape(resourceSecret)) // RFC 6749 section 2.3.1
	resp, err := p.client.Do(req)
	if err != nil {
		return in, err
	}
	defer resp.Body.Close()
	return in, json.NewDecoder(resp.Body).Decode(&in)
}
