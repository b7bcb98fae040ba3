package auth

import (
	"errors"
	"strings"
	"testing"
)

// An error shows what a resource calls its server, and terminals come to no harm.
func TestIssuerFoundIsShownSafely(t *testing.T) {
	evil := "https://as.example/\u202e\u009b" + strings.Repeat("x", 4000)
	err := new(credentials).check(&Server{Issuer: evil}, "the client's secret")
	var ce *ConfigError
	if !errors.As(err, &ce) || ce.Field != "Config.Client.Issuer" || !strings.Contains(ce.Problem, "https://as.example/") {
		t.Fatalf("error %v", err)
	}
	if text := ce.Error(); strings.ContainsAny(text, "\u202e\u009b") || len(text) > 1000 {
		t.Errorf("%d bytes: %q", len(text), text)
	}
}

// What a client with a metadata document proves itself with is the program's too.
func TestMetadataDocumentIsBound(t *testing.T) {
	const home = "https://as.example.com"
	for _, tt := range []struct {
		name, issuer, at string
		auth             ClientAuth
		anywhere, ok     bool
	}{
		{"nothing to prove", "", "https://evil.example", nil, false, true},
		{"no issuer named", "", "https://evil.example", secretAuth("client_secret_post"), false, false},
		{"none of its own", "", "https://evil.example", secretAuth("none"), false, true},
		{"another issuer", home, "https://evil.example", secretAuth("client_secret_post"), false, false},
		{"another issuer, discovery trusted", home, "https://evil.example", secretAuth("client_secret_post"), true, false},
		{"the issuer", home, home, secretAuth("client_secret_post"), false, true},
		{"the issuer with a slash", home, home + "/", secretAuth("client_secret_post"), false, true},
		{"discovery trusted", "", "https://evil.example", secretAuth("client_secret_post"), true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			own, _ := newCredentials(nil, &Client{Issuer: tt.issuer}, tt.auth, nil, tt.anywhere)
			c := &clients{ours: &ourClient{metadataURL: "https://client.example/id", metadataAuth: tt.auth}, credentials: own}
			srv := &Server{Issuer: tt.at, ClientIDMetadataDocumentSupported: true}
			got, err := c.known(srv, &Record{Issuer: tt.at})
			if (err == nil) != tt.ok || (err == nil) != (got != nil) || (c.mayMeet(srv, new(Record)) == nil) != tt.ok {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

// What is stored leads a client with a secret to the issuer that the program
// named, and to no other; a public client goes where its tokens are from.
func TestStoredServerIsTheNamedOne(t *testing.T) {
	const home, evil = "https://as.example.com", "https://evil.example"
	for _, tt := range []struct {
		name   string
		client Client
		issuer string
		ok     bool
	}{
		{"a secret, at home", Client{ID: "c", Secret: "s", Issuer: home}, home, true},
		{"a secret, elsewhere", Client{ID: "c", Secret: "s", Issuer: home}, evil, false},
		{"a proof, elsewhere", Client{ID: "c", Auth: secretAuth("private_key_jwt"), Issuer: home}, evil, false},
		{"a secret, no issuer named", Client{ID: "c", Secret: "s"}, evil, false},
		{"public", Client{ID: "c"}, evil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := newShared(Config{Resource: "https://mcp.example.com", Client: tt.client})
			if err != nil {
				t.Fatal(err)
			}
			srv := s.obtainer.stored(&Record{Issuer: tt.issuer, Endpoints: &Endpoints{Token: tt.issuer + "/token"}})
			if (srv != nil) != tt.ok {
				t.Errorf("server %+v", srv)
			}
		})
	}
}
