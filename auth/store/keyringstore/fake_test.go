package keyringstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/zalando/go-keyring"
	"go.uber.org/goleak"

	"github.com/mcptokens/mcptokens/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "planted-secret"

var key = auth.Key{Resource: "https://mcp.example/mcp", Issuer: "https://as.example", ClientID: "client", Subject: "subject"}

// record has a token that says what.
func record(generation uint64, what string) *auth.Record {
	return &auth.Record{
		Generation: generation, Issuer: key.Issuer, Resource: key.Resource,
		Token: &auth.Token{AccessToken: what, TokenType: "Bearer", RefreshToken: secret},
	}
}

// large is a record that needs several entries.
func large(generation uint64, what string) *auth.Record {
	return record(generation, what+strings.Repeat(" large", 1500))
}

// fake is a keyring in memory.
type fake struct {
	mu      sync.Mutex
	entries map[string]string
	calls   int
	// refuse, if it is set, is asked before each call.
	refuse func(call int, op, service, user, password string) error
	forget bool // what is written
}

func (f *fake) call(op, service, user, password string) error {
	f.mu.Lock()
	f.calls++
	n, refuse := f.calls, f.refuse
	f.mu.Unlock()
	if refuse == nil {
		return nil
	}
	return refuse(n, op, service, user, password)
}

func (f *fake) Get(service, user string) (string, error) {
	if err := f.call("get", service, user, ""); err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	p, ok := f.entries[service+"/"+user]
	if !ok {
		return "", keyring.ErrNotFound
	}
	return p, nil
}

func (f *fake) Set(service, user, password string) error {
	if err := f.call("set", service, user, password); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.forget {
		return nil
	}
	if f.entries == nil {
		f.entries = make(map[string]string)
	}
	f.entries[service+"/"+user] = password
	return nil
}

func (f *fake) Delete(service, user string) error {
	if err := f.call("delete", service, user, ""); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.entries[service+"/"+user]; !ok {
		return keyring.ErrNotFound
	}
	delete(f.entries, service+"/"+user)
	return nil
}

// names returns what entries there are, without the service.
func (f *fake) names() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for _, n := range slices.Sorted(maps.Keys(f.entries)) {
		_, n, _ = strings.Cut(n, "/")
		names = append(names, n)
	}
	return names
}

// always has the keyring refuse everything, or nothing.
func (f *fake) always(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse = nil
	if err != nil {
		f.refuse = func(int, string, string, string, string) error { return err }
	}
}

func newStore(t *testing.T, ring backend, dir string) *Store {
	t.Helper()
	s, err := open(ring, "service", WithLockDir(dir))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustSave(t *testing.T, s *Store, r *auth.Record) uint64 {
	t.Helper()
	g, err := s.Save(t.Context(), key, r)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func mustLoad(t *testing.T, s *Store, want *auth.Record) *auth.Record {
	t.Helper()
	r, err := s.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if r.Token.AccessToken != want.Token.AccessToken {
		t.Fatalf("another record than %.10q", want.Token.AccessToken)
	}
	return r
}

// operations tries each that asks the keyring and returns their errors.
func operations(ctx context.Context, s *Store, g uint64) map[string]error {
	_, load := s.Load(ctx, key)
	_, save := s.Save(ctx, key, record(g, "again"))
	return map[string]error{"load": load, "save": save, "probe": s.Probe(ctx, key), "delete": s.Delete(ctx, key, g)}
}

// Limits of the platforms, as go-keyring applies them.
func windowsLimit(_ int, op, service, user, password string) error {
	if op == "set" && (len(password) > 2560 || len(service) >= 512) {
		return keyring.ErrSetDataTooBig
	}
	return nil
}

func macLimit(_ int, op, service, user, password string) error {
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'" }
	password = "go-keyring-base64:" + strings.Repeat("x", (len(password)+2)/3*4)
	if op == "set" && len(fmt.Sprintf("add-generic-password -U -s %s -a %s -w %s\n", quote(service), quote(user), quote(password))) > 4096 {
		return keyring.ErrSetDataTooBig
	}
	return nil
}
