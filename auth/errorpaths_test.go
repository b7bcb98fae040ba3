package auth_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/transport"
)

// The texts that users see are in testdata/errors.golden, a block for each case:
// what was done, and what Error() says. Read the difference before you commit it:
// a text names the server and the step, says why, and what to change.
//
//	go test ./auth -run TestErrorPaths -update

var update = flag.Bool("update", false, "write testdata/errors.golden")

// errorCase is one way to fail.
type errorCase struct {
	name string
	// bubbled: it runs in a testing/synctest bubble, where retries cost nothing.
	bubbled bool
	do      func(t *testing.T) error
}

func TestErrorPaths(t *testing.T) {
	const golden = "testdata/errors.golden"
	var got bytes.Buffer
	for _, group := range [][]errorCase{faultCases(), redirectCases(), placeCases(), answerCases(), connectionCases(), configCases()} {
		for _, c := range group {
			text := "(no error)"
			run := func(t *testing.T) {
				if err := c.do(t); err != nil {
					text = err.Error()
				}
			}
			t.Run(c.name, func(t *testing.T) {
				if c.bubbled {
					bubble(t, run)
				} else {
					run(t)
				}
			})
			fmt.Fprintf(&got, "%s\n\t%s\n\n", c.name, strings.ReplaceAll(stable(text), "\n", "\n\t"))
		}
	}
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	have, blocks := strings.Split(got.String(), "\n\n"), strings.Split(string(want), "\n\n")
	for i := range max(len(have), len(blocks)) {
		a, b := "", ""
		if i < len(have) {
			a = have[i]
		}
		if i < len(blocks) {
			b = blocks[i]
		}
		if a != b {
			t.Errorf("got  %s\nwant %s", a, b)
		}
	}
}

// What differs from run to run.
var (
	ports  = regexp.MustCompile(`(127\.0\.0\.1|127\.65\.84\.1|localhost):[0-9]+`)
	clocks = regexp.MustCompile(`[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]+Z`)
)

func stable(text string) string {
	var hosts []string
	text = ports.ReplaceAllStringFunc(text, func(host string) string {
		for i, h := range hosts {
			if h == host {
				return fmt.Sprintf("server-%c", 'A'+i)
			}
		}
		hosts = append(hosts, host)
		return fmt.Sprintf("server-%c", 'A'+len(hosts)-1)
	})
	return clocks.ReplaceAllString(text, "<time>")
}

// faultCases are the faults of the kit at each of its endpoints.
func faultCases() (list []errorCase) {
	for _, at := range []authtest.Endpoint{
		authtest.ResourceMetadataEndpoint, authtest.MetadataEndpoint, authtest.RegistrationEndpoint, authtest.PAREndpoint,
		authtest.AuthorizeEndpoint, authtest.TokenEndpoint, authtest.RefreshRequests, authtest.DeviceEndpoint,
		authtest.RevocationEndpoint, authtest.ResourceEndpoint,
	} {
		faults := append(authtest.Faults(),
			authtest.OAuthError("invalid_client", 401), authtest.OAuthError("invalid_grant", 400), authtest.OAuthError("access_denied", 403),
			authtest.Status(401), authtest.Status(403),
			authtest.Answer(400, "application/json", `{"error":"invalid_scope","error_description":"AADSTS70011: the scope is not valid","error_uri":"https://as.example/errors/70011"}`),
			authtest.Answer(200, "application/json", `{}`),
			authtest.Answer(400, "application/json", ``),
		)
		for _, f := range faults {
			list = append(list, errorCase{string(at) + ": " + f.String(), true, func(t *testing.T) error { return failAt(t, at, f) }})
		}
	}
	return list
}

