package auth_test

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/discovery"
)

// wire is a network that a test listens to and meddles with.
type wire struct {
	base http.RoundTripper
	// meddle answers a request in the server's place, if it returns something.
	meddle func(r *http.Request) (*http.Response, error)

	mu   sync.Mutex
	sent []string // method and URL of the requests
}

// wired is a wire on k's network, and the client to configure.
func (k *kit) wired(meddle func(r *http.Request) (*http.Response, error)) (*wire, *http.Client) {
	w := &wire{base: k.srv.Transport(), meddle: meddle}
	return w, &http.Client{Transport: w}
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.sent = append(w.sent, r.Method+" "+r.URL.String())
	w.mu.Unlock()
	if w.meddle != nil {
		if resp, err := w.meddle(r); resp != nil || err != nil {
			if r.Body != nil {
				_, _ = io.Copy(io.Discard, r.Body)
				_ = r.Body.Close()
			}
			if resp != nil {
				resp.Request = r
			}
			return resp, err
		}
	}
	return w.base.RoundTrip(r)
}

// heard returns the requests so far, those whose URL contains part.
func (w *wire) heard(part string) (list []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sent {
		if strings.Contains(s, part) {
			list = append(list, s)
		}
	}
	return list
}

// answer is a response out of nothing.
func answer(status int, contentType, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(strings.NewReader(body)),
	}
}

// Where the metadata of the MCP server are looked for: at the challenge's URL,
// below the well-known path, at the root, and nowhere for servers of MCP
// 2025-03-26, which are their own authorization server.
func TestDiscoveryOfTheResource(t *testing.T) {
	const wellKnown = "/.well-known/oauth-protected-resource"
	tests := []struct {
		name      string
		hidden    []string // paths that answer 404
		challenge string   // path of its resource_metadata
		legacy    bool
		want      []string // paths that were asked for
	}{
		{"by challenge", nil, wellKnown + "/mcp", false, []string{wellKnown + "/mcp"}},
		{"by challenge, elsewhere", nil, wellKnown, false, []string{wellKnown}},
		{"by path", nil, "", false, []string{wellKnown + "/mcp"}},
		{"by root", []string{wellKnown + "/mcp"}, "", false, []string{wellKnown + "/mcp", wellKnown}},
		{"challenge leads nowhere", []string{wellKnown + "/gone"}, wellKnown + "/gone", false, []string{wellKnown + "/gone", wellKnown + "/mcp"}},
		{"legacy", nil, "", true, []string{wellKnown + "/mcp", wellKnown}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{NoMetadata: tt.legacy, SameOrigin: tt.legacy, AllowUnbound: true})
				w, client := k.wired(func(r *http.Request) (*http.Response, error) {
					if slices.Contains(tt.hidden, r.URL.Path) {
						return answer(404, "text/plain", "no"), nil
					}
					return nil, nil
				})
				cfg := k.discovered()
				cfg.HTTPClient = client
				m := k.manager(cfg)
				origin := strings.TrimSuffix(k.res.URL, "/mcp")
				c := auth.Challenge{Status: 401, Scheme: "Bearer"}
				if tt.challenge != "" {
					c.ResourceMetadata = origin + tt.challenge
				}
				tok, err := m.Resolve(t.Context(), nil, c)
				if err != nil || k.call(tok) != 200 {
					t.Fatalf("Resolve = %v, %v", tok, err)
				}
				var want []string
				for _, path := range tt.want {
					want = append(want, "GET "+origin+path)
				}
				if got := w.heard(wellKnown); !slices.Equal(got, want) {
					t.Errorf("looked at %q, want %q", got, want)
				}
				if i := m.Info(); i.Issuer != k.srv.Issuer || i.ClientID == "" {
					t.Errorf("info %+v", i)
				}
			})
		})
	}
}

