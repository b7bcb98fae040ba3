package discovery

import (
	"errors"
	"testing"
)

func TestResourceURL(t *testing.T) {
	for server, want := range map[string]string{
		"https://mcp.example.com/mcp":                 "https://mcp.example.com/mcp",
		"https://mcp.example.com":                     "https://mcp.example.com",
		"https://mcp.example.com/":                    "https://mcp.example.com",
		"https://mcp.example.com:8443":                "https://mcp.example.com:8443",
		"https://mcp.example.com:443/mcp":             "https://mcp.example.com/mcp",
		"http://localhost:80/mcp":                     "http://localhost/mcp",
		"HTTPS://MCP.Example.COM/Server/mcp":          "https://mcp.example.com/Server/mcp",
		"https://mcp.example.com/mcp/":                "https://mcp.example.com/mcp/",
		"https://mcp.example.com/mcp?session=1#there": "https://mcp.example.com/mcp",
		"https://mcp.example.com/?session=1":          "https://mcp.example.com",
		"https://mcp.example.com/a%2Fb/mcp":           "https://mcp.example.com/a%2Fb/mcp",
		"http://[::1]:8080/mcp":                       "http://[::1]:8080/mcp",
	} {
		if got, err := ResourceURL(server); err != nil || got != want {
			t.Errorf("ResourceURL(%q) = %q, %v, want %q", server, got, err, want)
		}
	}
	for _, server := range []string{"", "mcp.example.com", "/mcp", "http://mcp.example.com/mcp", "https://user:pw@mcp.example.com/mcp", "wss://mcp.example.com", "https://mcp.example.com/a/../mcp", "https://mcp.example.com/%2e/mcp"} {
		if got, err := ResourceURL(server); got != "" || !errors.Is(err, ErrInsecureURL) {
			t.Errorf("ResourceURL(%q) = %q, %v, want ErrInsecureURL", server, got, err)
		}
	}
}

//compat:finding resource metadata that name the origin of the MCP server in place of its URL
//compat:default accepted, at a well-known place of its own host; the origin is the resource indicator then
//compat:attack same
func TestMatchResource(t *testing.T) {
	tests := []struct {
		name, resource, server string
		want                   bool
	}{
		{"identical", "https://h/mcp", "https://h/mcp", true},
		{"origin", "https://h", "https://h/mcp", true},
		{"origin with slash", "https://h/", "https://h/mcp", true},
		{"parent", "https://h/a", "https://h/a/mcp", true},
		{"parent with slash", "https://h/a/", "https://h/a/mcp", true},
		{"slash more", "https://h/mcp/", "https://h/mcp", true},
		{"slash less", "https://h/mcp", "https://h/mcp/", true},
		{"both bare", "https://h", "https://h/", true},
		{"case of host and scheme", "HTTPS://H/mcp", "https://h/mcp", true},
		{"default port", "https://h:443/mcp", "https://h/mcp", true},
		{"server has a query", "https://h/mcp", "https://h/mcp?a=1", true},
		{"server has a fragment", "https://h/mcp", "https://h/mcp#x", true},
		{"same query", "https://h/mcp?a=1", "https://h/mcp?a=1", true},
		{"this machine", "http://localhost:3000", "http://localhost:3000/mcp", true},

		{"other query", "https://h/mcp?a=1", "https://h/mcp?a=2", false},
		{"query the server lacks", "https://h/mcp?a=1", "https://h/mcp", false},
		{"parent with a query", "https://h/?a=1", "https://h/mcp?a=1", false},
		{"sibling", "https://h/other", "https://h/mcp", false},
		{"longer name", "https://h/mcp2", "https://h/mcp", false},
		{"shorter name", "https://h/mc", "https://h/mcp", false},
		{"child", "https://h/mcp/x", "https://h/mcp", false},
		{"child of a bare host", "https://h/mcp", "https://h", false},
		{"case of path", "https://h/MCP", "https://h/mcp", false},
		{"dot segments in resource", "https://h/a/../mcp", "https://h/a/../mcp", false},
		{"escaped dot segments", "https://h/a", "https://h/a/%2e%2e/mcp", false},
		{"escaped slash", "https://h/a", "https://h/a%2Fmcp", false},
		{"other host", "https://evil.example/mcp", "https://h/mcp", false},
		{"subdomain", "https://a.h/mcp", "https://h/mcp", false},
		{"other port", "https://h:8443/mcp", "https://h/mcp", false},
		{"other scheme", "http://localhost/mcp", "https://localhost/mcp", false},
		{"name and address", "http://127.0.0.1/mcp", "http://localhost/mcp", false},
		{"user", "https://u@h/mcp", "https://h/mcp", false},
		{"fragment", "https://h/mcp#x", "https://h/mcp", false},
		{"empty", "", "https://h/mcp", false},
		{"not a URL", "h/mcp", "https://h/mcp", false},
		{"server not a URL", "https://h/mcp", "h/mcp", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := MatchResource(tt.resource, tt.server); got != tt.want {
				t.Errorf("MatchResource(%q, %q) = %v, want %v", tt.resource, tt.server, got, tt.want)
			}
		})
	}
}
