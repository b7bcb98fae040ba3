package auth_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// What the server says when it refuses by redirect reaches the person, as it does
// when it refuses at the token endpoint: cleaned, bounded, without secrets.
//
//compat:reading descriptions of errors
//compat:default shown: quoted, cleaned, without known secrets, at most 300 characters
//compat:attack TestHostileWordsAreShownSafely
func TestAuthorizationErrorSaysWhatTheServerSaid(t *testing.T) {
	const clientSecret = "client-secret-of-the-test"
	for name, tt := range map[string]struct {
		answer url.Values
		want   string
		not    string
	}{
		"words": {url.Values{"error": {"access_denied"}, "error_description": {"AADSTS65001: no consent"}, "error_uri": {"https://as.example/e?code=65001"}},
			`refused with access_denied: the server says "AADSTS65001: no consent", see "https://as.example/e?code=65001"`, ""},
		"a code alone":        {url.Values{"error": {"access_denied"}}, "refused with access_denied", "says"},
		"text for a code":     {url.Values{"error": {"No Consent!"}, "error_description": {"why"}}, `refused with unknown_error: the server says "why"`, "Consent"},
		"a terminal's codes":  {url.Values{"error": {"access_denied"}, "error_description": {"a\x1b[31m\u202eb\n"}}, `says "a\u001b[31m\u202eb"`, "\x1b"},
		"a page of it":        {url.Values{"error": {"access_denied"}, "error_description": {strings.Repeat("long ", 1000)}}, "long long", strings.Repeat("long ", 70)},
		"the client's secret": {url.Values{"error": {"access_denied"}, "error_description": {"not with " + clientSecret + "!"}}, `says "not with [removed]!"`, clientSecret},
		"in the URI":          {url.Values{"error": {"access_denied"}, "error_uri": {"https://h/" + url.QueryEscape(clientSecret)}}, "[removed]", clientSecret},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				k.srv.AddClient(clientID, clientSecret, callback)
				cfg := k.config()
				cfg.Client.Secret = clientSecret
				cfg.Grant = grant.AuthorizationCode{UserAgent: brokenAgent{answer: tt.answer}}
				_, err := k.manager(cfg).Authorize(t.Context())
				e := asError[*auth.AuthorizationError](t, err)
				text := e.Error()
				if !strings.Contains(text, tt.want) || tt.not != "" && strings.Contains(text, tt.not) {
					t.Errorf("%s\nwant %q in it, and not %q", text, tt.want, tt.not)
				}
				if e.Code == "" || len(e.Description) > 310 || len(e.URI) > 310 {
					t.Errorf("%+v", e)
				}
			})
		})
	}
}

// A response that names another issuer is discarded, and nothing else of it is
// believed, its error included. The text says what to set.
func TestForeignIssuerNamesTheSetting(t *testing.T) {
	for name, tt := range map[string]struct {
		issuer string // configured
		iss    []string
		want   string
	}{
		"no issuer configured": {"", []string{"https://as.example/t?x=secret"}, `set Config.Server.Issuer, which is empty, to the server's issuer; the response names "https://as.example/t"`},
		"another":              {"https://as.example", []string{"https://evil.example"}, `names "https://evil.example" and may be an attack`},
		"no URL":               {"https://as.example", []string{"secret"}, `names "(not a URL)"`},
		"two":                  {"https://as.example", []string{"https://as.example", "https://as.example"}, "there are 2"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				cfg := k.config()
				cfg.Server.Issuer = tt.issuer
				cfg.Grant = grant.AuthorizationCode{UserAgent: brokenAgent{answer: url.Values{
					"code": {"c"}, "error": {"access_denied"}, "error_description": {"believe me"}, "iss": tt.iss,
				}}}
				_, err := k.manager(cfg).Authorize(t.Context())
				e := asError[*auth.AuthorizationError](t, err)
				if !strings.Contains(e.Error(), tt.want) || strings.Contains(e.Error(), "believe") || strings.Contains(e.Error(), "secret") || e.Code != "" {
					t.Errorf("%v, want %q in it and nothing of the response", e, tt.want)
				}
			})
		})
	}
}

// A proxy passes the iss of the server behind it on (openai/codex#38944, Namecheap;
// higgsfield-ai/cli#68). The login is refused; with that issuer and the proxy's
// endpoints it works, and only for that iss.
//
//compat:finding the `iss` of a login's answer is of another server than the metadata (Namecheap)
//compat:default refused; the error shows it and says what to set
//compat:setting Config.Server, with endpoints
//compat:attack same
func TestIssOfTheServerBehind(t *testing.T) {
	const behind = "https://auth.behind.example"
	for name, tt := range map[string]struct {
		iss  string // of the answer
		edit func(k *kit, c *auth.Config)
		ok   bool
		says string
	}{
		"nothing set":          {iss: behind, says: `names "https://auth.behind.example"`},
		"set":                  {iss: behind, edit: endpoints(behind), ok: true},
		"set, another answers": {iss: "https://evil.example", edit: endpoints(behind), says: `names "https://evil.example"`},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{NoIssParameter: true, Rewrite: func(e authtest.Endpoint, _ *http.Request, a *authtest.Reply) {
					if to, err := url.Parse(a.Header.Get("Location")); e == authtest.AuthorizeEndpoint && err == nil && to.Query().Has("code") {
						q := to.Query()
						q.Set("iss", tt.iss)
						to.RawQuery = q.Encode()
						a.Header.Set("Location", to.String())
					}
				}}, authtest.Protection{})
				cfg := k.discovered()
				if tt.edit != nil {
					tt.edit(k, &cfg)
				}
				m := k.manager(cfg)
				tok, err := m.Authorize(t.Context())
				if err == nil {
					tok, err = m.Refresh(t.Context())
				}
				switch {
				case tt.ok && (err != nil || k.call(tok) != 200):
					t.Errorf("%v, %v", tok, err)
				case !tt.ok && (!errors.Is(err, auth.ErrIssuerParameter) || !strings.Contains(err.Error(), tt.says) || k.srv.Counts().Token != 0):
					t.Errorf("%v after %d token requests", err, k.srv.Counts().Token)
				}
			})
		})
	}
}

// endpoints is the kit's server under another name.
func endpoints(issuer string) func(k *kit, c *auth.Config) {
	return func(k *kit, c *auth.Config) {
		c.Server = &auth.Server{
			Issuer: issuer, AuthorizationEndpoint: k.srv.Endpoint(authtest.AuthorizeEndpoint),
			TokenEndpoint: k.srv.Endpoint(authtest.TokenEndpoint), RegistrationEndpoint: k.srv.Endpoint(authtest.RegistrationEndpoint),
		}
	}
}
