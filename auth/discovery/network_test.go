package discovery

import (
	"net/url"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/internal/httpx"
)

// What a server elsewhere names may be in plain HTTP, or on this machine, if the program says so.
func TestNamedHosts(t *testing.T) {
	hosts := func(list ...string) httpx.Hosts {
		h, err := httpx.ParseHosts(list)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	base, err := url.Parse("https://mcp.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		network Network
		url     string
		want    string // in the error
	}{
		{nil, "http://keycloak:8080", "unencrypted"},
		{httpx.NewPolicy(hosts("keycloak"), nil, false), "http://keycloak:8080", "set Config.Network.PlainHTTP"},
		{httpx.NewPolicy(nil, hosts("keycloak:8080"), false), "http://keycloak:8080", ""},
		{nil, "https://localhost:8443", "set Config.Network.Private"},
		{(*httpx.Policy)(nil), "https://localhost:8443", `set Config.Network.Private to include "localhost:8443"`},
		{httpx.NewPolicy(hosts("localhost:1"), nil, false), "https://localhost:8443", "set Config.Network.Private"},
		{httpx.NewPolicy(hosts("localhost"), nil, false), "https://localhost:8443", ""},
		{httpx.NewPolicy(hosts("127.0.0.0/8"), nil, false), "https://127.0.0.1", ""},
		{httpx.NewPolicy(nil, nil, true), "https://127.0.0.1", ""},
	} {
		_, err := (&Client{Network: tt.network}).checkNamed("issuer", tt.url, base)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.url, err, tt.want)
		}
	}
}