// failAt is the error of the step that asks at an endpoint which always fails.
func failAt(t *testing.T, at authtest.Endpoint, f authtest.Fault) error {
	k := newKit(t, authtest.Config{PAR: at == authtest.PAREndpoint}, authtest.Protection{})
	cfg := k.discovered()
	if at == authtest.DeviceEndpoint {
		cfg.Grant = grant.DeviceCode{Prompt: func(context.Context, grant.DevicePrompt) error { return nil }}
	}
	m := k.manager(cfg)
	late := at == authtest.RefreshRequests || at == authtest.RevocationEndpoint
	if late {
		if _, err := m.Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	k.srv.InjectAlways(at, f)
	switch at {
	case authtest.RefreshRequests:
		_, err := m.Refresh(t.Context())
		return err
	case authtest.RevocationEndpoint:
		return m.Revoke(t.Context())
	case authtest.ResourceEndpoint:
		return callThrough(m, k.srv.Transport(), k.res.URL)
	}
	_, err := m.Authorize(t.Context())
	return err
}

// callThrough is what a user of package transport gets for a request.
func callThrough(m *auth.Manager, base http.RoundTripper, to string) error {
	client := &http.Client{Transport: &transport.RoundTripper{Source: m, Base: base}}
	resp, err := client.Post(to, "application/json", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ping"}`))
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	return fmt.Errorf("(no error, the answer is HTTP %d)", resp.StatusCode)
}

// loopbackName reaches a server in memory by the name localhost.
type loopbackName struct{ base http.RoundTripper }

func (l loopbackName) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Host = strings.Replace(r.URL.Host, "localhost", "127.65.84.1", 1)
	return l.base.RoundTrip(r)
}

// redirectCases are redirects to where a request may not go.
func redirectCases() (list []errorCase) {
	for _, at := range []authtest.Endpoint{
		authtest.ResourceMetadataEndpoint, authtest.MetadataEndpoint, authtest.RegistrationEndpoint,
		authtest.TokenEndpoint, authtest.RefreshRequests, authtest.DeviceEndpoint, authtest.RevocationEndpoint,
	} {
		for _, to := range []string{"https://elsewhere.example/x", "/again"} {
			list = append(list, errorCase{string(at) + ": 307 to " + to, true, func(t *testing.T) error { return failAt(t, at, authtest.Redirect(to)) }})
		}
	}
	for _, status := range []int{301, 302, 303, 308} {
		list = append(list, errorCase{fmt.Sprintf("token endpoint: %d to a login page", status), true, func(t *testing.T) error {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			cfg := k.discovered()
			_, cfg.HTTPClient = k.wired(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path != "/token" {
					return nil, nil
				}
				resp := answer(status, "text/plain", "")
				resp.Header.Set("Location", "https://sso.example/login?token=x")
				return resp, nil
			})
			_, err := k.manager(cfg).Authorize(t.Context())
			return err
		}})
	}
	return list
}

// placeCases are servers that are not where they are looked for.
func placeCases() []errorCase {
	authorize := func(change func(*kit, *auth.Config), cfg authtest.Config, p authtest.Protection) func(*testing.T) error {
		return func(t *testing.T) error {
			k := newKit(t, cfg, p)
			c := k.discovered()
			if change != nil {
				change(k, &c)
			}
			_, err := k.manager(c).Authorize(t.Context())
			return err
		}
	}
	listing := func(servers ...string) authtest.Protection { return authtest.Protection{AuthorizationServers: servers} }
	return []errorCase{
		{"no metadata anywhere", true, authorize(nil, authtest.Config{}, authtest.Protection{NoMetadata: true})},
		{"no metadata anywhere, a configured client", true, authorize(func(_ *kit, c *auth.Config) { c.Client.ID = clientID }, authtest.Config{}, authtest.Protection{NoMetadata: true})},
		{"the server is not there", true, authorize(nil, authtest.Config{}, listing("http://127.0.0.1:1"))},
		{"neither of two servers is there", true, authorize(nil, authtest.Config{}, listing("http://127.0.0.1:1", "http://127.0.0.1:2/tenant"))},
		{"the listed server is in plain HTTP", true, authorize(nil, authtest.Config{}, listing("http://as.example"))},
		{"the listed server is no URL", true, authorize(nil, authtest.Config{}, listing("as.example"))},
		{"no registration, no client", true, authorize(nil, authtest.Config{NoRegistration: true}, authtest.Protection{})},
		{"the issuer in the configuration is another", true, authorize(func(k *kit, c *auth.Config) { c.Server = &auth.Server{Issuer: k.srv.Issuer + "/tenant"} }, authtest.Config{}, authtest.Protection{})},
		{"the client is registered elsewhere", true, authorize(func(k *kit, c *auth.Config) {
			c.Client = auth.Client{ID: clientID, Issuer: "https://other.example"}
		}, authtest.Config{}, authtest.Protection{})},
		{"the client does not exist", true, authorize(func(_ *kit, c *auth.Config) { c.Client.ID = "nobody" }, authtest.Config{}, authtest.Protection{})},
		{"Resource and the client's URL are different names", true, func(t *testing.T) error {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			return callThrough(k.manager(k.discovered()), loopbackName{k.srv.Transport()}, strings.Replace(k.res.URL, "127.65.84.1", "localhost", 1))
		}},
		{"Resource has another path", true, authorize(func(k *kit, c *auth.Config) { c.Resource = k.srv.URL + "/other" }, authtest.Config{}, authtest.Protection{})},
		{"no grant, no token", true, func(t *testing.T) error {
			k := newKit(t, authtest.Config{}, authtest.Protection{Scopes: []string{"read"}})
			cfg := k.discovered()
			cfg.Grant = nil
			return callThrough(k.manager(cfg), k.srv.Transport(), k.res.URL)
		}},
	}
}

