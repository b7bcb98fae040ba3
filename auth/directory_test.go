package auth_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// gateway is a pool whose configuration names no server, and a function for a
// user of it who presents a token that the resource rejects; nil: none.
func (k *kit) gateway(cfg auth.Config) (*auth.Pool, func(user string) (*auth.Token, error)) {
	cfg.Store, cfg.NoIdleRefresh = new(auth.MemoryStore), true
	p := k.pool(auth.PoolConfig{Config: always(cfg), Idle: 24 * time.Hour})
	return p, func(user string) (*auth.Token, error) {
		src := p.Source(user, k.res.URL)
		tok, err := src.Token(k.t.Context())
		if err != nil {
			return k.send(src, nil)
		}
		return k.replace(src, tok)
	}
}

// A hundred users of one resource look for it once: when they log in, and when
// all of their tokens are rejected.
func TestManagersShareDiscovery(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		cfg := k.discovered()
		cfg.Client = auth.Client{ID: clientID}
		_, challenged := k.gateway(cfg)
		k.srv.InjectAlways(authtest.ResourceMetadataEndpoint, authtest.Delay(time.Second)) // for all of them to meet
		k.srv.InjectAlways(authtest.MetadataEndpoint, authtest.Delay(time.Second))
		for round := 1; round <= 3; round++ {
			together(100, func(i int) {
				if tok, err := challenged(strconv.Itoa(i)); err != nil || tok == nil {
					t.Errorf("round %d: %v", round, err)
				}
			})
			// Whoever logs in needs the server's metadata; who refreshes has them.
			if c := k.srv.Counts(); c.ResourceMetadata != round || c.Metadata != 1 {
				t.Errorf("after %d rounds %d and %d requests for metadata", round, c.ResourceMetadata, c.Metadata)
			}
			time.Sleep(10 * time.Minute)
		}
		if c := k.srv.Counts(); c.Authorize != 100 || c.Refreshes != 200 {
			t.Errorf("%+v", c)
		}
	})
}

// Nor does each of them register a client.
func TestManagersShareARegistration(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		_, challenged := k.gateway(k.discovered())
		k.srv.InjectAlways(authtest.RegistrationEndpoint, authtest.Delay(time.Second))
		together(100, func(i int) {
			if tok, err := challenged(strconv.Itoa(i)); err != nil || k.call(tok) != http.StatusOK {
				t.Error(err)
			}
		})
		if c := k.srv.Counts(); c.Register != 1 || c.Authorize != 100 {
			t.Errorf("%d registrations, %d logins", c.Register, c.Authorize)
		}
	})
}

// One of them finds that the resource has moved; the others, with tokens that are
// as old, take that over.
func TestManagersMoveTogether(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var issuers []string
		k := newKit(t, authtest.Config{}, authtest.Protection{Metadata: func(doc map[string]any) { doc["authorization_servers"] = issuers }})
		issuers = []string{k.srv.Issuer}
		next := authtest.NewServerConfig(t, authtest.Config{Peer: k.srv})
		p, challenged := k.gateway(k.discovered())
		const users = 20
		for i := range users {
			if _, err := challenged(strconv.Itoa(i)); err != nil {
				t.Fatal(err)
			}
		}
		before := k.srv.Counts()
		if before.ResourceMetadata != 1 {
			t.Errorf("%d requests for metadata", before.ResourceMetadata)
		}
		issuers = []string{next.Issuer} // at this very moment
		for i := range users {
			if _, err := challenged(strconv.Itoa(i)); err != nil {
				t.Fatal(err)
			}
			if err := p.Source(strconv.Itoa(i), k.res.URL).Use(func(m *auth.Manager) error {
				if got := m.Info().Issuer; got != next.Issuer {
					return fmt.Errorf("issuer %s", got)
				}
				return nil
			}); err != nil {
				t.Error(i, err)
			}
		}
		after := k.srv.Counts()
		if n := after.ResourceMetadata - before.ResourceMetadata; n != 1 || next.Counts().Metadata != 1 {
			t.Errorf("%d and %d requests for metadata", n, next.Counts().Metadata)
		}
		if after.Refreshes != 0 || next.Counts().Authorize != users {
			t.Errorf("%d refreshes at the old server, %d logins at the new", after.Refreshes, next.Counts().Authorize)
		}
	})
}

// A token that another process got at the new server is not taken for one of a
// server that was left, only because the list here is older.
func TestOldListDoesNotCondemnANewToken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var issuers []string
		k := newKit(t, authtest.Config{}, authtest.Protection{Metadata: func(doc map[string]any) { doc["authorization_servers"] = issuers }})
		issuers = []string{k.srv.Issuer}
		next := authtest.NewServerConfig(t, authtest.Config{Peer: k.srv})
		cfg := k.discovered()
		cfg.Store, cfg.NoIdleRefresh = struct{ auth.Store }{new(auth.MemoryStore)}, true // without hints
		here, there := k.manager(cfg), k.manager(cfg)
		old, err := here.Authorize(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if _, err := k.replace(here, old); err != nil { // looks at the list
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		issuers = []string{next.Issuer}
		if _, err := k.replace(there, mustToken(t, there)); err != nil {
			t.Fatal(err)
		}
		adopted, err := here.Refresh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.replace(here, adopted); err != nil {
			t.Fatal(err)
		}
		if c := next.Counts(); c.Refreshes != 1 || c.Authorize != 1 {
			t.Errorf("%d refreshes and %d logins at the new server", c.Refreshes, c.Authorize)
		}
	})
}

// What is known of the resource is looked up again after a minute, what is known
// of its server after an hour or when an endpoint has moved. Old endpoints are
// better than none.
func TestMetadataLastForAWhile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{AccessTokenTTL: 24 * time.Hour}, authtest.Protection{})
		cfg := k.discovered()
		cfg.Client = auth.Client{ID: clientID}
		p, challenged := k.gateway(cfg)
		var counts []int
		step := func(do func() error) {
			t.Helper()
			if err := do(); err != nil {
				t.Fatal(err)
			}
			c := k.srv.Counts()
			counts = append(counts, c.ResourceMetadata, c.Metadata)
		}
		login := func(user string) func() error {
			return func() error { _, err := challenged(user); return err }
		}
		refresh := func() error {
			return p.Source("a", k.res.URL).Use(func(m *auth.Manager) error { _, err := m.Refresh(t.Context()); return err })
		}
		step(login("a"))
		time.Sleep(59 * time.Second)
		step(login("b"))
		time.Sleep(time.Second)
		step(login("c"))
		time.Sleep(59 * time.Minute)
		step(refresh)
		time.Sleep(time.Minute)
		step(refresh)
		time.Sleep(2 * time.Hour)
		k.srv.InjectAlways(authtest.MetadataEndpoint, authtest.Status(http.StatusServiceUnavailable))
		if err := refresh(); err != nil {
			t.Errorf("with old metadata: %v", err)
		}
		k.srv.ClearFaults(authtest.MetadataEndpoint)
		if want := []int{1, 1, 1, 1, 2, 2, 2, 2, 2, 3}; !slices.Equal(counts, want) {
			t.Errorf("requests for metadata %v, want %v", counts, want)
		}
		k.srv.Inject(authtest.TokenEndpoint, authtest.Status(http.StatusNotFound))
		before := k.srv.Counts().Metadata
		if err := refresh(); err == nil {
			t.Error("no error")
		}
		time.Sleep(time.Minute)
		if err := refresh(); err != nil || k.srv.Counts().Metadata == before {
			t.Errorf("after 404: %v, %d requests for metadata", err, k.srv.Counts().Metadata-before)
		}
	})
}
