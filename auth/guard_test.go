package auth

import (
	"context"
	"errors"
	"net"
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
			_, err := m.discover(ctx, m.st.rec, Challenge{ResourceMetadata: here + "/metadata"})
			return err
		}},
		{"issuer", func(ctx context.Context, m *Manager) error {
			_, err := m.serverOf(ctx, &Record{Issuer: here})
			return err
		}},
		{"token endpoint", func(ctx context.Context, m *Manager) error {
			_, err := m.tokenEndpoint(ctx, hostile, client, url.Values{"grant_type": {"refresh_token"}}, nil)
			return err
		}},
		{"registration endpoint", func(ctx context.Context, m *Manager) error {
			_, err := m.register(ctx, hostile, registration.Metadata{GrantTypes: []string{"client_credentials"}})
			return err
		}},
		{"revocation endpoint", func(ctx context.Context, m *Manager) error {
			return m.revokeOne(ctx, hostile, client, "token", "refresh_token")
		}},
		{"device authorization endpoint", func(ctx context.Context, m *Manager) error {
			_, err := (&Flow{Server: hostile, m: m, rec: m.st.rec, single: true}).AuthorizeDevice(ctx, client)
			return err
		}},
		{"a grant's own requests", func(_ context.Context, m *Manager) error {
			_, err := (&Flow{Server: hostile, m: m}).HTTPClient().Get(here)
			return err
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := NewManager(Config{Resource: "https://mcp.test/mcp", Grant: deviceLike{}})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			err = tt.ask(t.Context(), m)
			if !errors.Is(err, httpx.ErrPrivateAddress) || retryable(err) {
				t.Fatalf("error %v, want one that is ErrPrivateAddress, and for good", err)
			}
			if tt.name != "a grant's own requests" && !strings.Contains(err.Error(), "set an HTTPClient") {
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
			_, err = m.tokenEndpoint(t.Context(), hostile, client, url.Values{"grant_type": {"refresh_token"}}, nil)
			if err == nil || errors.Is(err, httpx.ErrPrivateAddress) {
				t.Errorf("error %v, want that of a server which hangs up", err)
			}
		})
	}
}

// deviceLike is a grant by name only.
type deviceLike struct{}

func (deviceLike) Type() string                                     { return "device" }
func (deviceLike) Interactive() bool                                { return true }
func (deviceLike) Authorize(context.Context, *Flow) (*Token, error) { return nil, ErrNoToken }
