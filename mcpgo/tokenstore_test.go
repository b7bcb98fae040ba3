package mcpgo_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/client"
	mcptransport "github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/server"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/dpop"
	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/internal/dpoptest"
	"github.com/mcptokens/mcptokens/mcpgo"
)

const callback = "http://127.0.0.1:33418/callback"

// oauthConfig is what a program gives to mcp-go's own OAuth.
func (w world) oauthConfig(clientID string) mcptransport.OAuthConfig {
	return mcptransport.OAuthConfig{
		ClientID: clientID, RedirectURI: callback, Scopes: []string{"mcp:read"}, PKCEEnabled: true, HTTPClient: w.as.Client(),
	}
}

// login is mcp-go's own authorization flow, as its documentation has it. err is
// what asked for it.
func (w world) login(ctx context.Context, err error) error {
	handler := client.GetOAuthHandler(err)
	if handler == nil {
		return errors.Join(errors.New("no wish for a login"), err)
	}
	if handler.GetClientID() == "" {
		if err := handler.RegisterClient(ctx, "test"); err != nil {
			return err
		}
	}
	verifier, err := client.GenerateCodeVerifier()
	if err != nil {
		return err
	}
	state, err := client.GenerateState()
	if err != nil {
		return err
	}
	target, err := handler.GetAuthorizationURL(ctx, state, client.GenerateCodeChallenge(verifier))
	if err != nil {
		return err
	}
	back, err := w.as.Approve(ctx, target)
	if err != nil {
		return err
	}
	u, err := url.Parse(back)
	if err != nil {
		return err
	}
	return handler.ProcessAuthorizationResponse(ctx, u.Query().Get("code"), u.Query().Get("state"), verifier)
}

