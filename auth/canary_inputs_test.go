package auth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// at answers requests to one endpoint in the server's place.
func (k *kit) at(e string, f func(r *http.Request) (*http.Response, error)) *http.Client {
	_, client := k.wired(func(r *http.Request) (*http.Response, error) {
		if u, err := url.Parse(e); err != nil || r.URL.Path != u.Path || r.URL.Host != u.Host {
			return nil, err
		}
		return f(r)
	})
	return client
}

// canaries runs a scenario in a bubble, with a kit.
func canaries(t *testing.T, name string, run func(t *testing.T, k *kit, c *canary)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			run(t, newKit(t, authtest.Config{}, authtest.Protection{}), newCanary(t))
		})
	})
}

// programs is canaries for a scenario whose errors have to show [ownWords], unless
// it is about an error of net/http's.
func programs(t *testing.T, name string, run func(t *testing.T, k *kit, c *canary)) {
	t.Helper()
	canaries(t, name, func(t *testing.T, k *kit, c *canary) {
		run(t, k, c)
		c.mu.Lock()
		defer c.mu.Unlock()
		if shown := slices.ContainsFunc(c.said, func(line string) bool {
			return strings.HasPrefix(line, "error: ") && strings.Contains(line, ownWords)
		}); !shown && !strings.HasSuffix(name, "/URL") {
			t.Errorf("no error says %q", ownWords)
		}
	})
}

// planted is a configuration whose own secrets are canaries.
func (k *kit) planted() auth.Config {
	k.srv.AddClient(clientID, secret("client"), callback)
	cfg := k.config()
	cfg.Client.Secret = secret("client")
	cfg.Resource += "?key=" + secret("resource-query")
	cfg.NoIdleRefresh = true
	return cfg
}

// planted tokens are known to nobody.
func plantedToken() *auth.Token {
	return &auth.Token{AccessToken: secret("access"), RefreshToken: secret("refresh"), Expiry: time.Now().Add(time.Hour), Scopes: []string{"a"}}
}

