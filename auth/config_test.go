package auth_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/admission"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// Every mistake is refused by NewManager, with the field and what to do.
func TestConfigErrors(t *testing.T) {
	const resource = "https://mcp.example.com/mcp"
	server := func(edit func(*auth.Server)) *auth.Server {
		s := &auth.Server{Issuer: "https://as.example.com", TokenEndpoint: "https://as.example.com/token"}
		edit(s)
		return s
	}
	tests := []struct {
		name  string
		cfg   auth.Config
		field string
		says  string
	}{
		{"empty", auth.Config{}, "Config.Resource", "is empty"},
		{"relative resource", auth.Config{Resource: "/mcp?secret"}, "Config.Resource", `"/mcp…" is not absolute`},
		{"unencrypted resource", auth.Config{Resource: "http://mcp.example.com/mcp?secret"}, "Config.Resource", "Config.Network.PlainHTTP"},
		{"resource with a password", auth.Config{Resource: "https://user:secret@mcp.example.com/mcp"}, "Config.Resource", "user name or password"},
		{"resource with a fragment", auth.Config{Resource: resource + "#secret"}, "Config.Resource", "fragment"},
		{"resource with dot segments", auth.Config{Resource: "https://mcp.example.com/a/../secret"}, "Config.Resource", "RFC 8707"},
		{"negative window", auth.Config{Resource: resource, RefreshWindow: -1}, "Config.RefreshWindow", "must not be negative"},
		{"negative refresh timeout", auth.Config{Resource: resource, RefreshTimeout: -1}, "Config.RefreshTimeout", "must not be negative"},
		{"negative authorization timeout", auth.Config{Resource: resource, AuthorizationTimeout: -1}, "Config.AuthorizationTimeout", "must not be negative"},
		{"no token requests", auth.Config{Resource: resource, TokenRequests: &admission.Gate{Most: -1}}, "Config.TokenRequests.Most", "must not be negative"},
		{"negative limit", auth.Config{Resource: resource, StepUpLimit: -1}, "Config.StepUpLimit", "must not be negative"},
		{"two scopes in one string", auth.Config{Resource: resource, Scopes: []string{"secret secret"}}, "Config.Scopes", "each scope"},
		{"scope with a line break", auth.Config{Resource: resource, Scopes: []string{"secret\n"}}, "Config.Scopes", "RFC 6749"},
		{"secret without client", auth.Config{Resource: resource, Client: auth.Client{Secret: "secret"}}, "Config.Client.ID", "is empty"},
		{"authentication without client", auth.Config{Resource: resource, Client: auth.Client{Auth: new(proving)}}, "Config.Client.ID", "is empty"},
		{"client ID with a line break", auth.Config{Resource: resource, Client: auth.Client{ID: "secret\n"}}, "Config.Client.ID", "trim what was read"},
		{"secret with a line break", auth.Config{Resource: resource, Client: auth.Client{ID: "id", Secret: "secret\r\n"}}, "Config.Client.Secret", "trim what was read"},
		{"client's issuer without a scheme", auth.Config{Resource: resource, Client: auth.Client{ID: "id", Issuer: "as.example.com?secret"}}, "Config.Client.Issuer", "set scheme and host"},
		{"unencrypted issuer of a client", auth.Config{Resource: resource, Client: auth.Client{ID: "id", Issuer: "http://as.example.com"}}, "Config.Client.Issuer", "use https"},
		{"metadata document without path", auth.Config{Resource: resource, ClientMetadataURL: "https://client.example.com"}, "Config.ClientMetadataURL", "with a path"},
		{"unencrypted metadata document", auth.Config{Resource: resource, ClientMetadataURL: "http://client.example.com/secret"}, "Config.ClientMetadataURL", "https URL"},
		{"server without anything", auth.Config{Resource: resource, Server: new(auth.Server)}, "Config.Server", "neither"},
		{"unencrypted issuer", auth.Config{Resource: resource, Server: server(func(s *auth.Server) { s.Issuer = "http://as.example.com/?secret" })}, "Config.Server.Issuer", "use https"},
		{"token endpoint", auth.Config{Resource: resource, Server: server(func(s *auth.Server) { s.TokenEndpoint = "as.example.com/token?secret" })}, "Config.Server.TokenEndpoint", "set scheme and host"},
		{"authorization endpoint", auth.Config{Resource: resource, Server: server(func(s *auth.Server) { s.AuthorizationEndpoint = "http://h/x?secret" })}, "Config.Server.AuthorizationEndpoint", "use https"},
		{"registration endpoint", auth.Config{Resource: resource, Server: server(func(s *auth.Server) { s.RegistrationEndpoint = "http://h/x?secret" })}, "Config.Server.RegistrationEndpoint", "use https"},
		{"revocation endpoint", auth.Config{Resource: resource, Server: server(func(s *auth.Server) { s.RevocationEndpoint = "http://h/x?secret" })}, "Config.Server.RevocationEndpoint", "use https"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := auth.NewManager(tt.cfg)
			if m != nil {
				t.Fatal("a manager was made")
			}
			ce := asError[*auth.ConfigError](t, err)
			if ce.Field != tt.field || !strings.Contains(ce.Problem, tt.says) {
				t.Errorf("%v, want %s and %q", err, tt.field, tt.says)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("%q repeats the value", err)
			}
		})
	}
}

// The zero value of every field but Resource is good; so is http on this
// machine.
func TestConfigDefaults(t *testing.T) {
	for _, resource := range []string{"https://mcp.example.com", "https://mcp.example.com:8443/a/b?c=d", "http://localhost:8080/mcp", "http://127.0.0.1/", "http://[::1]:1/mcp"} {
		m, err := auth.NewManager(auth.Config{Resource: resource})
		if err != nil {
			t.Errorf("%s: %v", resource, err)
			continue
		}
		if m.Resource() != resource {
			t.Errorf("resource %s, want %s", m.Resource(), resource)
		}
		if i := m.Info(); i.State != auth.StateNone || i.Issuer != "" || i.ClientID != "" {
			t.Errorf("info %+v", i)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What the caller does to its Config afterwards is its own business.
func TestConfigIsCopied(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.config()
		cfg.Scopes = []string{"a", "", "a", "b"}
		p := k.asked(0)
		cfg.Grant = k.bothering(p).Grant
		m := k.manager(cfg)
		cfg.Scopes[0], cfg.Server.TokenEndpoint = "changed", "https://evil.example.com/"
		if _, err := m.Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := p.visit(0).Get("scope"); got != "a b" {
			t.Errorf("scope %q, want those configured, once each", got)
		}
	})
}

// The bounds do what they say.
func TestRefreshTimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.config()
		cfg.RefreshTimeout, cfg.AnswerTimeout = 10*time.Second, 20*time.Second
		m, _ := k.started(cfg)
		k.srv.InjectAlways(authtest.TokenEndpoint, authtest.Status(502))
		began := time.Now()
		_, err := m.Refresh(t.Context())
		asError[*auth.TokenError](t, err)
		if d := time.Since(began); d < time.Second || d > 10*time.Second {
			t.Errorf("took %v with its retries, which may take 10 s", d)
		}
		k.srv.InjectAlways(authtest.TokenEndpoint, authtest.Delay(time.Hour))
		time.Sleep(time.Minute)
		began = time.Now()
		_, err = m.Refresh(t.Context())
		asError[*auth.TokenError](t, err)
		if d := time.Since(began); d != 20*time.Second {
			t.Errorf("the answer was waited for for %v", d)
		}
	})
}
