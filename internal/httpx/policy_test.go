package httpx

import (
	"net/url"
	"strings"
	"testing"
)

func TestHosts(t *testing.T) {
	hosts, err := ParseHosts([]string{"mcp", "keycloak:8080", "*.Corp.Example.", "*.svc:443", "10.0.0.0/8", "192.168.1.5", "192.168.1.6:80", "fd00::5", "[fd00::6]:80", "[fd00::7]"})
	if err != nil {
		t.Fatal(err)
	}
	for raw, want := range map[string]bool{
		"http://mcp": true, "http://mcp:8000": true, "http://MCP.:8000": true, "https://mcp": true,
		"http://keycloak:8080": true, "http://keycloak": false, "https://keycloak": false, "http://keycloak:8081": false,
		"http://a.corp.example": true, "http://a.b.corp.example.:1": true, "http://corp.example": false, "http://acorp.example": false,
		"https://a.svc": true, "http://a.svc": false, "http://a.svc:443": true,
		"http://10.1.2.3": true, "http://11.1.2.3": false, "http://[::ffff:10.1.2.3]": true,
		"http://192.168.1.5:9": true, "http://192.168.1.6": true, "http://192.168.1.6:81": false, "http://192.168.1.7": false,
		"http://[fd00::5]:9": true, "http://[fd00::6]": true, "http://[fd00::6]:81": false, "http://[fd00::7]:81": true, "http://[fd00::8]": false,
		"http://mcp.example": false, "http://xmcp": false, "http://10.example": false,
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := hosts.contain(u.Hostname(), port(u)); got != want {
			t.Errorf("%s: %v, want %v", raw, got, want)
		}
	}
}

func TestHostsThatCannotBeRead(t *testing.T) {
	for entry, want := range map[string]string{
		"": "is no host", "*": "is no host", "*.": "is no host", "a b": "is no host", "mcp/x": "is no host", "10.0.0.0/33": "is no host",
		"a*.example": "is no host", "é": "is no host", ".example": "is no host", "[::1": "is no host", "mcp:1:2": "is no host", ":80": "is no host",
		"http://mcp:8000": "is a URL", "mcp:": "has a port", "mcp:http": "has a port", "mcp:0": "has a port", "mcp:65536": "has a port",
	} {
		hosts, err := ParseHosts([]string{"fine", entry})
		if err == nil || !strings.Contains(err.Error(), "entry 1, ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v, want an error with %q", entry, hosts, err, want)
		}
	}
}

// A policy allows what it names and nothing else; none allows nothing.
func TestPolicy(t *testing.T) {
	p := policy(t, []string{"10.0.0.0/8"}, []string{"mcp:8000"})
	for _, tt := range []struct {
		policy         *Policy
		url            string
		plain, private bool
	}{
		{p, "http://mcp:8000", true, true},
		{p, "http://mcp", false, false},
		{p, "http://10.0.0.5", false, true},
		{p, "https://example.com", false, false},
		{nil, "http://mcp:8000", false, false},
		{NewPolicy(nil, nil, true), "http://mcp:8000", false, true},
		{NewPolicy(nil, nil, false), "http://mcp:8000", false, false},
	} {
		u, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		if plain, private := tt.policy.PlainHTTP(u), tt.policy.Private(u); plain != tt.plain || private != tt.private {
			t.Errorf("%s: PlainHTTP %v, Private %v, want %v, %v", tt.url, plain, private, tt.plain, tt.private)
		}
	}
}

// What the program allows is plain HTTP to these hosts, nothing else of a URL.
func TestCheckURLIn(t *testing.T) {
	p := policy(t, []string{"10.0.0.0/8"}, []string{"mcp:8000", "10.0.0.5"})
	for raw, want := range map[string]string{
		"http://mcp:8000/mcp": "", "http://10.0.0.5": "", "https://example.com": "", "http://localhost": "",
		"http://mcp":               `set Config.Network.PlainHTTP to include "mcp"`,
		"http://as.example.com:81": `set Config.Network.PlainHTTP to include "as.example.com:81"`,
		"http://10.0.0.6":          `set Config.Network.PlainHTTP to include "10.0.0.6"`, // reaching it is another matter
		"http://u:p@mcp:8000":      "user name", "http://mcp:8000/#x": "fragment", "ftp://mcp:8000": "scheme",
	} {
		u, err := CheckURLIn(p, "issuer", raw)
		switch {
		case want == "" && (err != nil || u == nil):
			t.Errorf("%s: %v", raw, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", raw, err, want)
		}
	}
	if _, err := CheckURLIn((*Policy)(nil), "issuer", "http://mcp:8000"); err == nil || !strings.Contains(err.Error(), "PlainHTTP") {
		t.Errorf("without exceptions: %v", err)
	}
	if _, err := CheckURLIn(Anywhere{}, "issuer", "http://mcp:8000"); err != nil {
		t.Errorf("anywhere: %v", err)
	}
}
