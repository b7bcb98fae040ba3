package providertest

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// Each setting that docs/providers.md explains is needed: without it the same
// provider does not work, and the error leads to the setting or shows what the
// server said.
func TestSettingsAreNeeded(t *testing.T) {
	t.Setenv("CLIENT_SECRET", "secret")
	anyPort := func(c *auth.Config) { c.Grant = grant.AuthorizationCode{} }
	withResource := func(c *auth.Config) { c.Requests.Resource = "" }
	noClient := func(c *auth.Config) { c.Client = auth.Client{} }
	for _, test := range []struct {
		profile authtest.Profile
		without string
		change  func(*auth.Config)
		want    []string // of the first call's error
	}{
		{authtest.Cognito(), "CodeChallengeMethodsSupported", func(c *auth.Config) { c.Server.CodeChallengeMethodsSupported = nil }, []string{"CodeChallengeMethodsSupported"}},
		{authtest.Cognito(), "Port", anyPort, []string{"400"}},
		{authtest.Atlassian(), "Server", func(c *auth.Config) { c.Server = nil }, []string{"https://auth.atlassian.com", "Server"}},
		{authtest.Auth0(), "audience", func(c *auth.Config) { c.Requests.Authorization = nil }, []string{"rejected"}},
		{authtest.Auth0(), "Port", anyPort, []string{"400"}},
		{authtest.GitHubApp(), "Secret", func(c *auth.Config) { c.Client.Secret = "" }, []string{"incorrect_client_credentials"}},
		{authtest.GitHubApp(), "Client", noClient, []string{"Config.Client.ID", "does not register clients"}},
		{authtest.Google(), "Secret", func(c *auth.Config) { c.Client.Secret = "" }, []string{"invalid_client"}},
		{authtest.Keycloak(), "Client", noClient, []string{"insufficient_scope", "Trusted Hosts"}},
		{authtest.Entra(), "NoResource", withResource, []string{"AADSTS9010010", "Config.Requests.Resource"}},
		{authtest.Entra(), "CodeChallengeMethodsSupported", func(c *auth.Config) { c.Server.CodeChallengeMethodsSupported = nil }, []string{"CodeChallengeMethodsSupported"}},
		{authtest.Entra(), "prompt", func(c *auth.Config) { c.Requests.Authorization = nil }, []string{"AADSTS90094", `Config.Requests.Authorization["prompt"]`}},
		{authtest.Okta(), "Client", noClient, []string{"registration", "403"}},
		{authtest.Slack(), "Server", func(c *auth.Config) { c.Server, c.Client.Issuer = nil, "https://slack.com" }, []string{"slack.com"}},
		{authtest.Slack(), "Scopes", func(c *auth.Config) { c.Scopes = nil; c.ScopeRules.Choose = func([]string) []string { return nil } }, []string{"No scopes requested"}},
	} {
		t.Run(test.profile.Name+" without "+test.without, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := configOf[test.profile.Name]()
				test.change(&cfg)
				u := newUser(t, test.profile, cfg)
				defer u.stop()
				_, err := u.call("read")
				if err == nil {
					t.Fatal("it works without")
				}
				t.Log(err)
				for _, part := range test.want {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("the error does not say %q: %v", part, err)
					}
				}
			})
		})
	}
	for _, without := range []string{"access_type", "prompt"} {
		t.Run("Google without "+without, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := configOf["Google"]()
				delete(cfg.Requests.Authorization, without)
				u := newUser(t, authtest.Google(), cfg)
				defer u.stop()
				_, err := u.call("read")
				u.must("login", err)
				time.Sleep(2 * time.Hour)
				if cost, err := u.call("read"); err != nil || cost.logins != 1 {
					t.Errorf("after an hour: %+v, %v, want a login", cost, err)
				}
			})
		})
	}
}