// newManager is a manager that ends with the test.
func newManager(t *testing.T, cfg auth.Config) *auth.Manager {
	t.Helper()
	m, err := auth.NewManager(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// config knows the MCP server and, if it is not empty, the client.
func (w world) config(clientID string) auth.Config {
	return auth.Config{Resource: w.mcp.URL, Client: auth.Client{ID: clientID}, HTTPClient: w.as.Client(), NoIdleRefresh: true}
}

// connect starts an mcp-go client made by its own constructor.
func connect(t *testing.T, c *client.Client, err error) *client.Client {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// loggedIn connects and logs in when mcp-go asks for it.
func (w world) loggedIn(t *testing.T, c *client.Client) {
	t.Helper()
	err := initialize(t.Context(), c)
	if !client.IsOAuthAuthorizationRequiredError(err) {
		t.Fatalf("Initialize = %v, want mcp-go's wish for a login", err)
	}
	if err := w.login(t.Context(), err); err != nil {
		t.Fatal(err)
	}
	if err := initialize(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// The drop-in: mcp-go logs in, the manager does what comes after.
func TestTokenStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, authtest.Config{})
		w.as.AddClient("app", "", callback)
		m := newManager(t, w.config("app"))
		cfg := w.oauthConfig("app")
		cfg.TokenStore = mcpgo.TokenStore(m)
		c, err := client.NewOAuthStreamableHttpClient(w.mcp.URL, cfg, mcptransport.WithHTTPBasicClient(w.as.Client()))
		w.loggedIn(t, connect(t, c, err))
		for range 3 { // each is a refresh by the manager
			time.Sleep(2 * time.Hour)
			if err := call(t.Context(), c, "read"); err != nil {
				t.Fatal(err)
			}
		}
		if n := w.as.Counts(); n.Authorize != 1 || n.Refreshes != 3 || n.ReusedRefreshTokens != 0 {
			t.Errorf("%+v, want one login and three refreshes", n)
		}
		for _, r := range w.as.TokenRequests() {
			if r.Form.Get("client_id") != "app" {
				t.Errorf("%s as %q", r.GrantType, r.Form.Get("client_id"))
			}
		}

		// What goes wrong comes out as what it is, not as a wish for a login.
		w.as.InjectAlways(authtest.TokenEndpoint, authtest.Status(503))
		time.Sleep(2 * time.Hour)
		var failed *auth.TokenError
		if err := call(t.Context(), c, "read"); !errors.As(err, &failed) || failed.StatusCode != 503 || client.IsOAuthAuthorizationRequiredError(err) {
			t.Errorf("CallTool = %v, want *TokenError with 503", err)
		}
		w.as.ClearFaults(authtest.TokenEndpoint)

		// The end of the refresh token is one.
		w.as.RevokeAll()
		time.Sleep(time.Hour)
		err = call(t.Context(), c, "read")
		if !client.IsOAuthAuthorizationRequiredError(err) {
			t.Fatalf("CallTool = %v, want mcp-go's wish for a login", err)
		}
		if err := w.login(t.Context(), err); err != nil {
			t.Fatal(err)
		}
		if err := call(t.Context(), c, "read"); err != nil {
			t.Fatal(err)
		}

		// So is a token that the server takes for dead before its time: the
		// store does not hear of it. WithOAuth does better.
		tok, _ := m.Token(t.Context())
		w.as.RevokeAccess(tok.AccessToken)
		if err := call(t.Context(), c, "read"); !client.IsOAuthAuthorizationRequiredError(err) {
			t.Errorf("CallTool = %v, want mcp-go's wish for a login", err)
		}
	})
}

// What mcp-go gets is fresh and cannot be refreshed behind the manager's back.
func TestTokenStoreGetToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, authtest.Config{})
		w.as.AddClient("app", "", callback)
		m := newManager(t, w.config("app"))
		store := mcpgo.TokenStore(m)
		if tok, err := store.GetToken(t.Context()); tok != nil || !errors.Is(err, mcptransport.ErrNoToken) || !errors.Is(err, auth.ErrNoToken) {
			t.Errorf("%v, %v, want both ErrNoTokens", tok, err)
		}
		p := w.as.IssueToken([]string{"mcp:read", "mcp:write"}, w.mcp.URL)
		if err := m.SetToken(t.Context(), &auth.Token{AccessToken: p.AccessToken, RefreshToken: p.RefreshToken, Expiry: p.Expiry, Scopes: p.Scopes}); err != nil {
			t.Fatal(err)
		}
		tok, err := store.GetToken(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := mcptransport.Token{AccessToken: p.AccessToken, TokenType: "Bearer", Scope: "mcp:read mcp:write", ExpiresAt: p.Expiry.Round(0)}
		if *tok != want {
			t.Errorf("got %+v, want %+v", *tok, want)
		}
		// It lives for five seconds, and the refresh that is due fails: mcp-go
		// must not find it expired when it looks.
		w.as.InjectAlways(authtest.TokenEndpoint, authtest.Status(503))
		time.Sleep(time.Hour - 5*time.Second)
		if tok, err := store.GetToken(t.Context()); err != nil || tok.AccessToken != p.AccessToken || !tok.ExpiresAt.IsZero() {
			t.Errorf("%+v, %v, want the old token without an expiry", tok, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := store.GetToken(ctx); err != context.Canceled {
			t.Errorf("GetToken: %v, want the context's error", err)
		}
		if err := store.SaveToken(ctx, &mcptransport.Token{AccessToken: "a"}); err != context.Canceled {
			t.Errorf("SaveToken: %v, want the context's error", err)
		}
		var ce *auth.ConfigError
		if err := store.SaveToken(t.Context(), nil); !errors.As(err, &ce) || ce.Field != "Token" {
			t.Errorf("SaveToken(nil): %v", err)
		}
		// Only a lifetime, counted from now.
		if err := store.SaveToken(t.Context(), &mcptransport.Token{AccessToken: "a", ExpiresIn: 600}); err != nil {
			t.Fatal(err)
		}
		if got := time.Until(m.Info().Expiry); got != 10*time.Minute {
			t.Errorf("expires in %v, want 10 minutes", got)
		}
	})
}

// A token that is bound to a key is of no use to mcp-go alone.
func TestTokenStoreDPoP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, authtest.Config{})
		gate := &dpoptest.Gate{Base: w.as.Transport(), TokenEndpoint: w.as.Endpoint(authtest.TokenEndpoint), Resource: w.mcp.URL}
		cfg := w.config("")
		cfg.DPoP, cfg.Grant = dpop.Keys{}, w.headless()
		cfg.HTTPClient = &http.Client{Transport: gate}
		m := newManager(t, cfg)
		if _, err := m.Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		var ce *auth.ConfigError
		if _, err := mcpgo.TokenStore(m).GetToken(t.Context()); !errors.As(err, &ce) || ce.Field != "Config.DPoP" {
			t.Errorf("TokenStore: %v, want *ConfigError", err)
		}
		c, err := client.NewStreamableHttpClient(w.mcp.URL, mcpgo.WithOAuth(m, w.oauthConfig(""), mcpgo.WithBaseClient(cfg.HTTPClient)))
		connect(t, c, err)
		if err := initialize(t.Context(), c); err != nil {
			t.Errorf("WithOAuth: %v", err)
		}
		if wrong := gate.Wrong(); len(wrong) > 0 {
			t.Errorf("what the servers object to: %q", wrong)
		}
	})
}

