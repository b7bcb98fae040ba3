package httpx

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/internal/dnstest"
)

// site is a TLS server on this machine with a certificate for example.com and 127.0.0.1, and
// a transport that trusts it.
func site(t *testing.T) (port string, open *http.Transport) {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
		_, _ = io.WriteString(w, "at "+r.Host)
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // a client that does not trust it is what some tests are about
	srv.StartTLS()
	t.Cleanup(srv.Close)
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	open = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Port(), open
}

// A server on the Internet does not lead to this machine's network by any name or address; one
// that is shown to be there does.
func TestGuard(t *testing.T) {
	port, open := site(t)
	tests := []struct {
		name, home, target, issuer string
		addrs                      map[string][]string
		refused                    bool
	}{
		{name: "a name that resolves to loopback", home: "https://mcp.test/mcp", target: "https://example.com:" + port,
			addrs: map[string][]string{"example.com": {"127.0.0.1"}, "mcp.test": {"8.8.8.8"}}, refused: true},
		{name: "loopback by number", home: "https://mcp.test/mcp", target: "https://127.0.0.1:" + port,
			addrs: map[string][]string{"mcp.test": {"8.8.8.8"}}, refused: true},
		{name: "a private address by number", home: "https://8.8.8.8/mcp", target: "https://10.0.0.1", refused: true},
		{name: "the cloud's metadata", home: "https://8.8.8.8/mcp", target: "https://169.254.169.254", refused: true},
		{name: "mapped into IPv6", home: "https://8.8.8.8/mcp", target: "https://[::ffff:10.0.0.1]", refused: true},
		{name: "the server itself, which is here", home: "https://example.com:" + port + "/mcp", target: "https://example.com:" + port,
			addrs: map[string][]string{"example.com": {"127.0.0.1"}}},
		{name: "another host, as the server is here", home: "https://example.com:" + port + "/mcp", target: "https://127.0.0.1:" + port,
			addrs: map[string][]string{"example.com": {"127.0.0.1"}}},
		// Its owner lets the name point here, but nobody here answers to it.
		{name: "a server that only says it is here", home: "https://evil.test:" + port + "/mcp", target: "https://example.com:" + port,
			addrs: map[string][]string{"evil.test": {"127.0.0.1"}, "example.com": {"127.0.0.1"}}, refused: true},
		{name: "the issuer that the user named", home: "https://mcp.test/mcp", target: "https://example.com:" + port, issuer: "https://example.com:" + port + "/tenant",
			addrs: map[string][]string{"example.com": {"127.0.0.1"}, "mcp.test": {"8.8.8.8"}}},
		{name: "another port of that issuer's host", home: "https://mcp.test/mcp", target: "https://example.com:" + port, issuer: "https://example.com",
			addrs: map[string][]string{"example.com": {"127.0.0.1"}, "mcp.test": {"8.8.8.8"}}, refused: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dnstest.Serve(t, tt.addrs)
			c := guarded(tt.home, tt.issuer, open)
			for range 2 { // what was learnt stands
				resp, err := c.Post(tt.target, "text/plain", strings.NewReader("hello "))
				if tt.refused {
					var te *TransportError
					if !errors.Is(err, ErrPrivateAddress) || !errors.As(error(NewTransportError(err)), &te) || te.Temporary() ||
						!strings.Contains(te.Error(), "set an HTTPClient") {
						t.Fatalf("Post: %v, want ErrPrivateAddress", err)
					}
					continue
				}
				if err != nil {
					t.Fatalf("Post: %v", err)
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil || !strings.HasPrefix(string(body), "hello at ") {
					t.Fatalf("answer %q, %v", body, err)
				}
			}
		})
	}
}

// A name that is public when somebody looks and private when it is dialled is judged by what is
// dialled.
func TestGuardRebinding(t *testing.T) {
	port, open := site(t)
	dnstest.Serve(t, map[string][]string{"example.com": {"8.8.8.8", "127.0.0.1"}, "mcp.test": {"8.8.8.8"}})
	if got, err := net.DefaultResolver.LookupHost(t.Context(), "example.com"); err != nil || got[0] != "8.8.8.8" {
		t.Fatalf("LookupHost = %v, %v", got, err)
	}
	_, err := guarded("https://mcp.test/mcp", "", open).Get("https://example.com:" + port)
	if !errors.Is(err, ErrPrivateAddress) {
		t.Errorf("Get: %v, want ErrPrivateAddress", err)
	}
}

