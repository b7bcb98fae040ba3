package auth_test

import (
	"crypto/tls"
	"crypto/x509"
	"log"
	"net/http"
	"os"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/transport"
)

// A compose file: both servers in plain HTTP, by the names of their services.
func ExampleNetwork_compose() {
	m, err := auth.NewManager(auth.Config{
		Resource: "http://mcp:8000/mcp",
		Grant:    grant.ClientCredentials{},
		Client:   auth.Client{ID: "worker", Secret: os.Getenv("CLIENT_SECRET"), Issuer: "http://keycloak:8080/realms/mcp"},
		Network:  auth.Network{PlainHTTP: []string{"mcp:8000", "keycloak:8080"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
}

// A cluster: TLS by the cluster's own authority, addresses of the service network.
func ExampleNetwork_kubernetes() {
	ca, err := os.ReadFile("/etc/cluster-ca/ca.crt")
	if err != nil {
		log.Print(err)
		return
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.TLSClientConfig = &tls.Config{RootCAs: roots}

	m, err := auth.NewManager(auth.Config{
		Resource:   "https://mcp.example.com/mcp",
		HTTPClient: &http.Client{Transport: base},
		Network:    auth.Network{Private: []string{"*.svc.cluster.local", "10.96.0.0/12"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	client := &http.Client{Transport: &transport.RoundTripper{Source: m}}
	_ = client
}

// An instrument around every request to the authorization server, with the checks below it.
func ExampleNetwork_wrap() {
	instrument := func(base http.RoundTripper) http.RoundTripper {
		return base // otelhttp.NewTransport(base)
	}
	m, err := auth.NewManager(auth.Config{
		Resource: "https://mcp.example.com/mcp",
		Network:  auth.Network{Wrap: instrument},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
}
