// Package canarytest shows that no type of this module prints a secret. It puts one
// into every field of every exported type, keeps the value in all that a program could
// keep it in, and prints that in every way that fmt, log/slog and encoding/json know. What
// is no secret is listed: a field that is new and in no list counts as one.
package canarytest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/admission"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/clientauth"
	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/auth/dpop"
	"github.com/mcptokens/mcptokens/auth/external"
	"github.com/mcptokens/mcptokens/auth/extras"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/auth/store/filestore"
	"github.com/mcptokens/mcptokens/auth/store/keyringstore"
	"github.com/mcptokens/mcptokens/auth/store/redisstore"
	"github.com/mcptokens/mcptokens/auth/store/sealed"
	"github.com/mcptokens/mcptokens/auth/store/sqlstore"
	"github.com/mcptokens/mcptokens/auth/weblogin"
)

// all prints a T whose fields are filled.
func all[T any](*testing.T) []string { return leaks(filled[T]()) }

// made prints what a function made.
func made[T any](f func(t *testing.T) *T) func(t *testing.T) []string {
	return func(t *testing.T) []string { return leaks(f(t)) }
}

// types are the exported structs and maps of the packages that programs use.
var types = map[string]func(t *testing.T) []string{
	"admission.Gate":                    made(func(*testing.T) *admission.Gate { return &admission.Gate{Most: 2} }), // it knows issuers only
	"admission.Ticket":                  made(func(*testing.T) *admission.Ticket { return new(admission.Gate).Ticket("https://as.example.com") }),
	"auth.AuthorizationError":           all[auth.AuthorizationError],
	"auth.Challenge":                    all[auth.Challenge],
	"auth.Client":                       all[auth.Client],
	"auth.ClientAuthRequest":            all[auth.ClientAuthRequest],
	"auth.Config":                       all[auth.Config],
	"auth.ConfigError":                  all[auth.ConfigError],
	"auth.Endpoints":                    all[auth.Endpoints],
	"auth.Event":                        all[auth.Event],
	"auth.Flow":                         all[auth.Flow],
	"auth.Info":                         all[auth.Info],
	"auth.InsufficientScopeError":       all[auth.InsufficientScopeError],
	"auth.IssuerError":                  all[auth.IssuerError],
	"auth.Key":                          all[auth.Key],
	"auth.LoginRequiredError":           all[auth.LoginRequiredError],
	"auth.Manager":                      made(manager),
	"auth.MemoryStore":                  made(memoryStore),
	"auth.Network":                      all[auth.Network],
	"auth.Pool":                         made(pool),
	"auth.PoolConfig":                   all[auth.PoolConfig],
	"auth.PoolSource":                   made(poolSource),
	"auth.Post":                         all[auth.Post],
	"auth.Proof":                        all[auth.Proof],
	"auth.ReauthorizationRequiredError": all[auth.ReauthorizationRequiredError],
	"auth.Record":                       all[auth.Record],
	"auth.RejectedError":                all[auth.RejectedError],
	"auth.Requests":                     all[auth.Requests],
	"auth.ScopeRules":                   all[auth.ScopeRules],
	"auth.StepUpLimit":                  all[auth.StepUpLimit],
	"auth.LoginRefusal":                 all[auth.LoginRefusal],
	"auth.StoreEntry":                   all[auth.StoreEntry],
	"auth.StoreError":                   all[auth.StoreError],
	"auth.Token":                        all[auth.Token],
	"auth.TokenError":                   all[auth.TokenError],
	"browser.Headless":                  all[browser.Headless],
	"browser.Loopback":                  all[browser.Loopback],
	"browser.Message":                   all[browser.Message],
	"browser.Outcome":                   all[browser.Outcome],
	"browser.Page":                      all[browser.Page],
	"browser.Paste":                     all[browser.Paste],
	"browser.Question":                  all[browser.Question],
	"browser.TerminalTexts":             all[browser.TerminalTexts],
	"browser.Texts":                     all[browser.Texts],
	"clientauth.None":                   all[clientauth.None],
	"clientauth.PrivateKeyJWT":          all[clientauth.PrivateKeyJWT],
	"clientauth.SecretBasic":            all[clientauth.SecretBasic],
	"clientauth.SecretPost":             all[clientauth.SecretPost],
	"discovery.Attempt":                 all[discovery.Attempt],
	"discovery.AuthorizationServer":     all[discovery.AuthorizationServer],
	"discovery.Client":                  all[discovery.Client],
	"discovery.Error":                   all[discovery.Error],
	"discovery.ProtectedResource":       all[discovery.ProtectedResource],
	"dpop.Key":                          made(proofKey),
	"dpop.Keys":                         all[dpop.Keys],
	"external.Error":                    all[external.Error],
	"external.Source":                   made(externalSource),
	"filestore.Error":                   all[filestore.Error],
	"filestore.Store":                   all[filestore.Store],
	"grant.AssertionError":              all[grant.AssertionError],
	"extras.Members":                    all[extras.Members],
	"grant.AuthorizationCode":           all[grant.AuthorizationCode],
	"grant.Auto":                        all[grant.Auto],
	"grant.ClientCredentials":           all[grant.ClientCredentials],
	"grant.DeviceCode":                  all[grant.DeviceCode],
	"grant.DevicePrompt":                all[grant.DevicePrompt],
	"grant.IDJAG":                       all[grant.IDJAG],
	"grant.IDPError":                    all[grant.IDPError],
	"grant.JWTBearer":                   all[grant.JWTBearer],
	"grant.OnBehalfOf":                  all[grant.OnBehalfOf],
	"grant.SubjectTokenError":           all[grant.SubjectTokenError],
	"grant.TokenExchange":               all[grant.TokenExchange],
	"keyringstore.Error":                all[keyringstore.Error],
	"keyringstore.Store":                all[keyringstore.Store],
	"keyringstore.UnavailableError":     all[keyringstore.UnavailableError],
	"redisstore.Error":                  all[redisstore.Error],
	"redisstore.Store":                  all[redisstore.Store],
	"registration.Client":               all[registration.Client],
	"registration.Error":                all[registration.Error],
	"registration.Metadata":             all[registration.Metadata],
	"registration.Registrar":            all[registration.Registrar],
	"sealed.Error":                      all[sealed.Error],
	"sealed.Key":                        made(sealedKey),
	"sqlstore.Error":                    all[sqlstore.Error],
	"sqlstore.Store":                    all[sqlstore.Store],
	"weblogin.Config":                   all[weblogin.Config],
	"weblogin.Error":                    all[weblogin.Error],
	"weblogin.Event":                    all[weblogin.Event],
	"weblogin.Logins":                   all[weblogin.Logins],
	"weblogin.Outcome":                  all[weblogin.Outcome],
	"weblogin.Patient":                  all[weblogin.Patient],
	"weblogin.Sealer":                   all[weblogin.Sealer],
}