// Where a proxy is used, it is what is dialled, and it decides.
func TestGuardLeavesProxiesAlone(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "by proxy", http.StatusForbidden)
	}))
	defer proxy.Close()
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	open := &http.Transport{Proxy: http.ProxyURL(at), DisableKeepAlives: true}
	_, err = guarded("https://mcp.test/mcp", "", open).Get("https://example.com")
	if err == nil || errors.Is(err, ErrPrivateAddress) || !strings.Contains(err.Error(), "Forbidden") {
		t.Errorf("Get: %v, want the proxy's refusal", err)
	}
}

// Clients that are not to be guarded come back as they are.
func TestGuardLeavesAlone(t *testing.T) {
	own := &http.Client{Transport: http.DefaultTransport}
	if c := (&Home{URL: "https://mcp.test"}).Guard(own, ""); c != own {
		t.Error("a client with a transport of its own was changed")
	}
	for _, home := range []string{"http://localhost:1", "https://10.1.2.3/mcp", "https://[fd00::1]", "https://app.localhost"} {
		bare := &http.Client{}
		if c := (&Home{URL: home}).Guard(bare, ""); c != bare {
			t.Errorf("the client of %s was changed", home)
		}
	}
	bare := &http.Client{Timeout: 7}
	c := (&Home{URL: "https://mcp.test"}).Guard(bare, "")
	if g, ok := c.Transport.(guard); !ok || c.Timeout != 7 || bare.Transport != nil || g.public == g.open || g.public.Proxy != nil {
		t.Errorf("the client of a public server is %+v", c)
	}
}

func guarded(home, issuer string, open *http.Transport) *http.Client {
	return &http.Client{Transport: guard{home: &Home{URL: home}, issuer: issuer, open: open, public: newPublicTransport(open)}}
}

func TestIsPublic(t *testing.T) {
	for addr, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "2606:4700::1111": true, "64:ff9b::808:808": true, "2002:808:808::1": true,
		"172.15.0.1": true, "172.32.0.1": true, "100.63.0.1": true, "100.128.0.1": true,
		"127.0.0.1": false, "127.8.9.10": false, "::1": false, "::ffff:127.0.0.1": false, "0.0.0.0": false, "::": false, "0.1.2.3": false,
		"10.0.0.1": false, "172.16.0.1": false, "172.31.255.255": false, "192.168.1.1": false, "100.64.0.1": false,
		"169.254.169.254": false, "fe80::1": false, "fe80::1%eth0": false, "fc00::1": false, "fd00:ec2::254": false, "fec0::1": false,
		"224.0.0.1": false, "ff02::1": false, "255.255.255.255": false, "240.0.0.1": false, "192.0.0.192": false, "198.18.0.1": false,
		"64:ff9b::a00:1": false, "64:ff9b::7f00:1": false, "64:ff9b:1::1": false, "2002:a00:1::1": false, "::ffff:169.254.169.254": false,
	} {
		if got := isPublic(netip.MustParseAddr(addr)); got != want {
			t.Errorf("isPublic(%s) = %v, want %v", addr, got, want)
		}
	}
}

func TestIsLocalName(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST": true, "localhost.": true, "app.localhost": true, "127.0.0.1": true, "127.1": true,
		"2130706433": true, "0x7f000001": true, "0x7f.1": true, "017700000001": true, "::1": true, "::ffff:127.0.0.1": true,
		"0.0.0.0": true, "::": true, "169.254.169.254": true, "fe80::1": true, "fe80::1%eth0": true, "ff02::1": true,
		"": false, "example.com": false, "localhost.example.com": false, "10.0.0.1": false, "8.8.8.8": false,
		"1.example.com": false, "fd00::1": false, "notlocalhost": false,
	} {
		if got := IsLocalName(host); got != want {
			t.Errorf("IsLocalName(%q) = %v, want %v", host, got, want)
		}
	}
}
