package weblogin_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/clientauth"
	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/auth/weblogin"
)

// The document says what the configuration does, and a server would take it.
func TestDocument(t *testing.T) {
	logins, err := weblogin.New(weblogin.Config{BaseURL: base, Store: new(auth.MemoryStore), Subject: func(*http.Request) (string, error) { return "", nil }})
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cfg := &auth.Config{
		ClientMetadataURL: "https://gateway.example/oauth/client.json", ClientMetadataAuth: clientauth.PrivateKeyJWT{Key: key, KeyID: "1"},
		Registration: registration.Metadata{ClientName: "Gateway"},
	}
	h, err := logins.Document(cfg)
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
		return w
	}
	doc := get("/oauth/client.json").Body.Bytes()
	if err := registration.ValidateDocument(cfg.ClientMetadataURL, doc); err != nil {
		t.Error(err)
	}
	var said struct {
		Redirects []string `json:"redirect_uris"`
		Method    string   `json:"token_endpoint_auth_method"`
		Keys      string   `json:"jwks_uri"`
	}
	if err := json.Unmarshal(doc, &said); err != nil || said.Redirects[0] != logins.RedirectURI() || said.Method != "private_key_jwt" || said.Keys != "https://gateway.example/oauth/jwks.json" {
		t.Errorf("%+v, %v", said, err)
	}
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(get("/oauth/jwks.json").Body.Bytes(), &set); err != nil || len(set.Keys) != 1 || set.Keys[0]["kty"] != "EC" || set.Keys[0]["d"] != "" || set.Keys[0]["kid"] != "1" {
		t.Errorf("%v, %v", set, err)
	}
	if code := get("/oauth/other").Code; code != http.StatusNotFound {
		t.Errorf("HTTP %d for another path", code)
	}
	cfg.ClientMetadataURL = "http://gateway.example/client.json"
	var config *auth.ConfigError
	if _, err := logins.Document(cfg); !errors.As(err, &config) {
		t.Errorf("plain HTTP: %v", err)
	}
}

// What is sealed opens with the same key and name only.
func TestSealer(t *testing.T) {
	sealer := func(first byte) *weblogin.Sealer {
		s, err := weblogin.NewSealer(append([]byte{first}, make([]byte, 31)...))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := sealer(1)
	value := s.Seal("alice", []byte("kept"))
	if got, err := s.Open("alice", value); err != nil || string(got) != "kept" {
		t.Errorf("got %q, %v", got, err)
	}
	for name, open := range map[string]func() ([]byte, error){
		"another name": func() ([]byte, error) { return s.Open("mallory", value) },
		"another key":  func() ([]byte, error) { return sealer(2).Open("alice", value) },
		"damaged":      func() ([]byte, error) { return s.Open("alice", value[:len(value)-4]+"AAAA") },
		"not base64":   func() ([]byte, error) { return s.Open("alice", "%") },
		"empty":        func() ([]byte, error) { return s.Open("alice", "") },
	} {
		if _, err := open(); !errors.Is(err, weblogin.ErrSealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := weblogin.NewSealer([]byte("short")); err == nil {
		t.Error("a short key is taken")
	}
}