// The resource indicator of every request is what the metadata say, to the
// letter; a server that speaks for another resource is refused.
func TestResourceIndicator(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var origin string
		k := newKit(t, authtest.Config{}, authtest.Protection{Metadata: func(doc map[string]any) { doc["resource"] = origin }})
		origin = strings.TrimSuffix(k.res.URL, "/mcp") + "/"
		p := k.asked(0)
		cfg := k.bothering(p)
		cfg.Store = new(auth.MemoryStore)
		m := k.manager(cfg)
		tok, err := m.Resolve(t.Context(), nil, k.unauthorized())
		if err != nil || k.call(tok) != 200 {
			t.Fatalf("Resolve = %v, %v", tok, err)
		}
		for _, m := range []*auth.Manager{m, k.manager(cfg)} { // and the next start of the program
			if _, err := m.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := p.visit(0)["resource"]; !slices.Equal(got, []string{origin}) {
			t.Errorf("authorization request: resource %q, want %q", got, origin)
		}
		for _, r := range k.srv.TokenRequests() {
			if got := r.Form["resource"]; !slices.Equal(got, []string{origin}) {
				t.Errorf("%s: resource %q, want %q", r.GrantType, got, origin)
			}
		}
	})

	// Without metadata it is the canonical URL of the server.
	t.Run("configured server", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			cfg := k.config()
			cfg.Resource += "?tenant=1#part"
			cfg.Resource = strings.Replace(cfg.Resource, "http://", "HTTP://", 1)
			cfg.Resource = strings.TrimSuffix(cfg.Resource, "#part")
			m, _ := k.started(cfg)
			if _, err := m.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := k.srv.TokenRequests()[0].Form.Get("resource"); got != k.res.URL {
				t.Errorf("resource %q, want %q", got, k.res.URL)
			}
		})
	})

	t.Run("another resource", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{Metadata: func(doc map[string]any) { doc["resource"] = "https://mcp.example.com/mcp" }})
			p := k.asked(0)
			_, err := k.manager(k.bothering(p)).Resolve(t.Context(), nil, k.unauthorized())
			if asError[*discovery.Error](t, err); !errors.Is(err, discovery.ErrResourceMismatch) || p.browsers() != 0 {
				t.Errorf("%v with %d browsers", err, p.browsers())
			}
		})
	})
}

// What metadata must not make the client do: speak to another issuer than the
// one named, to unencrypted endpoints, or read without end.
func TestMetadataIsDistrusted(t *testing.T) {
	tests := []struct {
		name   string
		doc    func(doc map[string]any)
		prm    func(doc map[string]any)
		fault  authtest.Fault
		reason error
	}{
		{name: "issuer with a path", doc: func(d map[string]any) { d["issuer"] = d["issuer"].(string) + "/x" }, reason: discovery.ErrIssuerMismatch},
		{name: "issuer in capitals", doc: func(d map[string]any) { d["issuer"] = strings.ToUpper(d["issuer"].(string)) }, reason: discovery.ErrIssuerMismatch},
		{name: "no issuer", doc: func(d map[string]any) { delete(d, "issuer") }, reason: discovery.ErrMalformed},
		{name: "unencrypted token endpoint", doc: func(d map[string]any) { d["token_endpoint"] = "http://as.example.com/token" }, reason: discovery.ErrInsecureURL},
		{name: "unencrypted authorization endpoint", doc: func(d map[string]any) { d["authorization_endpoint"] = "http://as.example.com/authorize" }, reason: discovery.ErrInsecureURL},
		{name: "unencrypted registration endpoint", doc: func(d map[string]any) { d["registration_endpoint"] = "http://as.example.com/register" }, reason: discovery.ErrInsecureURL},
		{name: "unencrypted issuer", prm: func(d map[string]any) { d["authorization_servers"] = []string{"http://as.example.com"} }, reason: discovery.ErrInsecureURL},
		{name: "redirect to another origin", fault: authtest.Redirect("https://evil.example.com/"), reason: discovery.ErrRedirect},
		{name: "10 MiB", fault: authtest.HugeBody(), reason: discovery.ErrTooLarge},
		{name: "no PKCE", doc: func(d map[string]any) { delete(d, "code_challenge_methods_supported") }, reason: auth.ErrNoPKCE},
		{name: "plain PKCE", doc: func(d map[string]any) { d["code_challenge_methods_supported"] = []string{"plain"} }, reason: auth.ErrNoPKCE},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{Metadata: tt.doc}, authtest.Protection{Metadata: tt.prm})
				k.srv.InjectAlways(authtest.MetadataEndpoint, tt.fault)
				p := k.asked(0)
				cfg := k.bothering(p)
				w, client := k.wired(nil)
				cfg.HTTPClient = client
				_, err := k.manager(cfg).Resolve(t.Context(), nil, k.unauthorized())
				if !errors.Is(err, tt.reason) {
					t.Errorf("error %v, want %v", err, tt.reason)
				}
				if c := k.srv.Counts(); p.browsers()+c.Token+c.Register != 0 || len(w.heard("example.com")) != 0 {
					t.Errorf("%d browsers, %d token requests, %d registrations, %q", p.browsers(), c.Token, c.Register, w.heard("example.com"))
				}
			})
		})
	}
}

