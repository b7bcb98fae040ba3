package auth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// brokenConnection goes wrong before a server has said a word.
type brokenConnection struct {
	name string
	// real connections are for TLS, whose certificates have today's dates. Nothing
	// of those is retried.
	real bool
	make func(t *testing.T) (url string, tr *http.Transport)
}

var brokenConnections = []brokenConnection{
	{"unknown CA", true, func(t *testing.T) (string, *http.Transport) { return tlsServer(t, "127.0.0.1", time.Hour, false) }},
	{"certificate for another name", true, func(t *testing.T) (string, *http.Transport) { return tlsServer(t, "other.example", time.Hour, true) }},
	{"expired certificate", true, func(t *testing.T) (string, *http.Transport) { return tlsServer(t, "127.0.0.1", -time.Hour, true) }},
	{"dead proxy", false, func(t *testing.T) (string, *http.Transport) {
		tr := failing(&net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)})
		tr.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.example:3128"})
		return "https://as.example", tr
	}},
	{"proxy that wants a password", false, func(*testing.T) (string, *http.Transport) {
		tr := saying("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
		tr.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.example:3128"})
		return "https://as.example", tr
	}},
	{"no such host", false, func(*testing.T) (string, *http.Transport) {
		return "https://as.example", failing(&net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "as.example", IsNotFound: true}})
	}},
	{"refused connection", false, func(*testing.T) (string, *http.Transport) {
		return "https://as.example", failing(&net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)})
	}},
	{"HTTP on the TLS port", false, func(*testing.T) (string, *http.Transport) {
		return "https://as.example", saying("HTTP/1.1 400 Bad Request\r\n\r\n")
	}},
}

var troubled = brokenConnection{"a server with trouble", false, func(*testing.T) (string, *http.Transport) {
	return "http://localhost", saying("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
}}

// connectionCases are broken connections at each step. What net/http and
// crypto/tls make of them is the point.
func connectionCases() (list []errorCase) {
	for _, broken := range brokenConnections {
		for _, step := range []string{"discovery", "configured issuer", "registration", "token", "revocation"} {
			list = append(list, errorCase{step + ": " + broken.name, !broken.real, func(t *testing.T) error {
				at, tr := broken.make(t)
				t.Cleanup(tr.CloseIdleConnections)
				return connect(t, step, at, &http.Client{Transport: tr, Timeout: 5 * time.Second})
			}})
		}
	}
	return list
}

// failing is a transport that cannot connect.
func failing(err error) *http.Transport {
	return &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, err }}
}

// saying is a transport whose connections answer whatever is sent with text.
func saying(text string) *http.Transport {
	return &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			if _, err := server.Read(make([]byte, 8<<10)); err != nil {
				return
			}
			_, _ = io.WriteString(server, text)
		}()
		return client, nil
	}}
}

// A person who asks to be logged in at a server that is not there hears of it
// after one more try, not after all of RefreshTimeout. A server that is there and
// has trouble is given its time.
func TestAuthorizeSaysSoonThatNobodyIsThere(t *testing.T) {
	for _, broken := range append(slices.Clone(brokenConnections), troubled) {
		if broken.real {
			continue
		}
		t.Run(broken.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				at, tr := broken.make(t)
				start := time.Now()
				err := connect(t, "discovery", at, &http.Client{Transport: tr, Timeout: 5 * time.Second})
				took := time.Since(start)
				there := broken.name == troubled.name
				if err == nil || !there && took > time.Second || there && took < 5*time.Second {
					t.Errorf("%v after %v", err, took)
				}
			})
		})
	}
}

// connect is the error of a step at a server that cannot be reached.
func connect(t *testing.T, step, at string, client *http.Client) error {
	cfg := auth.Config{
		Resource: "https://mcp.example/mcp", HTTPClient: client, Client: auth.Client{ID: clientID},
		Network: auth.Network{AnyAddress: true}, NoIdleRefresh: true, Grant: grant.AuthorizationCode{UserAgent: brokenAgent{answer: url.Values{"code": {"c"}}}},
	}
	srv := &auth.Server{
		Issuer: at, AuthorizationEndpoint: at + "/authorize", TokenEndpoint: at + "/token",
		RegistrationEndpoint: at + "/register", RevocationEndpoint: at + "/revoke",
	}
	switch step {
	case "discovery":
		cfg.Resource, cfg.Client = at+"/mcp", auth.Client{}
	case "configured issuer":
		cfg.Server = &auth.Server{Issuer: at}
	case "registration":
		cfg.Server, cfg.Client = srv, auth.Client{}
	default:
		cfg.Server, cfg.Grant = srv, nil
	}
	m, err := auth.NewManager(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if cfg.Grant != nil {
		_, err = m.Authorize(t.Context())
		return err
	}
	tok := &auth.Token{AccessToken: "access-token", RefreshToken: "refresh-token", Expiry: time.Now().Add(time.Hour)}
	if err := m.SetToken(t.Context(), tok); err != nil {
		t.Fatal(err)
	}
	if step == "revocation" {
		return m.Revoke(t.Context())
	}
	_, err = m.Refresh(t.Context())
	return err
}

// tlsServer is a server with a certificate for a name, which ends after life, and
// a transport that trusts it or not.
func tlsServer(t *testing.T, name string, life time.Duration, trusted bool) (string, *http.Transport) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(life),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if ip := net.ParseIP(name); ip != nil {
		cert.IPAddresses = []net.IP{ip}
	} else {
		cert.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	tr := &http.Transport{}
	if trusted {
		pool := x509.NewCertPool()
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		pool.AddCert(parsed)
		tr.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return srv.URL, tr
}
