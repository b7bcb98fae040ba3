package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/internal/dnstest"
)

// plainServers are an MCP server and its authorization server in a network
// without TLS, as in a compose file.
func plainServers(t *testing.T) (resource, as string) {
	t.Helper()
	serve := func(name string, answer func(w http.ResponseWriter, path string)) string {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			answer(w, r.URL.Path)
		}))
		t.Cleanup(srv.Close)
		return "http://" + name + srv.URL[strings.LastIndex(srv.URL, ":"):]
	}
	dnstest.Serve(t, map[string][]string{"mcp": {"127.0.0.1"}, "keycloak": {"127.0.0.1"}, "mcp.test": {"8.8.8.8"}})
	as = serve("keycloak", func(w http.ResponseWriter, path string) {
		switch path {
		case "/.well-known/oauth-authorization-server":
			fmt.Fprintf(w, `{"issuer":%q,"token_endpoint":%q,"registration_endpoint":%q}`, as, as+"/token", as+"/register")
		case "/register":
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, `{"client_id":"registered"}`)
		case "/token":
			_, _ = io.WriteString(w, `{"access_token":"access","token_type":"Bearer","expires_in":3600}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	mcp := serve("mcp", func(w http.ResponseWriter, path string) {
		if path != "/.well-known/oauth-protected-resource/mcp" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		fmt.Fprintf(w, `{"resource":%q,"authorization_servers":[%q]}`, resource, as)
	})
	return mcp + "/mcp", as
}

// registers is a grant that registers a client and asks for a token.
type registers struct{ deviceLike }

func (registers) Authorize(ctx context.Context, f *Flow) (*Token, error) {
	c, err := f.Client(ctx, registration.Metadata{GrantTypes: []string{"urn:example"}})
	if err != nil {
		return nil, err
	}
	return f.Exchange(ctx, c, url.Values{"grant_type": {"urn:example"}})
}

// In a network without TLS each host has to be named, and each error says which.
//
//compat:network http for hosts of a cluster
//compat:default refused but on this machine
//compat:setting Config.Network.PlainHTTP
//compat:attack TestPlainHTTPElsewhere
func TestPlainHTTPHosts(t *testing.T) {
	resource, as := plainServers(t)
	host := func(raw string) string { return strings.Split(raw, "/")[2] }
	tests := []struct {
		name    string
		network Network
		want    string // in the error
	}{
		{"none", Network{}, "Config.Network.PlainHTTP"},
		{"may be reached, but not so", Network{Private: []string{"mcp", "keycloak"}}, "Config.Network.PlainHTTP"},
		{"the MCP server only", Network{PlainHTTP: []string{host(resource)}}, "set Config.Network.PlainHTTP to include \"" + host(as) + `"`},
		{"another port", Network{PlainHTTP: []string{"mcp", "keycloak:1"}}, "set Config.Network.PlainHTTP to include \"" + host(as) + `"`},
		{"both", Network{PlainHTTP: []string{host(resource), "keycloak"}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := NewManager(Config{Resource: resource, Grant: registers{}, Network: tt.network, NoIdleRefresh: true})
			if err == nil {
				defer m.Close()
				_, err = m.Authorize(t.Context())
			}
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// A pool's managers and a configured server follow the same rules.
func TestPlainHTTPElsewhere(t *testing.T) {
	resource, as := plainServers(t)
	allowed := Network{PlainHTTP: []string{"mcp", "keycloak"}}
	for name, network := range map[string]Network{"allowed": allowed, "not": {}} {
		p, err := NewPool(PoolConfig{Config: func(string, string) (*Config, error) {
			return &Config{Grant: registers{}, Network: network}, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		_, err = p.Source("someone", resource).Token(t.Context())
		var ce *ConfigError
		if refused := errors.As(err, &ce) && ce.Field == "Config.Resource"; refused != (name == "not") {
			t.Errorf("pool, %s: %v", name, err)
		}
		_, err = NewManager(Config{Resource: "https://mcp.test", Server: &Server{Issuer: as}, Network: network})
		if refused := errors.As(err, &ce) && err != nil && ce.Field == "Config.Server.Issuer"; refused != (name == "not") {
			t.Errorf("server, %s: %v", name, err)
		}
	}
}

func TestNetworkThatCannotBeRead(t *testing.T) {
	for field, network := range map[string]Network{
		"Config.Network.Private":   {Private: []string{"10.0.0.0/99"}},
		"Config.Network.PlainHTTP": {PlainHTTP: []string{"http://mcp:8000"}},
	} {
		_, err := NewManager(Config{Resource: "https://mcp.test", Network: network})
		var ce *ConfigError
		if !errors.As(err, &ce) || ce.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// What wraps the transport sees every request, guarded or not.
func TestNetworkWrap(t *testing.T) {
	resource, _ := plainServers(t)
	asked := 0
	m, err := NewManager(Config{
		Resource: resource, Grant: registers{}, NoIdleRefresh: true,
		Network: Network{PlainHTTP: []string{"mcp", "keycloak"}, Wrap: func(base http.RoundTripper) http.RoundTripper {
			return countingTransport{base, &asked}
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.Authorize(t.Context()); err != nil {
		t.Fatal(err)
	}
	if asked != 5 { // three documents, a registration, a token
		t.Errorf("%d requests, want 5", asked)
	}
}

type countingTransport struct {
	base  http.RoundTripper
	asked *int
}

func (c countingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	*c.asked++
	return c.base.RoundTrip(r)
}
