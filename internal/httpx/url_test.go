package httpx

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestCheckURL(t *testing.T) {
	for _, raw := range []string{
		"https://as.example.com",
		"https://as.example.com:8443/token?tenant=a",
		"HTTPS://AS.EXAMPLE.COM/",
		"https://10.0.0.1/token",
		"http://localhost/token",
		"http://LOCALHOST:8080/token",
		"http://127.0.0.1:8080/",
		"http://127.8.9.10/",
		"http://[::1]:8080/",
		"https://[2001:db8::1]:8443/",
		"https://[fe80::1%25eth0]/",
		"https://xn--bcher-kva.example./",
		"https://my_host-1:65535/",
		"https://as.example.com/caf\u00e9/%20",
	} {
		if u, err := CheckURL("token_endpoint", raw); err != nil || u.String() == "" {
			t.Errorf("CheckURL(%q) = %v, %v, want no error", raw, u, err)
		}
	}

	refused := []struct{ name, raw, why string }{
		{"bidirectional host", "https://as\u202e.example/canary", "has a host"},
		{"control character in the host", "https://as\u009b.example/canary", "has a host"},
		{"escaped host", "https://%E2%80%AE.example/canary", "has a host"},
		{"host with a slash", "https://a%2fb.example/canary", "is not a URL"},
		{"host for a shell", "https://$(canary)/", "has a host"},
		{"host with quotes", "https://a'canary'.example/", "has a host"},
		{"host with an ampersand", "https://a&canary.exe/", "has a host"},
		{"international host", "https://b\u00fccher.example/canary", "xn--"},
		{"look-alike host", "https://\u0430s.example.com/canary", "xn--"},
		{"zone", "https://[fe80::1%25\u202ecanary]/", "has a host"},
		{"no address", "https://[canary]/", "is not a URL"},
		{"IPv4 in brackets", "https://[10.0.0.1]/canary", "is not a URL"},
		{"port", "https://as.example.com:99999/canary", "has a host"},
		{"long host", "https://" + strings.Repeat("h", 300) + "/canary", "has a host"},
		{"bidirectional path", "https://as.example.com/\u202ecanary", "cannot be seen"},
		{"zero-width query", "https://as.example.com/?\u200bcanary", "cannot be seen"},
		{"empty", "", "is empty"},
		{"unparsable", "https://as.example.com:canary/", "is not a URL"},
		{"control character", "https://as.example.com/\ncanary", "is not a URL"},
		{"relative", "/canary", "is not absolute"},
		{"no scheme", "as.example.com/canary", "is not absolute"},
		{"scheme only", "https:///canary", "is not absolute"},
		{"port only", "https://:443/canary", "is not absolute"},
		{"opaque", "mailto:canary", "is not absolute"},
		{"plain http", "http://as.example.com/canary?canary", `is "http://as.example.com", unencrypted`},
		{"plain http to a private address", "http://10.0.0.1/canary", "unencrypted"},
		{"plain http to the unspecified address", "http://0.0.0.0/canary", "unencrypted"},
		{"plain http below localhost", "http://app.localhost/canary", "unencrypted"},
		{"plain http with a misleading name", "http://localhost.example.com/canary", "unencrypted"},
		{"other scheme", "ftp://as.example.com/canary", `scheme "ftp"`},
		{"file", "file://localhost/canary", `scheme "file"`},
		{"user", "https://canary@as.example.com/", "user name or password"},
		{"password", "https://user:canary@as.example.com/", "user name or password"},
		{"fragment", "https://as.example.com/#canary", "fragment"},
		{"empty fragment", "https://as.example.com/#", "fragment"},
	}
	for _, tt := range refused {
		t.Run(tt.name, func(t *testing.T) {
			u, err := CheckURL("token_endpoint", tt.raw)
			if u != nil || !errors.Is(err, ErrInsecureURL) {
				t.Fatalf("CheckURL(%q) = %v, %v, want ErrInsecureURL", tt.raw, u, err)
			}
			for _, want := range []string{"token_endpoint", tt.why} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("error %q repeats more than scheme and host", err)
			}
		})
	}
}

func TestIsLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost":        true,
		"LocalHost":        true,
		"127.0.0.1":        true,
		"127.255.255.254":  true,
		"::1":              true,
		"::ffff:127.0.0.1": true,
		"":                 false,
		"localhost.":       false,
		"app.localhost":    false,
		"128.0.0.1":        false,
		"0.0.0.0":          false,
		"::":               false,
		"127.1":            false,
		"2130706433":       false,
		"example.com":      false,
	} {
		if got := IsLoopback(host); got != want {
			t.Errorf("IsLoopback(%q) = %v, want %v", host, got, want)
		}
	}
}

func TestSameOrigin(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{"https://h/a", "https://h/b?c", true},
		{"https://h", "HTTPS://H:443/", true},
		{"http://h:80", "http://h", true},
		{"https://[::1]:8443", "https://[::1]:8443/x", true},
		{"https://h", "http://h", false},
		{"https://h", "https://h:8443", false},
		{"http://h:443", "https://h", false},
		{"https://h", "https://h.example.com", false},
		{"https://h:80", "https://h", false},
	}
	for _, tt := range tests {
		if got := SameOrigin(mustParse(t, tt.a), mustParse(t, tt.b)); got != tt.want {
			t.Errorf("SameOrigin(%q, %q) = %v, want %v", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestOrigin(t *testing.T) {
	for raw, want := range map[string]string{
		"HTTPS://MCP.Example.com:443/Path?q#f": "https://mcp.example.com",
		"http://[::1]:8080/":                   "http://[::1]:8080",
		"http://user@localhost:80":             "http://localhost",
		"https://h:80":                         "https://h:80",
	} {
		if got := Origin(mustParse(t, raw)); got != want {
			t.Errorf("Origin(%q) = %q, want %q", raw, got, want)
		}
	}
}

func TestHasDotSegment(t *testing.T) {
	for path, want := range map[string]bool{
		"":          false,
		"/a/b":      false,
		"/a.b/..c":  false,
		"/.hidden":  false,
		"/a/../b":   true,
		"/a/.":      true,
		"..":        true,
		"/.well-k/": false,
	} {
		if got := HasDotSegment(path); got != want {
			t.Errorf("HasDotSegment(%q) = %v, want %v", path, got, want)
		}
	}
}

func mustParse(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestShownIssuer(t *testing.T) {
	for raw, want := range map[string]string{
		"https://as.example/{tenantid}/v2.0": "https://as.example/{tenantid}/v2.0", // Microsoft Entra ID
		"https://as.example:443/x/":          "https://as.example:443/x/",
		"https://AS.example/%7Ex":            "https://AS.example/%7Ex",
		"https://canary:canary@as.example/x": "https://as.example/x",
		"https://as.example/x?canary":        "https://as.example/x",
		"https://as.example/x#canary":        "https://as.example/x",
		"https://as.example/x\" canary":      "https://as.example/x%22%20canary",
		"https://as.example/\u0430":          "https://as.example/%D0%B0",
		"https://as.example/\x1b[2J":         "",
		"canary":                             "",
		"https://as.example/" + longPath:     "https://as.example/" + longPath[:280] + "…",
	} {
		if got := ShownIssuer(raw); got != want {
			t.Errorf("%q is shown as %q, want %q", raw, got, want)
		}
	}
}

var longPath = strings.Repeat("x", 1000)