// An issuer that is listed with a slash that its document does not have is the
// same one (Google), by the document's spelling, for the login, for a refresh
// and after a restart.
func TestListedIssuerHasASlash(t *testing.T) {
	bubble(t, func(t *testing.T) {
		issuer := ""
		k := newKit(t, authtest.Config{}, authtest.Protection{Metadata: func(d map[string]any) { d["authorization_servers"] = []string{issuer + "/"} }})
		issuer = k.srv.Issuer
		cfg := k.discovered()
		cfg.Store = new(auth.MemoryStore)
		m := k.manager(cfg)
		if tok, err := m.Authorize(t.Context()); err != nil || k.call(tok) != 200 || m.Info().Issuer != issuer {
			t.Fatalf("%v, issuer %s", err, m.Info().Issuer)
		}
		if _, err := m.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute) // a young token would be sent again first
		again := k.manager(cfg)
		if _, err := again.Resolve(t.Context(), mustToken(t, again), k.unauthorized()); err != nil {
			t.Fatal(err)
		}
		if c := k.srv.Counts(); c.Register != 1 || c.Authorize != 1 || c.Refreshes != 2 {
			t.Errorf("%+v, want one login and two refreshes", c)
		}
	})
}

// A token endpoint that redirects to another origin would make net/http repeat
// the body, with its secrets, there.
func TestTokenEndpointDoesNotRedirect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		thief := authtest.NewServerConfig(t, authtest.Config{Peer: k.srv})
		m, _ := k.started(k.config())
		for _, to := range []string{thief.Endpoint(authtest.TokenEndpoint), thief.URL + "/other"} {
			k.srv.Inject(authtest.TokenEndpoint, authtest.Redirect(to))
			_, err := m.Refresh(t.Context())
			if te := asError[*auth.TokenError](t, err); te.StatusCode != 307 || te.Retryable() {
				t.Errorf("error %+v, want the 307 itself", te)
			}
			time.Sleep(time.Minute)
		}
		if n := thief.Counts().Token; n != 0 {
			t.Errorf("the other server got %d token requests", n)
		}
		// The refresh token was not to blame and still works.
		if _, err := m.Refresh(t.Context()); err != nil {
			t.Errorf("Refresh: %v", err)
		}
	})
}

// An answer of the token endpoint is read up to 1 MiB.
func TestTokenResponseIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, _ := k.started(k.config())
		k.srv.InjectAlways(authtest.TokenEndpoint, authtest.HugeBody())
		_, err := m.Refresh(t.Context())
		if te := asError[*auth.TokenError](t, err); !errors.Is(te, discovery.ErrTooLarge) {
			t.Errorf("error %v, want ErrTooLarge", err)
		}
	})
}

// Discovery is traced, with its result.
func TestDiscoveryIsTraced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s := new(steps)
		cfg := k.discovered()
		cfg.Tracer = s
		m := k.manager(cfg)
		for range 2 { // at the path and at the root
			k.srv.Inject(authtest.ResourceMetadataEndpoint, authtest.Status(500))
		}
		if _, err := m.Resolve(t.Context(), nil, k.unauthorized()); err != nil {
			t.Fatal(err)
		}
		if len(s.searches) != 2 || s.searches[0].Err == nil || s.searches[1].Err != nil || s.searches[1].Issuer != k.srv.Issuer {
			t.Errorf("traced %+v, want a failure and the issuer", s.searches)
		}
	})
}

// With an issuer alone the rest is discovered. The resource's metadata are asked for
// its scopes only.
func TestConfiguredIssuer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{IssuerPath: "/tenant1"}, authtest.Protection{})
		cfg := k.discovered()
		cfg.Server = &auth.Server{Issuer: k.srv.Issuer}
		m := k.manager(cfg)
		if tok, err := m.Authorize(t.Context()); err != nil || k.call(tok) != 200 {
			t.Fatalf("Authorize = %v, %v", tok, err)
		}
		c := k.srv.Counts()
		if c.ResourceMetadata != 1 || c.Metadata != 1 || c.Register != 1 {
			t.Errorf("%+v", c)
		}
		if _, err := k.replace(m, mustToken(t, m)); err != nil {
			t.Errorf("Resolve: %v", err)
		}
		if c := k.srv.Counts(); c.ResourceMetadata != 1 || c.Refreshes != 1 {
			t.Errorf("%+v", c)
		}
	})

	t.Run("stored token", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			shared := new(auth.MemoryStore)
			cfg := k.discovered()
			cfg.Store = shared
			if _, err := k.manager(cfg).Authorize(t.Context()); err != nil {
				t.Fatal(err)
			}
			m := k.manager(cfg) // knows the issuer from the store only
			k.srv.InjectAlways(authtest.ResourceMetadataEndpoint, authtest.Status(500))
			if _, err := m.Refresh(t.Context()); err != nil {
				t.Errorf("Refresh: %v", err)
			}
			k.wantRefreshes(1)
		})
	})
}