// Everything that goes well, with secrets in every token.
func TestCanarySuccess(t *testing.T) {
	canaries(t, "life of a token", func(t *testing.T, k *kit, c *canary) {
		issued := 0
		cfg := k.planted()
		cfg.Grant = k.login()
		cfg.HTTPClient = k.at(k.srv.Endpoint(authtest.TokenEndpoint), func(r *http.Request) (*http.Response, error) {
			body, _ := io.ReadAll(r.Body)
			if form := string(body); !strings.Contains(form, canaryMark) && !strings.Contains(form, "code=") {
				t.Errorf("the form holds no secret of ours: nothing is tested")
			}
			issued++
			return answer(200, "application/json", fmt.Sprintf(`{"access_token":"%s%d","refresh_token":"%s%d","id_token":"%s","token_type":"bearer","expires_in":3600,"scope":"a"}`,
				secret("issued"), issued, secret("issued-refresh"), issued, secret("id"))), nil
		})
		m := c.manager(k, cfg)
		if err := m.SetToken(t.Context(), plantedToken()); err != nil {
			t.Fatal(err)
		}
		tok := c.worked(m.Refresh(t.Context()))
		tok = c.worked(m.Resolve(t.Context(), tok, k.unauthorized()))
		c.worked(m.Resolve(t.Context(), tok, insufficient("b")))
		time.Sleep(2 * time.Hour)
		c.worked(m.Token(t.Context()))
		if err := m.Revoke(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.worked(m.Authorize(t.Context()))
		if issued < 5 || c.count["tracer"] == 0 || c.count["log"] == 0 {
			t.Errorf("%d tokens issued, %v said", issued, c.count)
		}
	})
}

// What the authorization server says at each of its endpoints. At the token
// endpoint, whose words are shown, it repeats what it was sent.
func TestCanaryAnswers(t *testing.T) {
	for name, say := range canaryAnswers(secret("body")) {
		respond := func(*http.Request) (*http.Response, error) { return say(), nil }
		repeat := func(c *canary) func(r *http.Request) (*http.Response, error) {
			return func(r *http.Request) (*http.Response, error) {
				return canaryAnswers(c.echo(r, plainly))[name](), nil
			}
		}
		canaries(t, "token/"+name, func(t *testing.T, k *kit, c *canary) {
			cfg := k.planted()
			cfg.HTTPClient = k.at(k.srv.Endpoint(authtest.TokenEndpoint), repeat(c))
			m := c.having(k, cfg, secret("refresh"))
			tok := mustToken(t, m)
			_, err := m.Refresh(t.Context())
			c.failed(err)
			_, err = m.Resolve(t.Context(), tok, k.unauthorized())
			c.failed(err)
			_, err = m.UpgradeScopes(t.Context(), "b")
			c.failed(err)
		})
		canaries(t, "code/"+name, func(t *testing.T, k *kit, c *canary) {
			cfg := k.planted()
			cfg.Grant = k.login()
			cfg.HTTPClient = k.at(k.srv.Endpoint(authtest.TokenEndpoint), repeat(c))
			_, err := c.having(k, cfg, "").UpgradeScopes(t.Context(), "b")
			c.failed(err)
		})
		if say().StatusCode == 200 && !strings.Contains(name, "refusal") { // what a refusal says is shown: the endpoint was sent no secret
			canaries(t, "registration/"+name, func(t *testing.T, k *kit, c *canary) {
				cfg := k.planted()
				cfg.Client, cfg.Grant = auth.Client{}, k.login()
				cfg.HTTPClient = k.at(k.srv.Endpoint(authtest.RegistrationEndpoint), respond)
				_, err := c.manager(k, cfg).Authorize(t.Context())
				c.failed(err)
			})
		}
		canaries(t, "revocation/"+name, func(t *testing.T, k *kit, c *canary) {
			cfg := k.planted()
			cfg.HTTPClient = k.at(k.srv.Endpoint(authtest.RevocationEndpoint), repeat(c))
			m := c.manager(k, cfg)
			if err := m.SetToken(t.Context(), plantedToken()); err != nil {
				t.Fatal(err)
			}
			if err := m.Revoke(t.Context()); say().StatusCode != 200 {
				c.failed(err)
			}
		})
		canaries(t, "metadata/"+name, func(t *testing.T, k *kit, c *canary) {
			cfg := k.planted()
			cfg.Server = &auth.Server{Issuer: k.srv.Issuer}
			cfg.Grant = k.login()
			cfg.HTTPClient = k.at(k.srv.Endpoint(authtest.MetadataEndpoint), respond)
			_, err := c.manager(k, cfg).Authorize(t.Context())
			if say().StatusCode == 200 && err == nil || strings.Contains(name, "refused") { // another location has it
				return
			}
			c.value("error", err)
		})
		canaries(t, "resource metadata/"+name, func(t *testing.T, k *kit, c *canary) {
			cfg := k.planted()
			cfg.Server, cfg.Grant = nil, k.login()
			cfg.HTTPClient = k.at(k.res.MetadataURL, respond)
			challenge := k.unauthorized()
			challenge.ResourceMetadata += "?key=" + secret("metadata-query")
			_, err := c.manager(k, cfg).Resolve(t.Context(), nil, challenge)
			c.value("error", err)
		})
		canaries(t, "authorization/"+name, func(t *testing.T, k *kit, c *canary) {
			cfg := k.planted()
			p := k.asked(0)
			p.UserAgent = browser.Headless{Client: k.at(k.srv.Endpoint(authtest.AuthorizeEndpoint), respond), RedirectURI: callback}
			cfg.Grant = grant.AuthorizationCode{UserAgent: p}
			_, err := c.manager(k, cfg).Authorize(t.Context())
			c.failed(err)
		})
	}
}

// What net/http and the network say, which may be in the words of a server, a proxy
// or a transport of the program's.
func TestCanaryErrors(t *testing.T) {
	for name, boom := range canaryErrors() {
		fail := func(*http.Request) (*http.Response, error) { return nil, boom }
		for _, e := range []authtest.Endpoint{authtest.TokenEndpoint, authtest.RevocationEndpoint} {
			canaries(t, "HTTPClient/"+string(e)+"/"+name, func(t *testing.T, k *kit, c *canary) {
				cfg := k.planted()
				cfg.HTTPClient = k.at(k.srv.Endpoint(e), fail)
				m := c.manager(k, cfg)
				if err := m.SetToken(t.Context(), plantedToken()); err != nil {
					t.Fatal(err)
				}
				if e == authtest.TokenEndpoint {
					_, err := m.Refresh(t.Context())
					c.failed(err)
				} else {
					c.failed(m.Revoke(t.Context()))
				}
			})
		}
		for _, e := range []authtest.Endpoint{authtest.MetadataEndpoint, authtest.RegistrationEndpoint} {
			canaries(t, "HTTPClient/"+string(e)+"/"+name, func(t *testing.T, k *kit, c *canary) {
				cfg := k.discovered()
				cfg.HTTPClient = k.at(k.srv.Endpoint(e), fail)
				_, err := c.manager(k, cfg).Authorize(t.Context())
				c.value("error", err)
			})
		}
	}
}

// What the parts that a program brings itself fail with is in the errors, so that
// it can be fixed; except for what net/http put around it, a URL with a key in it.
func TestErrorsOfTheProgram(t *testing.T) {
	for name, boom := range programErrors() {
		programs(t, "Store/"+name, func(t *testing.T, k *kit, c *canary) {
			cfg := k.planted()
			s := new(store)
			cfg.Store = s
			m := c.manager(k, cfg)
			s.fail(boom, boom, boom)
			_, err := m.Token(t.Context())
			c.failed(err)
			c.failed(m.SetToken(t.Context(), plantedToken()))
			s.fail(nil, boom, nil)
			c.failed(m.SetToken(t.Context(), plantedToken()))
			s.fail(boom, boom, boom)
			_, err = m.Refresh(t.Context())
			c.failed(err)
			c.failed(m.Revoke(t.Context()))
			s.fail(nil, nil, nil)
		})
		programs(t, "Grant/"+name, func(t *testing.T, k *kit, c *canary) {
			cfg := k.planted()
			cfg.Grant = grantFunc(func(context.Context, *auth.Flow) (*auth.Token, error) { return nil, boom })
			m := c.manager(k, cfg)
			_, err := m.Authorize(t.Context())
			c.failed(err)
			if !errors.Is(err, boom) {
				t.Errorf("%v cannot be told from others", err)
			}
			_, err = m.Resolve(t.Context(), nil, k.unauthorized())
			c.failed(err)
		})
		programs(t, "service Grant/"+name, func(t *testing.T, k *kit, c *canary) {
			cfg := k.planted()
			cfg.Grant = service{func(context.Context, *auth.Flow) (*auth.Token, error) { return nil, boom }}
			m := c.manager(k, cfg)
			tok := plantedToken()
			tok.RefreshToken = ""
			if err := m.SetToken(t.Context(), tok); err != nil {
				t.Fatal(err)
			}
			_, err := m.Refresh(t.Context())
			c.failed(err)
			_, err = m.UpgradeScopes(t.Context(), "b")
			c.failed(err)
		})
		programs(t, "ClientAuth/"+name, func(t *testing.T, k *kit, c *canary) {
			cfg := k.planted()
			cfg.Client.Auth = &proving{err: boom}
			m := c.manager(k, cfg)
			if err := m.SetToken(t.Context(), plantedToken()); err != nil {
				t.Fatal(err)
			}
			_, err := m.Refresh(t.Context())
			c.failed(err)
			c.failed(m.Revoke(t.Context()))
		})
		programs(t, "DPoP/"+name, func(t *testing.T, k *kit, c *canary) {
			for _, keys := range []brokenKeys{{make: boom}, {marshal: boom}, {prove: boom}} {
				cfg := k.planted()
				cfg.DPoP, cfg.Grant = keys, k.login()
				_, err := c.manager(k, cfg).Authorize(t.Context())
				c.failed(err)
			}
		})
		programs(t, "UserAgent/"+name, func(t *testing.T, k *kit, c *canary) {
			for _, agent := range []brokenAgent{{start: boom}, {visit: boom}} {
				cfg := k.planted()
				cfg.Grant = grant.AuthorizationCode{UserAgent: agent}
				_, err := c.manager(k, cfg).Authorize(t.Context())
				c.failed(err)
			}
		})
	}
}

// What comes back through the browser, and what a challenge says.
func TestCanaryRedirectsAndChallenges(t *testing.T) {
	s := secret("redirect")
	for _, q := range []url.Values{
		{"error": {s}},
		{"error": {"access_denied"}, "error_description": {"no " + secret("client")}, "error_uri": {"https://h/" + secret("client")}},
		{"code": {s}, "iss": {s}},
		{"code": {s}},
		{"x": {s}},
	} {
		canaries(t, q.Encode(), func(t *testing.T, k *kit, c *canary) {
			cfg := k.planted()
			cfg.Server.AuthorizationEndpoint += "?key=" + secret("endpoint-query")
			cfg.Grant = grant.AuthorizationCode{UserAgent: brokenAgent{answer: q}}
			_, err := c.manager(k, cfg).Authorize(t.Context())
			c.failed(err)
		})
	}
	for _, challenge := range []auth.Challenge{
		{Status: 401, Scheme: s, Error: s, Params: map[string]string{"error": s, "error_description": s, "realm": s}},
		{Status: 401, ResourceMetadata: "http://h.example.com/" + s},
		{Status: 401, ResourceMetadata: "https://" + s + "@h.example.com/?" + s},
		{Status: 401, ResourceMetadata: "::" + s},
		{Status: 403, Error: "insufficient_scope", Params: map[string]string{"error_description": s}},
	} {
		canaries(t, fmt.Sprint(challenge.Status, " ", challenge.ResourceMetadata), func(t *testing.T, k *kit, c *canary) {
			cfg := k.discovered()
			cfg.Client = auth.Client{ID: "nobody"}
			m := c.manager(k, cfg)
			if err := m.SetToken(t.Context(), &auth.Token{AccessToken: secret("access")}); err != nil {
				t.Fatal(err)
			}
			_, err := m.Resolve(t.Context(), mustToken(t, m), challenge)
			c.failed(err)
		})
	}
}

// Keys in the queries of configured URLs.
func TestCanaryURLs(t *testing.T) {
	canaries(t, "endpoints", func(t *testing.T, k *kit, c *canary) {
		cfg := k.planted()
		cfg.Server.Issuer = ""
		for _, u := range []*string{&cfg.Server.TokenEndpoint, &cfg.Server.AuthorizationEndpoint, &cfg.Server.RevocationEndpoint} {
			*u += "?key=" + secret("endpoint-query")
		}
		cfg.Grant = k.login()
		k.srv.InjectAlways(authtest.TokenEndpoint, authtest.Status(400))
		k.srv.InjectAlways(authtest.RevocationEndpoint, authtest.Status(400))
		m := c.manager(k, cfg)
		if err := m.SetToken(t.Context(), plantedToken()); err != nil {
			t.Fatal(err)
		}
		_, err := m.Refresh(t.Context())
		c.failed(err)
		_, err = m.UpgradeScopes(t.Context(), "b")
		c.failed(err)
		c.failed(m.Revoke(t.Context()))
	})
	canaries(t, "resource", func(t *testing.T, k *kit, c *canary) {
		cfg := k.planted()
		cfg.Client, cfg.Server = auth.Client{}, nil
		m := c.manager(k, cfg)
		tok := plantedToken()
		tok.RefreshToken = ""
		if err := m.SetToken(t.Context(), tok); err != nil {
			t.Fatal(err)
		}
		_, err := m.Resolve(t.Context(), mustToken(t, m), insufficient())
		c.failed(err)
		_, err = m.Resolve(t.Context(), mustToken(t, m), insufficient("b"))
		c.failed(err)
		_, err = m.Resolve(t.Context(), mustToken(t, m), k.unauthorized())
		c.failed(err)
		_, err = m.Authorize(t.Context())
		c.failed(err)
	})
}
