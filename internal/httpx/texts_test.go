package httpx

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/internal/dnstest"
)

// authority issues certificates for the servers of one test.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "canary authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t, key, cert}
}

func (a *authority) issue(name string, end time.Time) tls.Certificate {
	a.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotBefore: end.Add(-24 * time.Hour), NotAfter: end,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, a.key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.key}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// serve returns the port of a server on this machine.
func (a *authority) serve(config *tls.Config) string {
	a.t.Helper()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "hello at "+r.Host)
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.TLS = config
	srv.StartTLS()
	a.t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		a.t.Fatal(err)
	}
	return u.Port()
}

// What is wrong with the way to a server is said, each thing in words of its own, on a guarded
// client as on any other.
func TestTextsOfTheWay(t *testing.T) {
	dnstest.Serve(t, map[string][]string{"mcp.test": {"8.8.8.8"}, "as.test": {"127.0.0.1"}})
	ca, other := newAuthority(t), newAuthority(t)
	later, earlier := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	serves := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	wantsClient := serves(ca.issue("as.test", later))
	wantsClient.ClientAuth, wantsClient.ClientCAs = tls.RequireAndVerifyClientCert, ca.pool()

	refusing := func(status int, phrase string) *url.URL {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "HTTP/1.1 "+phrase+"\r\nContent-Length: 0\r\n\r\n")
		}))
		t.Cleanup(srv.Close)
		u, err := url.Parse(srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	deadAt := &url.URL{Scheme: "http", Host: "127.0.0.1:1"} // a port that no other process is given meanwhile

	tests := []struct {
		name       string
		server     *tls.Config
		proxy      *url.URL
		want       string
		onlyIfOurs bool // a transport of the program has less to say
	}{
		{name: "unknown authority", server: serves(other.issue("as.test", later)), want: "the server's certificate is from an authority that is not trusted here: if it is yours, add it to the RootCAs of the transport's TLSClientConfig"},
		{name: "wrong host name", server: serves(ca.issue("canary.test", later)), want: "the server's certificate is for another host name: check the URL"},
		{name: "expired", server: serves(ca.issue("as.test", earlier)), want: "the server's certificate has expired or is not valid yet, by this machine's clock"},
		{name: "no client certificate", server: wantsClient, want: "the server ended the TLS handshake: certificate required"},
		{name: "proxy refuses", server: serves(ca.issue("as.test", later)), proxy: refusing(403, "403 Forbidden"), want: "the proxy refused to connect to the server (HTTP status 403)"},
		{name: "proxy wants a login", server: serves(ca.issue("as.test", later)), proxy: refusing(407, "407 Proxy Authentication Required"), want: "the proxy refused to connect to the server (HTTP status 407): put the proxy's user and password into its URL"},
		{name: "proxy refuses in its own words", server: serves(ca.issue("as.test", later)), proxy: refusing(503, "503 canary"), want: "the proxy refused to connect to the server (HTTP status 503)", onlyIfOurs: true},
		{name: "dead proxy", server: serves(ca.issue("as.test", later)), proxy: deadAt, want: "the proxy cannot be reached: connection refused"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			target := "https://as.test:" + ca.serve(tt.server)
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.pool()}, DisableKeepAlives: true}
			if tt.proxy != nil {
				transport.Proxy = http.ProxyURL(tt.proxy)
			}
			for name, c := range map[string]*http.Client{
				"the program's own": {Transport: transport},
				"guarded":           guardedBy(policy(t, []string{"as.test"}, nil), "https://mcp.test/mcp", transport),
			} {
				_, err := c.Get(target)
				text := NewTransportError(err).Error()
				if text != tt.want && !(tt.onlyIfOurs && name != "guarded") || strings.Contains(text, "canary") {
					t.Errorf("%s: error %q, want %q", name, text, tt.want)
				}
			}
		})
	}
}

// One transport with an authority and a client certificate of the program's serves guarded
// requests as it does others, and the guard stays.
func TestGuardKeepsCertificates(t *testing.T) {
	dnstest.Serve(t, map[string][]string{"mcp.test": {"8.8.8.8"}, "as.test": {"127.0.0.1"}, "evil.test": {"127.0.0.1"}})
	ca := newAuthority(t)
	config := &tls.Config{
		Certificates: []tls.Certificate{ca.issue("as.test", time.Now().Add(time.Hour))},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: ca.pool(),
	}
	port := ca.serve(config)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.TLSClientConfig = &tls.Config{RootCAs: ca.pool(), Certificates: []tls.Certificate{ca.issue("me.test", time.Now().Add(time.Hour))}}
	defer transport.CloseIdleConnections()
	guarded := guardedBy(policy(t, []string{"as.test"}, nil), "https://mcp.test/mcp", transport)
	defer guarded.CloseIdleConnections()
	for name, c := range map[string]*http.Client{"own": {Transport: transport}, "guarded": guarded} {
		resp, err := c.Get("https://as.test:" + port)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		wantAnswer(t, resp, err)
	}
	if _, err := guarded.Get("https://evil.test:" + port); err == nil {
		t.Error("the guard is gone")
	} else {
		wantRefused(t, err, ErrPrivateAddress, "Config.Network.Private")
	}
	// So does a home that is found to be private by the same certificates.
	home := guardedBy(nil, "https://as.test:"+port+"/mcp", transport)
	defer home.CloseIdleConnections()
	resp, err := home.Get("https://as.test:" + port)
	wantAnswer(t, resp, err)
}
