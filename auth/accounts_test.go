package auth_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/store/filestore"
)

// subjects lists the accounts that match, by whose they are.
func subjects(t *testing.T, p *auth.Pool, of auth.Key) (list []string) {
	t.Helper()
	for e, err := range p.Accounts(t.Context(), of) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e.Key.Subject+" "+strings.Join(e.Scopes, ","))
	}
	slices.Sort(list)
	return list
}

// Accounts lists, and Logout revokes and forgets, what the key names and nothing
// else, on all replicas.
func TestAccounts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		store := new(auth.MemoryStore)
		cfg := k.onDemand()
		p := k.pool(auth.PoolConfig{Config: always(cfg), Store: store})
		other := k.pool(auth.PoolConfig{Config: always(cfg), Store: store})
		tokens := map[string]*auth.Token{}
		for _, subject := range []string{"alice", "bob", "carol"} {
			tokens[subject] = k.give(p, subject)
		}
		if got, want := subjects(t, p, auth.Key{}), []string{"alice ", "bob ", "carol "}; !slices.Equal(got, want) {
			t.Errorf("accounts %q, want %q", got, want)
		}
		for _, of := range []auth.Key{{Subject: "bob"}, {Subject: "bob", Resource: k.res.URL}, {Subject: "bob", Issuer: k.srv.Issuer}} {
			if got, want := subjects(t, p, of), []string{"bob "}; !slices.Equal(got, want) {
				t.Errorf("%v: accounts %q, want %q", of, got, want)
			}
		}
		if got := subjects(t, p, auth.Key{Issuer: "https://other.example"}); got != nil {
			t.Errorf("accounts at another server: %q", got)
		}
		if _, err := other.Source("bob", k.res.URL).Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n, err := p.Logout(t.Context(), auth.Key{Subject: "bob", Resource: k.res.URL}); n != 1 || err != nil {
			t.Errorf("logged out %d, %v", n, err)
		}
		for subject, tok := range tokens {
			if status := k.call(tok); (status == 200) != (subject != "bob") {
				t.Errorf("%s's token at the server: HTTP %d", subject, status)
			}
		}
		synctest.Wait()
		for _, one := range []*auth.Pool{p, other} {
			if _, err := one.Source("bob", k.res.URL).Token(t.Context()); !errors.Is(err, auth.ErrNoToken) {
				t.Errorf("Token = %v, want ErrNoToken", err)
			}
		}
		if n, err := p.Logout(t.Context(), auth.Key{Issuer: k.srv.Issuer}); n != 2 || err != nil {
			t.Errorf("logged out %d, %v", n, err)
		}
		if got := subjects(t, p, auth.Key{}); got != nil {
			t.Errorf("accounts left: %q", got)
		}
		var config *auth.ConfigError
		if _, err := p.Logout(t.Context(), auth.Key{}); !errors.As(err, &config) {
			t.Errorf("everybody was logged out: %v", err)
		}
		cfg.Store = store
		own := k.pool(auth.PoolConfig{Config: always(cfg)})
		_, _ = own.Source("alice", k.res.URL).Token(t.Context())
		if _, err := own.Logout(t.Context(), auth.Key{Subject: "alice"}); !errors.As(err, &config) {
			t.Errorf("a store that the pool does not know: %v", err)
		}
	})
}

// Nothing of a user who was deleted is left in the store: no token, no scopes that
// are remembered, no login under way.
func TestDeletedUserLeavesNothing(t *testing.T) {
	k := newKit(t, authtest.Config{}, authtest.Protection{})
	dir := t.TempDir()
	store, err := filestore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg := k.onDemand()
	cfg.Grant = new(linkGrant)
	p := k.pool(auth.PoolConfig{Config: always(cfg), Store: store})
	const subject = "somebody@example.com"
	tok := k.give(p, subject)
	kept := k.give(p, "another@example.com")
	// scopes that a background call lacks, and a login under way
	_, _ = p.Source(subject, k.res.URL).Resolve(auth.WithoutUser(t.Context()), tok, wants("more"))
	pending := auth.Key{Issuer: "urn:mcptokens:weblogin", ClientID: "ID", Subject: subject}
	if _, err := store.Save(t.Context(), pending, &auth.Record{ProofKey: []byte("verifier")}); err != nil {
		t.Fatal(err)
	}
	if !greps(t, dir, subject) || !greps(t, dir, tok.RefreshToken) {
		t.Fatal("the user is not in the store")
	}
	if n, err := p.Logout(t.Context(), auth.Key{Subject: subject}); n != 1 || err != nil {
		t.Errorf("logged out %d, %v", n, err)
	}
	if err := p.Close(); err != nil { // which saves what is not saved yet
		t.Fatal(err)
	}
	for _, what := range []string{subject, tok.AccessToken, tok.RefreshToken, "verifier", "more"} {
		if greps(t, dir, what) {
			t.Errorf("%q is left in the store", what)
		}
	}
	if !greps(t, dir, kept.RefreshToken) {
		t.Error("another user's token is gone")
	}
}

