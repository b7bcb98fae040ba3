package auth

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/internal/dnstest"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// Whatever a server on the Internet names, by a name that resolves to this
// machine, nobody here is connected to (RFC 9728 section 7.7).
func TestPublicResourceDoesNotLeadHere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var connected atomic.Int32
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			connected.Add(1)
			_ = c.Close()
		}
	})
	defer accepting.Wait()
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	here := "https://as.test:" + port
	dnstest.Serve(t, map[string][]string{"mcp.test": {"8.8.8.8"}, "as.test": {"127.0.0.1"}})

	hostile := &Server{
		Issuer: here, TokenEndpoint: here + "/token", RegistrationEndpoint: here + "/register",
		RevocationEndpoint: here + "/revoke", DeviceAuthorizationEndpoint: here + "/device",
	}
	client := &Client{ID: "client"}
	tests := []struct {
		name string
		ask  func(ctx context.Context, m *Manager) error
	}{
		{"resource_metadata of a challenge", func(ctx context.Context, m *Manager) error {
			_, err := m.cfg.obtainer.place(ctx, m.target(), m.st.held.Record, &Challenge{ResourceMetadata: here + "/metadata"}, true)
			return err
		}},
		{"issuer", func(ctx context.Context, m *Manager) error {
			_, err := m.cfg.obtainer.find(ctx, m.target(), &Record{Issuer: here})
			return err
		}},
		{"token endpoint", func(ctx context.Context, m *Manager) error {
			return refreshAt(ctx, m, hostile, client)
		}},
		{"registration endpoint", func(ctx context.Context, m *Manager) error {
			_, err := m.cfg.obtainer.clients.register(ctx, m.Resource(), hostile, registration.Metadata{GrantTypes: []string{"client_credentials"}})
			return err
		}},
		{"revocation endpoint", func(ctx context.Context, m *Manager) error {
			return m.cfg.obtainer.endpoint.revoke(ctx, m.Resource(), hostile, client, new(Record), "token", "refresh_token")
		}},
		{"device authorization endpoint", func(ctx context.Context, m *Manager) error {
			_, err := flowAt(m, hostile).Post(ctx, Post{Endpoint: hostile.DeviceAuthorizationEndpoint, Client: client})
			return err
		}},
		{"a grant's exchange", func(ctx context.Context, m *Manager) error {
			_, err := flowAt(m, hostile).Exchange(ctx, client, url.Values{"grant_type": {"device"}})
			return err
		}},
		{"a grant's poll", func(ctx context.Context, m *Manager) error {
			_, err := flowAt(m, hostile).ExchangeOnce(ctx, client, url.Values{"grant_type": {"device"}})
			return err
		}},
		{"a grant's registration", func(ctx context.Context, m *Manager) error {
			_, err := flowAt(m, hostile).Client(ctx, registration.Metadata{GrantTypes: []string{"client_credentials"}})
			return err
		}},
		{"a grant's own request to the flow's server", func(ctx context.Context, m *Manager) error {
			again := *hostile // naming it does not make it the program's choice
			_, err := flowAt(m, hostile).Post(ctx, Post{Server: &again, Client: client})
			return err
		}},
		{"a grant's own requests", func(_ context.Context, m *Manager) error {
			_, err := flowAt(m, hostile).HTTPClient().Get(here)
			return err
		}},
		{"a user agent's own requests", func(ctx context.Context, m *Manager) error {
			ctx, answered := flowAt(m, hostile).AwaitUser(ctx)
			defer answered(nil)
			_, err := httpx.Guarded(ctx, http.DefaultClient, here).Get(here)
			return err
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := Config{Resource: "https://mcp.test/mcp", Grant: deviceLike{}}
			if tt.name == "resource_metadata of a challenge" { // which is looked for at the resource too
				cfg.HTTPClient = strangers(t)
			}
			m, err := NewManager(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			err = tt.ask(t.Context(), m)
			if !errors.Is(err, httpx.ErrPrivateAddress) || passes(err) {
				t.Fatalf("error %v, want one that is ErrPrivateAddress, and for good", err)
			}
			if !strings.HasSuffix(tt.name, "'s own requests") && !strings.Contains(err.Error(), "set Config.Network.Private to include") {
				t.Errorf("error %q does not say what to do", err)
			}
		})
	}
	if n := connected.Load(); n != 0 {
		t.Errorf("%d connections to this machine", n)
	}

	// What the user named may be here.
	for name, cfg := range map[string]Config{
		"configured server": {Server: &Server{Issuer: here, TokenEndpoint: here + "/token"}},
		"client's issuer":   {Client: Client{ID: "client", Issuer: here}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Resource = "https://mcp.test/mcp"
			m, err := NewManager(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			err = refreshAt(t.Context(), m, hostile, client)
			if err == nil || errors.Is(err, httpx.ErrPrivateAddress) {
				t.Errorf("error %v, want that of a server which hangs up", err)
			}
		})
	}
}

// refreshAt sends a refresh request to srv.
func refreshAt(ctx context.Context, m *Manager, srv *Server, c *Client) error {
	_, err := m.cfg.obtainer.endpoint.token(ctx, m.Resource(), srv, c, url.Values{"grant_type": {"refresh_token"}}, nil, &m.vault)
	return err
}

// flowAt is what a grant is given for srv.
func flowAt(m *Manager, srv *Server) *Flow {
	return &Flow{Server: srv, Resource: m.Resource(), use: &use{
		obtainer: &m.cfg.obtainer, vault: &m.vault, resource: m.target(), rec: m.vault.current().Record, single: true,
	}}
}

// deviceLike is a grant by name only.
type deviceLike struct{}

func (deviceLike) Type() string                                     { return "device" }
func (deviceLike) Interactive() bool                                { return true }
func (deviceLike) Authorize(context.Context, *Flow) (*Token, error) { return nil, ErrNoToken }

// strangers has a server at 8.8.8.8 that is somebody else's, whatever the network of the
// machine leads to.
func strangers(t *testing.T) *http.Client {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == "8.8.8.8:443" {
			address = srv.Listener.Addr().String()
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}}
}