// mcp-go registers the client and logs in. The manager refreshes as that
// client, answers a 401 by a refresh, and survives a restart.
func TestWithOAuth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, authtest.Config{})
		shared := new(auth.MemoryStore)
		cfg := w.config("")
		cfg.Store = shared
		m := newManager(t, cfg)
		base := mcpgo.WithBaseClient(w.as.Client())
		c, err := client.NewStreamableHttpClient(w.mcp.URL, mcpgo.WithOAuth(m, w.oauthConfig(""), base))
		w.loggedIn(t, connect(t, c, err))
		id := m.Info().ClientID
		if regs := w.as.Registrations(); len(regs) != 1 || id == "" || regs[0].ClientID != id || m.Info().Issuer != w.as.Issuer {
			t.Fatalf("client %q of %q after %d registrations", id, m.Info().Issuer, len(regs))
		}
		time.Sleep(2 * time.Hour)
		if err := call(t.Context(), c, "read"); err != nil {
			t.Fatal(err)
		}
		tok, _ := m.Token(t.Context())
		w.as.RevokeAccess(tok.AccessToken) // a 401 for a token that looks well
		if err := call(t.Context(), c, "read"); err != nil {
			t.Errorf("after a 401: %v", err)
		}
		if n := w.as.Counts(); n.Authorize != 1 || n.Refreshes != 2 || n.ReusedRefreshTokens != 0 {
			t.Errorf("%+v, want one login and two refreshes", n)
		}
		reqs := w.as.TokenRequests()
		if got := reqs[len(reqs)-1].Form.Get("client_id"); got != id {
			t.Errorf("refreshed as %q, want %q", got, id)
		}

		// Another process: mcp-go's handler knows no client, and need not.
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		m = newManager(t, cfg)
		c, err = client.NewStreamableHttpClient(w.mcp.URL, mcpgo.WithOAuth(m, w.oauthConfig(""), base))
		connect(t, c, err)
		time.Sleep(2 * time.Hour)
		if err := initialize(t.Context(), c); err != nil {
			t.Fatal(err)
		}

		// Scopes that a refresh does not bring: the error says which login does.
		err = call(t.Context(), c, "write")
		var required *auth.ReauthorizationRequiredError
		if !errors.As(err, &required) || client.IsOAuthAuthorizationRequiredError(err) {
			t.Fatalf("CallTool = %v, want *ReauthorizationRequiredError alone", err)
		}
		if want := []string{"mcp:read", "mcp:write"}; !slices.Equal(required.Scopes, want) {
			t.Errorf("Scopes = %q, want %q", required.Scopes, want)
		}

		// A 401 that no refresh fixes begins mcp-go's flow.
		w.as.RevokeAll()
		err = call(t.Context(), c, "read")
		if !errors.As(err, &required) || !client.IsOAuthAuthorizationRequiredError(err) {
			t.Fatalf("CallTool = %v, want both errors", err)
		}
		if err := w.login(t.Context(), err); err != nil {
			t.Fatal(err)
		}
		if err := call(t.Context(), c, "read"); err != nil {
			t.Fatal(err)
		}
		if again := m.Info().ClientID; again == id || len(w.as.Registrations()) != 2 {
			t.Errorf("client %q after %d registrations, want the new one", again, len(w.as.Registrations()))
		}
		time.Sleep(2 * time.Hour)
		if err := call(t.Context(), c, "read"); err != nil {
			t.Fatal(err)
		}
	})
}