func TestNoTypePrintsASecret(t *testing.T) {
	for name, print := range types {
		t.Run(name, func(t *testing.T) {
			found := print(t)
			slices.Sort(found)
			for i, leak := range found {
				if i == 3 {
					t.Errorf("and in %d more ways", len(found)-3)
					break
				}
				t.Error(leak)
			}
		})
	}
	t.Run("a sealed store", func(t *testing.T) {
		s, err := sealed.New(memoryStore(t), *sealedKey(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, leak := range leaks(&s) {
			t.Error(leak)
		}
	})
}

// Every exported struct and map is printed above. authtest and storetest are for tests; authtrace
// has data for tracers, which package auth's own canary prints.
func TestEveryTypeIsPrinted(t *testing.T) {
	exported := make(map[string]bool)
	err := filepath.WalkDir("../../auth", func(file string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && slices.Contains([]string{"internal", "testdata", "authtest", "storetest", "authtrace"}, d.Name()) {
			return fs.SkipDir
		}
		if err != nil || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range f.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range gen.Specs {
				if s, ok := spec.(*ast.TypeSpec); ok && s.Name.IsExported() {
					switch s.Type.(type) {
					case *ast.StructType, *ast.MapType:
						exported[path.Base(filepath.ToSlash(filepath.Dir(file)))+"."+s.Name.Name] = true
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range exported {
		if types[name] == nil {
			t.Errorf("%s is not printed: add it to the list of types", name)
		}
	}
	for name := range types {
		if !exported[name] {
			t.Errorf("there is no struct or map %s", name)
		}
	}
}

// source is an oauth2.TokenSource with a secret.
type source struct{ secret string }

func (s source) Token() (*oauth2.Token, error) {
	return &oauth2.Token{AccessToken: s.secret, RefreshToken: s.secret}, nil
}

func externalSource(t *testing.T) *external.Source {
	s := external.FromTokenSource(source{mark}, "https://mcp.example.com/mcp?key="+mark)
	t.Cleanup(func() { _ = s.Close() })
	if _, err := s.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func config() auth.Config {
	return auth.Config{
		Resource: "https://mcp.example.com/mcp?key=" + mark,
		Subject:  mark,
		Client:   auth.Client{ID: "app", Secret: mark, Issuer: "https://as.example.com"},
		Server:   &auth.Server{Issuer: "https://as.example.com", TokenEndpoint: "https://as.example.com/token"},
		Store:    new(auth.MemoryStore),
	}
}

func manager(t *testing.T) *auth.Manager {
	m, err := auth.NewManager(config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	if err := m.SetToken(t.Context(), &auth.Token{AccessToken: mark, RefreshToken: mark}); err != nil {
		t.Fatal(err)
	}
	return m
}

func pool(t *testing.T) *auth.Pool {
	cfg := config()
	cfg.Store = nil // the pool's own
	p, err := auth.NewPool(auth.PoolConfig{Config: func(string, string) (*auth.Config, error) { return &cfg, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	if err := p.Source(mark, cfg.Resource).Use(func(m *auth.Manager) error {
		return m.SetToken(t.Context(), &auth.Token{AccessToken: mark, RefreshToken: mark})
	}); err != nil {
		t.Fatal(err)
	}
	return p
}

func poolSource(t *testing.T) *auth.PoolSource {
	return pool(t).Source(mark, "https://mcp.example.com/mcp?key="+mark)
}

func memoryStore(t *testing.T) *auth.MemoryStore {
	s := new(auth.MemoryStore)
	for _, key := range []auth.Key{{Subject: mark}, {Resource: "https://mcp.example.com", Subject: mark}} {
		if _, err := s.Save(t.Context(), key, &auth.Record{Token: &auth.Token{AccessToken: mark}}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// proofKey is a key whose private part is known, to be looked for.
func proofKey(t *testing.T) *dpop.Key {
	made, err := dpop.Keys{}.New()
	if err != nil {
		t.Fatal(err)
	}
	return reflect.ValueOf(made).Interface().(*dpop.Key)
}

func sealedKey(t *testing.T) *sealed.Key {
	key, err := sealed.NewKey("2026-11", []byte(strings.Repeat(mark, 6)[:32]))
	if err != nil {
		t.Fatal(err)
	}
	return &key
}