// answerCases are answers that come through the browser.
func answerCases() (list []errorCase) {
	for _, c := range []struct {
		name   string
		answer url.Values
		change func(*auth.Server)
	}{
		{"access denied", url.Values{"error": {"access_denied"}}, nil},
		{"refused with a reason", url.Values{"error": {"access_denied"}, "error_description": {"AADSTS65001: the user or administrator has not consented"}, "error_uri": {"https://as.example/65001"}}, nil},
		{"no code", url.Values{}, nil},
		{"an error that is none", url.Values{"error": {"Not You!"}}, nil},
		{"iss of another server", url.Values{"code": {"c"}, "iss": {"https://evil.example"}}, nil},
		{"iss, and no Issuer is configured", url.Values{"code": {"c"}, "iss": {"https://as.example/tenant"}}, func(s *auth.Server) { s.Issuer = "" }},
		{"no iss, though announced", url.Values{"code": {"c"}}, func(s *auth.Server) { s.AuthorizationResponseIssParameterSupported = true }},
		{"a code that is none", url.Values{"code": {"c"}}, nil},
		{"no S256", url.Values{"code": {"c"}}, func(s *auth.Server) { s.CodeChallengeMethodsSupported = []string{"plain"} }},
		{"no authorization endpoint", url.Values{"code": {"c"}}, func(s *auth.Server) { s.AuthorizationEndpoint = "" }},
	} {
		list = append(list, errorCase{"callback: " + c.name, true, func(t *testing.T) error {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			cfg := k.config()
			cfg.Grant = grant.AuthorizationCode{UserAgent: brokenAgent{answer: c.answer}}
			if c.change != nil {
				c.change(cfg.Server)
			}
			_, err := k.manager(cfg).Authorize(t.Context())
			return err
		}})
	}
	for _, err := range []error{browser.ErrTimeout, browser.ErrNoBrowser, browser.ErrNoTerminal, context.DeadlineExceeded, errors.New("a program's own")} {
		list = append(list, errorCase{"callback: " + err.Error(), true, func(t *testing.T) error {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			cfg := k.config()
			cfg.Grant = grant.AuthorizationCode{UserAgent: brokenAgent{visit: err}}
			_, err := k.manager(cfg).Authorize(t.Context())
			return err
		}})
	}
	return list
}

// configCases are mistakes of the program's.
func configCases() (list []errorCase) {
	for _, u := range []string{
		"", "mcp.example.com/mcp", "/mcp", "http://mcp.example.com/mcp", "ftp://mcp.example.com/mcp", "https://user:secret@mcp.example.com/mcp",
		"https://mcp.example.com/mcp#part", "https://mcp.example.com:port/mcp", "https:///mcp",
	} {
		server := &auth.Server{Issuer: "https://as.example", TokenEndpoint: u}
		for _, cfg := range []auth.Config{{Resource: u}, {Resource: "https://mcp.example.com", Server: server}} {
			name := "Config.Resource"
			if cfg.Server != nil {
				name = "Config.Server.TokenEndpoint"
			}
			list = append(list, errorCase{fmt.Sprintf("%s %q", name, u), false, func(*testing.T) error {
				m, err := auth.NewManager(cfg)
				if err == nil {
					err = m.Close()
				}
				return err
			}})
		}
	}
	return list
}