// Clients with a secret, and servers that leave scope out.
func TestWithOAuthConfidentialClient(t *testing.T) {
	for _, methods := range [][]string{nil, {"client_secret_basic"}, {"client_secret_post"}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, authtest.Config{TokenEndpointAuthMethods: methods, OmitScope: true})
			w.as.AddClient("app", "secret of the app", callback)
			m := newManager(t, w.config(""))
			cfg := w.oauthConfig("app")
			cfg.ClientSecret = "secret of the app"
			c, err := client.NewStreamableHttpClient(w.mcp.URL, mcpgo.WithOAuth(m, cfg, mcpgo.WithBaseClient(w.as.Client())))
			w.loggedIn(t, connect(t, c, err))
			if got := m.Info(); !slices.Equal(got.Scopes, cfg.Scopes) || !slices.Equal(got.Requested, cfg.Scopes) {
				t.Errorf("granted %q of %q, want %q", got.Scopes, got.Requested, cfg.Scopes)
			}
			time.Sleep(2 * time.Hour)
			if err := call(t.Context(), c, "read"); err != nil {
				t.Errorf("%q: %v", methods, err)
			}
		})
	}

	t.Run("another one than the manager's", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, authtest.Config{})
			w.as.AddClient("app", "", callback)
			m := newManager(t, w.config("another"))
			c, err := client.NewStreamableHttpClient(w.mcp.URL, mcpgo.WithOAuth(m, w.oauthConfig("app"), mcpgo.WithBaseClient(w.as.Client())))
			err = w.login(t.Context(), initialize(t.Context(), connect(t, c, err)))
			var ce *auth.ConfigError
			if !errors.As(err, &ce) || ce.Field != "Record.Registration.ClientID" {
				t.Errorf("the login ends with %v, want *ConfigError", err)
			}
		})
	})
}

func TestWithSSEOAuth(t *testing.T) {
	as := authtest.NewServer(t)
	w := world{as: as}
	w.mcp = as.Protect(server.NewSSEServer(newMCPServer()), authtest.Protection{
		Path: "/", Scopes: []string{"mcp:read"},
		// mcp-go takes the metadata of the URL that it connects to, no other's.
		Metadata: func(doc map[string]any) { doc["resource"] = doc["resource"].(string) + "/sse" },
	})
	endpoint := w.mcp.URL + "/sse"
	managed := w.config("")
	managed.Resource = endpoint
	m := newManager(t, managed)
	cfg := w.oauthConfig("")
	cfg.ProtectedResourceMetadataURL = w.mcp.MetadataURL
	c, err := client.NewSSEMCPClient(endpoint, mcpgo.WithSSEOAuth(m, cfg, mcpgo.WithBaseClient(as.Client())))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.Start(t.Context())
	if !client.IsOAuthAuthorizationRequiredError(err) {
		t.Fatalf("Start = %v, want mcp-go's wish for a login", err)
	}
	if err := w.login(t.Context(), err); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := initialize(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	tok, _ := m.Token(t.Context())
	as.RevokeAccess(tok.AccessToken)
	if err := call(t.Context(), c, "read"); err != nil {
		t.Fatal(err)
	}
	if n := as.Counts(); n.Authorize != 1 || n.Refreshes != 1 {
		t.Errorf("%+v, want one login and one refresh", n)
	}
}

// brokenStore fails to say whether it has a token.
type brokenStore struct{ mcptransport.TokenStore }

var errBroken = errors.New("disk with secret-on-it")

func (brokenStore) GetToken(context.Context) (*mcptransport.Token, error) { return nil, errBroken }

// Users who are logged in already stay so.
func TestFromTokenStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, authtest.Config{})

		// Until now: mcp-go's own OAuth, with a store of its own.
		old := mcptransport.NewMemoryTokenStore()
		cfg := w.oauthConfig("")
		cfg.TokenStore = old
		c, err := client.NewOAuthStreamableHttpClient(w.mcp.URL, cfg, mcptransport.WithHTTPBasicClient(w.as.Client()))
		w.loggedIn(t, connect(t, c, err))
		id := w.as.Registrations()[0].ClientID
		time.Sleep(30 * time.Minute)

		// From now on:
		next := w.config("")
		next.Store = new(auth.MemoryStore)
		for start := range 3 {
			m := newManager(t, next)
			rec, err := mcpgo.FromTokenStore(t.Context(), old)
			if err != nil {
				t.Fatal(err)
			}
			if age := time.Since(rec.Obtained); start == 0 && (age.Round(time.Second) != 30*time.Minute || !slices.Equal(rec.Token.Scopes, []string{"mcp:read"})) {
				t.Errorf("age %v, %v", age, rec.Token)
			}
			rec.Issuer, rec.Registration = w.as.Issuer, &registration.Client{ClientID: id, TokenEndpointAuthMethod: "none"}
			if imported, err := m.Import(t.Context(), rec); err != nil || imported != (start == 0) {
				t.Fatalf("start %d: imported %v, %v", start, imported, err)
			}
			c, err := client.NewStreamableHttpClient(w.mcp.URL, mcpgo.WithAuth(m, mcpgo.WithBaseClient(w.as.Client())))
			connect(t, c, err)
			if err := initialize(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Hour)
			if err := call(t.Context(), c, "read"); err != nil {
				t.Fatal(err)
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if n := w.as.Counts(); n.Authorize != 1 || n.Refreshes != 3 || n.ReusedRefreshTokens != 0 {
			t.Errorf("%+v, want no other login", n)
		}
	})

	for _, tc := range []struct {
		name  string
		token *mcptransport.Token
		want  error
	}{
		{"nothing", nil, auth.ErrNoToken},
		{"emptied", &mcptransport.Token{}, auth.ErrNoToken},
		{"expired", &mcptransport.Token{AccessToken: "a", ExpiresAt: time.Now().Add(-time.Hour)}, auth.ErrNoToken},
		{"expired, to be refreshed", &mcptransport.Token{AccessToken: "a", RefreshToken: "r", ExpiresAt: time.Now().Add(-time.Hour)}, nil},
		{"refresh token alone", &mcptransport.Token{RefreshToken: "r"}, nil},
		{"no expiry", &mcptransport.Token{AccessToken: "a"}, nil},
		{"obtained in the future", &mcptransport.Token{AccessToken: "a", ExpiresIn: 60, ExpiresAt: time.Now().Add(time.Hour)}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			old := mcptransport.NewMemoryTokenStore()
			if tc.token != nil {
				_ = old.SaveToken(t.Context(), tc.token)
			}
			rec, err := mcpgo.FromTokenStore(t.Context(), old)
			if err != tc.want {
				t.Fatalf("err = %v, want %v", err, tc.want)
			}
			if err == nil && (rec.Token.AccessToken != tc.token.AccessToken || rec.Token.RefreshToken != tc.token.RefreshToken || !rec.Token.Expiry.Equal(tc.token.ExpiresAt) || !rec.Obtained.IsZero()) {
				t.Errorf("%v of %+v", rec, tc.token)
			}
		})
	}

	var se *auth.StoreError
	if _, err := mcpgo.FromTokenStore(t.Context(), brokenStore{}); !errors.As(err, &se) || se.Op != "load" || !errors.Is(err, errBroken) || se.Error() == "" {
		t.Errorf("err = %v, want *StoreError with the store's own", err)
	}
}