func greps(t *testing.T, dir, what string) (found bool) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		found = found || bytes.Contains(data, []byte(what)) || strings.Contains(path, what)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// One subscription hears of all managers.
func TestPoolSubscribe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		p := k.pool(auth.PoolConfig{Config: always(k.onDemand()), EventSubject: func(s string) string { return "hash of " + s }})
		events, stop := p.Subscribe()
		defer stop()
		for _, subject := range []string{"alice", "bob"} {
			k.give(p, subject)
			if e := <-events; e.Type != auth.EventTokenUpdated || e.Resource != k.res.URL || e.Issuer != k.srv.Issuer || e.Subject != "hash of "+subject {
				t.Errorf("event %+v", e)
			}
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if _, open := <-events; open {
			t.Error("the channel is open after Close")
		}
		if late, _ := p.Subscribe(); late == nil {
			t.Error("no channel")
		} else if _, open := <-late; open {
			t.Error("a subscription of a closed pool is open")
		}
	})
}

// When a token was used last is known of this pool, while it has the manager; no use
// costs an operation of the store.
func TestAccountsSayWhenTheyWereUsed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		s := new(store)
		p := k.pool(auth.PoolConfig{Config: always(k.onDemand()), Store: &s.MemoryStore, Idle: time.Hour})
		other := k.pool(auth.PoolConfig{Config: always(k.onDemand()), Store: &s.MemoryStore})
		k.give(p, "alice")
		saved := time.Now()
		entry := func(p *auth.Pool) (found auth.StoreEntry) {
			for e, err := range p.Accounts(t.Context(), auth.Key{Subject: "alice"}) {
				if err != nil {
					t.Fatal(err)
				}
				found = e
			}
			return found
		}
		time.Sleep(10 * time.Minute)
		if _, err := p.Source("alice", k.res.URL).Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		used := time.Now()
		time.Sleep(10 * time.Minute)
		if e := entry(p); !e.Used.Equal(used) || !e.Saved.Equal(saved) {
			t.Errorf("used %v, saved %v", e.Used, e.Saved)
		}
		err := p.Source("alice", k.res.URL).Use(func(*auth.Manager) error {
			if e := entry(p); !e.Used.Equal(time.Now()) {
				t.Errorf("in use, and used %v", e.Used)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if e := entry(other); !e.Used.IsZero() || !e.Saved.Equal(saved) {
			t.Errorf("the other pool says used %v, saved %v", e.Used, e.Saved)
		}
		time.Sleep(2 * time.Hour)
		if e := entry(p); !e.Used.IsZero() {
			t.Errorf("long after: used %v", e.Used)
		}
	})
}

// A user who logs out leaves the client that others use, whether by the pool, by a
// manager of it, or by a manager with a subject.
func TestLogoutKeepsTheClientOfOthers(t *testing.T) {
	for name, logOut := range map[string]func(t *testing.T, p *auth.Pool, source *auth.PoolSource, alone *auth.Manager) error{
		"pool": func(t *testing.T, p *auth.Pool, _ *auth.PoolSource, _ *auth.Manager) error {
			_, err := p.Logout(t.Context(), auth.Key{Subject: "alice"})
			return err
		},
		"everybody": func(t *testing.T, p *auth.Pool, source *auth.PoolSource, _ *auth.Manager) error {
			_, err := p.Logout(t.Context(), auth.Key{Resource: source.Resource()})
			return err
		},
		"manager of the pool": func(t *testing.T, _ *auth.Pool, source *auth.PoolSource, _ *auth.Manager) error {
			return source.Use(func(m *auth.Manager) error { return m.Logout(t.Context()) })
		},
		"revoked": func(t *testing.T, _ *auth.Pool, source *auth.PoolSource, _ *auth.Manager) error {
			return source.Use(func(m *auth.Manager) error { return m.Revoke(t.Context()) })
		},
		"manager": func(t *testing.T, _ *auth.Pool, _ *auth.PoolSource, alone *auth.Manager) error {
			return alone.Logout(t.Context())
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{}, authtest.Protection{})
				store := new(auth.MemoryStore)
				cfg := k.discovered()
				cfg.Store, cfg.NoIdleRefresh = store, true
				p := k.pool(auth.PoolConfig{Config: always(cfg), Store: store})
				source, other := p.Source("alice", k.res.URL), p.Source("bob", k.res.URL)
				cfg.Subject = "alice"
				alone := k.manager(cfg)
				for _, one := range []*auth.PoolSource{source, other} {
					if _, err := one.Resolve(t.Context(), nil, unauthorized()); err != nil {
						t.Fatal(err)
					}
				}
				if err := logOut(t, p, source, alone); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				for _, user := range []string{"alice", "bob", "carol"} {
					if _, err := p.Source(user, k.res.URL).Resolve(t.Context(), nil, unauthorized()); err != nil {
						t.Error(err)
					}
				}
				if n := k.srv.Counts().Register; n != 1 {
					t.Errorf("%d registrations, want 1", n)
				}
			})
		})
	}
}
