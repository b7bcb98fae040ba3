package filestore_test

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/store"
	"github.com/mcptokens/mcptokens/auth/store/filestore"
)

// A record is damaged while a process has the token, and one that has none finds it
// first and moves it aside. The first puts its own back. A logout meanwhile is one.
func TestDamageIsFoundByAnother(t *testing.T) {
	for name, tc := range map[string]struct {
		meanwhile func(t *testing.T, s *filestore.Store, key auth.Key) error
		want      error
	}{
		"nothing": {func(*testing.T, *filestore.Store, auth.Key) error { return nil }, nil},
		"it asks": {func(t *testing.T, s *filestore.Store, key auth.Key) error {
			_, err := s.Load(t.Context(), key)
			return err
		}, nil},
		"it deletes": {func(t *testing.T, s *filestore.Store, key auth.Key) error { return s.Delete(t.Context(), key, 1) }, auth.ErrNoToken},
	} {
		dir := t.TempDir()
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := authtest.NewServerConfig(t, authtest.Config{InMemory: true})
				srv.AddClient("client", "")
				res := srv.Protect(http.NotFoundHandler(), authtest.Protection{})
				s, err := filestore.Open(dir)
				if err != nil {
					t.Fatal(err)
				}
				m, err := auth.NewManager(auth.Config{
					Resource: res.URL, Client: auth.Client{ID: "client"}, Store: s, HTTPClient: srv.Client(), NoIdleRefresh: true,
					Server: &auth.Server{Issuer: srv.Issuer, TokenEndpoint: srv.Endpoint(authtest.TokenEndpoint)},
				})
				if err != nil {
					t.Fatal(err)
				}
				defer m.Close()
				p := srv.IssueToken(nil, res.URL)
				if err := m.SetToken(t.Context(), &auth.Token{AccessToken: p.AccessToken, RefreshToken: p.RefreshToken, Expiry: p.Expiry}); err != nil {
					t.Fatal(err)
				}
				key := auth.Key{Resource: res.URL, Issuer: srv.Issuer, ClientID: "client"}
				path := s.Dir() + "/" + key.ID() + ".json"
				write(t, path, "no record")
				other, err := filestore.Open(s.Dir())
				if err != nil {
					t.Fatal(err)
				}
				_, err = other.Load(t.Context(), key)
				fails(t, err, store.ErrCorrupt, path, "moved to ")
				if err := tc.meanwhile(t, other, key); err != nil && !errors.Is(err, auth.ErrNotFound) {
					t.Fatal(err)
				}
				for { // for some seconds somebody else may have a newer one
					_, err = m.Refresh(t.Context())
					var later *auth.TokenError
					if err == nil || !errors.As(err, &later) {
						break
					}
					time.Sleep(time.Second)
				}
				if !errors.Is(err, tc.want) {
					t.Errorf("Refresh: %v, want %v", err, tc.want)
				}
				if _, err := other.Load(t.Context(), key); (err == nil) != (tc.want == nil) || errors.Is(err, store.ErrCorrupt) {
					t.Errorf("Load after that: %v", err)
				}
			})
		})
	}
}