// A token store can be one of many users'.
func TestTokenStoreOfAPool(t *testing.T) {
	cfg := &auth.Config{Server: &auth.Server{Issuer: "https://as.example", TokenEndpoint: "https://as.example/token"}}
	pool, err := auth.NewPool(auth.PoolConfig{Config: func(_, _ string) (*auth.Config, error) { return cfg, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	const resource = "https://mcp.example/mcp"
	of := func(user string) mcptransport.TokenStore { return mcpgo.TokenStore(pool.Source(user, resource)) }
	if err := of("alice").SaveToken(t.Context(), &mcptransport.Token{AccessToken: "hers", TokenType: "Bearer"}); err != nil {
		t.Fatal(err)
	}
	if tok, err := of("alice").GetToken(t.Context()); err != nil || tok.AccessToken != "hers" {
		t.Errorf("got %v, %v", tok, err)
	}
	if _, err := of("bob").GetToken(t.Context()); !errors.Is(err, mcptransport.ErrNoToken) {
		t.Errorf("bob: %v", err)
	}
}

// WithOAuth takes a pool's source too: each user logs in by mcp-go's flow, and the
// pool refreshes for each.
func TestWithOAuthOfAPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, authtest.Config{})
		cfg := w.config("")
		cfg.Resource = ""
		pool, err := auth.NewPool(auth.PoolConfig{Config: func(_, _ string) (*auth.Config, error) { return &cfg, nil }})
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		for _, user := range []string{"alice", "bob"} {
			c, err := client.NewStreamableHttpClient(w.mcp.URL, mcpgo.WithOAuth(pool.Source(user, w.mcp.URL), w.oauthConfig(""), mcpgo.WithBaseClient(w.as.Client())))
			w.loggedIn(t, connect(t, c, err))
			time.Sleep(2 * time.Hour)
			if err := call(t.Context(), c, "read"); err != nil {
				t.Errorf("%s: %v", user, err)
			}
		}
		if n := w.as.Counts(); n.Authorize != 2 || n.Refreshes != 2 {
			t.Errorf("%+v, want two logins and two refreshes", n)
		}
		if _, err := pool.Source("carol", w.mcp.URL).Token(t.Context()); !errors.Is(err, auth.ErrNoToken) {
			t.Errorf("carol: %v", err)
		}
	})
}
