package auth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// echoes are the places of a refusal that are read, with what a server repeats
// there.
var echoes = map[string]string{
	"description":       `{"error":"invalid_request","error_description":"bad: %s"}`,
	"URI":               `{"error":"invalid_request","error_uri":"https://as.example.com/?%s"}`,
	"code":              `{"error":"%s"}`,
	"code with text":    `{"error":"invalid_request: %s"}`,
	"code of an object": `{"error":{"code":"%s","message":"%[1]s"}}`,
	"message":           `{"message":"%s"}`,
	"title":             `{"title":"%s","detail":{"msg":"%[1]s"}}`,
}

// A server that repeats a secret, in whatever form, does not get it into an error.
func TestCanaryEchoes(t *testing.T) {
	for disguise, f := range disguises {
		for place, body := range echoes {
			says := func(k *kit, c *canary) *http.Client {
				return k.at(k.srv.Endpoint(authtest.TokenEndpoint), func(r *http.Request) (*http.Response, error) {
					return answer(400, "application/json", fmt.Sprintf(body, c.echo(r, f))), nil
				})
			}
			canaries(t, "refresh/"+disguise+"/"+place, func(t *testing.T, k *kit, c *canary) {
				cfg := k.planted()
				cfg.HTTPClient = says(k, c)
				_, err := c.having(k, cfg, secret("refresh")).Refresh(t.Context())
				c.failed(err)
			})
			canaries(t, "code/"+disguise+"/"+place, func(t *testing.T, k *kit, c *canary) {
				cfg := k.planted()
				cfg.Grant, cfg.HTTPClient = k.login(), says(k, c)
				cfg.Server.TokenEndpointAuthMethodsSupported = []string{"client_secret_post"}
				_, err := c.having(k, cfg, "").UpgradeScopes(t.Context(), "b")
				c.failed(err)
			})
			canaries(t, "the program's grant and client authentication/"+disguise+"/"+place, func(t *testing.T, k *kit, c *canary) {
				cfg := k.planted()
				cfg.HTTPClient, cfg.Client.Auth = says(k, c), asserting{}
				cfg.Grant = grantFunc(func(ctx context.Context, f *auth.Flow) (*auth.Token, error) {
					client := &auth.Client{ID: clientID, Auth: asserting{}}
					_, err := f.Post(ctx, auth.Post{Client: client, Name: "exchange", Form: url.Values{"subject_token": {secret("subject")}}})
					c.failed(err)
					return f.Exchange(ctx, client, url.Values{"grant_type": {"own"}, "one_time_password": {secret("password")}})
				})
				_, err := c.having(k, cfg, "").UpgradeScopes(t.Context(), "b")
				c.failed(err)
			})
		}
	}
}

// having is a manager that has a token already, which the server knows.
func (c *canary) having(k *kit, cfg auth.Config, refresh string) *auth.Manager {
	c.t.Helper()
	m := c.manager(k, cfg)
	tok := plantedToken()
	tok.RefreshToken = refresh
	if err := m.SetToken(c.t.Context(), tok); err != nil {
		c.t.Fatal(err)
	}
	return m
}

// asserting is a client authentication of the program.
type asserting struct{}

func (asserting) Method() string { return "own" }

func (asserting) Authenticate(_ context.Context, r *auth.ClientAuthRequest) error {
	r.Form.Set("client_assertion", secret("assertion"))
	r.Header.Set("Proof", secret("client-proof"))
	return nil
}

// Words that are no secret are shown, beside one that is removed.
func TestWordsOfTheServer(t *testing.T) {
	canaries(t, "refused", func(t *testing.T, k *kit, c *canary) {
		cfg := k.planted()
		cfg.HTTPClient = k.at(k.srv.Endpoint(authtest.TokenEndpoint), func(r *http.Request) (*http.Response, error) {
			return answer(400, "application/json", `{"error":"invalid_request","error_description":"no `+secret("refresh")+` here: ask the operator"}`), nil
		})
		_, err := c.having(k, cfg, secret("refresh")).Refresh(t.Context())
		c.failed(err)
		if want := `the server says "no [removed] here: ask the operator"`; !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s in it", err, want)
		}
	})
}
