package grant_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/grant"
)

func fixed(s string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return s, nil }
}

func TestJWTBearerRequest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from.the.file\r\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		grant  grant.JWTBearer
		scopes []string
		form   []string
	}{
		{"callback", grant.JWTBearer{Assertion: fixed("a.jwt.secret")}, nil,
			[]string{"assertion", "a.jwt.secret"}},
		{"file", grant.JWTBearer{File: file}, nil,
			[]string{"assertion", "from.the.file"}},
		{"scopes", grant.JWTBearer{Assertion: fixed(" a.jwt.secret\n")}, []string{"read", "write"},
			[]string{"assertion", "a.jwt.secret", "scope", "read write"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := network{asToken: says(bearer("access", `,"expires_in":3600`))}
			cfg := config(n, tt.grant)
			cfg.Scopes = tt.scopes
			tok, err := start(t, cfg).Authorize(t.Context())
			if err != nil || tok.AccessToken != "access" || strings.Join(tok.Scopes, " ") != strings.Join(tt.scopes, " ") {
				t.Fatalf("Authorize: %v, %v", tok, err)
			}
			r := wantRequests(t, asToken, n[asToken], 1)[0]
			wantForm(t, r.form, append(tt.form, "grant_type", typeBearer, "resource", mcpServer, "client_id", "mcp-client")...)
			if r.header.Get("Authorization") != "" {
				t.Error("a public client sent an Authorization header")
			}
		})
	}
}

func TestJWTBearerIsNotInteractive(t *testing.T) {
	g := grant.JWTBearer{}
	if g.Interactive() || g.Type() != typeBearer {
		t.Errorf("Interactive %v, Type %q", g.Interactive(), g.Type())
	}
}

// The platform replaces the file; the manager renews by itself and presents
// what is there then.
func TestJWTBearerReadsTheFileEachTime(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write := func(s string) {
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	synctest.Test(t, func(t *testing.T) {
		n := network{asToken: says(bearer("one", `,"expires_in":600`), bearer("two", `,"expires_in":600`))}
		m := start(t, config(n, grant.JWTBearer{File: file}))
		if _, err := m.Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		write("second\n")
		time.Sleep(451 * time.Second) // nobody asks: the timer renews, in the first half of the last 300 s
		synctest.Wait()
		if r := wantRequests(t, asToken, n[asToken], 2); r[1].form.Get("assertion") != "second" {
			t.Errorf("assertion %q, want what the file has now", r[1].form.Get("assertion"))
		}
		if tok, err := m.Token(t.Context()); err != nil || tok.AccessToken != "two" {
			t.Errorf("Token: %v, %v", tok, err)
		}
	})
}

func TestJWTBearerConfigErrors(t *testing.T) {
	for name, g := range map[string]grant.JWTBearer{
		"neither": {},
		"both":    {Assertion: fixed("a.jwt"), File: "/token"},
	} {
		t.Run(name, func(t *testing.T) {
			n := network{asToken: says(bearer("access", ""))}
			wantConfigError(t, config(n, g), "JWTBearer")
			wantRequests(t, asToken, n[asToken], 0)
		})
	}
}

func TestJWTBearerAssertionErrors(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) grant.JWTBearer {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return grant.JWTBearer{File: path}
	}
	own := errors.New("metadata service: \x1b[31mno such account")
	tests := []struct {
		name  string
		grant grant.JWTBearer
		is    error
		text  string
	}{
		{"missing file", grant.JWTBearer{File: filepath.Join(dir, "none")}, fs.ErrNotExist,
			"grant: JWTBearer.File (" + filepath.Join(dir, "none") + "): no such file or directory"},
		{"directory", grant.JWTBearer{File: dir}, nil, "is a directory"},
		{"empty file", file("empty", ""), nil, "is empty; provide a token"},
		{"blank file", file("blank", " \n\t"), nil, "is empty; provide a token"},
		{"large file", file("large", strings.Repeat("secret", 1<<18)), nil, "is larger than 256 KiB"},
		{"JSON file", file("json", `{"token":"secret"}`), nil, "is not one token"},
		{"two lines", file("two", "secret\nsecret"), nil, "is not one token"},
		{"callback", grant.JWTBearer{Assertion: func(context.Context) (string, error) { return "", own }}, own,
			`grant: JWTBearer.Assertion: metadata service: \u001b[31mno such account`},
		{"empty callback", grant.JWTBearer{Assertion: fixed("")}, nil, "grant: JWTBearer.Assertion: is empty; provide a token"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := network{asToken: says(bearer("access", ""))}
			_, err := start(t, config(n, tt.grant)).Authorize(t.Context())
			e := as[*grant.AssertionError](t, err)
			if !strings.Contains(e.Error(), tt.text) || e.File != tt.grant.File {
				t.Errorf("error %q for file %q, want %q", e, e.File, tt.text)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("error %v is not %v", err, tt.is)
			}
			wantNoSecret(t, err.Error())
			wantRequests(t, asToken, n[asToken], 0)
		})
	}
}

// A refusal is returned, and neither repeated nor answered with something else.
func TestJWTBearerRefused(t *testing.T) {
	for _, code := range []string{"invalid_grant", "invalid_scope", "unauthorized_client", "unsupported_grant_type"} {
		t.Run(code, func(t *testing.T) {
			n := network{asToken: new(endpoint).then(refuses(code))}
			m := start(t, config(n, grant.JWTBearer{Assertion: fixed("a.jwt.secret")}))
			for range 3 {
				_, err := m.Resolve(t.Context(), nil, auth.Challenge{})
				if e := as[*auth.TokenError](t, err); e.Code != code || e.Issuer != asIssuer || e.Retryable() {
					t.Errorf("error %v", e)
				}
				wantNoSecret(t, err.Error())
			}
			wantRequests(t, asToken, n[asToken], 1)
		})
	}
}

func TestJWTBearerRetriesWhatIsTransient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := new(endpoint).then(answer{status: 503}, answer{down: true}, answer{body: bearer("access", "")})
		tok, err := start(t, config(network{asToken: e}, grant.JWTBearer{Assertion: fixed("a.jwt")})).Authorize(t.Context())
		if err != nil || tok.AccessToken != "access" {
			t.Fatalf("Authorize: %v, %v", tok, err)
		}
		wantRequests(t, asToken, e, 3)
	})
}

// A step-up that the server refuses takes one request: the grant has been asked
// in the renewal and is not asked again as if it were another way.
func TestJWTBearerStepUpRefused(t *testing.T) {
	e := says(bearer("access", `,"scope":"read"`)).then(refuses("invalid_scope"))
	cfg := config(network{asToken: e}, grant.JWTBearer{Assertion: fixed("a.jwt")})
	cfg.Scopes = []string{"read"}
	m := start(t, cfg)
	tok, err := m.Authorize(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Resolve(t.Context(), tok, auth.Challenge{Status: 403, Error: "insufficient_scope", Scopes: []string{"write"}})
	if te := as[*auth.TokenError](t, err); te.Code != "invalid_scope" {
		t.Errorf("error %v", err)
	}
	if r := wantRequests(t, asToken, e, 2); r[1].form.Get("scope") != "read write" {
		t.Errorf("scope %q", r[1].form.Get("scope"))
	}
	if tok, err := m.Token(t.Context()); err != nil || tok.AccessToken != "access" {
		t.Errorf("the token in use was lost: %v, %v", tok, err)
	}
}

// In a renewal only the renewal repeats: the waits between requests double, so
// that there are few within its time, and not that many times as many.
func TestJWTBearerRenewalRepeatsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := says(bearer("one", `,"expires_in":60`)).then(answer{lost: true})
		m := start(t, config(network{asToken: e}, grant.JWTBearer{Assertion: fixed("a.jwt")}))
		if _, err := m.Authorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Refresh(t.Context()); err == nil {
			t.Fatal("Refresh succeeded")
		}
		if n := len(e.requests()); n < 3 || n > 12 {
			t.Errorf("%d requests", n)
		}
	})
}

// Without a client, at a server that registers none, nothing can be asked for.
func TestGrantsWithoutAClient(t *testing.T) {
	for name, g := range map[string]auth.Grant{
		"JWTBearer":  grant.JWTBearer{Assertion: fixed("a.jwt")},
		"IDJAG":      idJAG(),
		"DeviceCode": new(shown).grant(),
	} {
		t.Run(name, func(t *testing.T) {
			n := network{asToken: says(bearer("access", "")), asDevice: device(""), idpToken: says(issues("jag", ""))}
			cfg := config(n, g)
			cfg.Client = auth.Client{}
			_, err := start(t, cfg).Authorize(t.Context())
			if e := as[*auth.ConfigError](t, err); e.Field != "Config.Client.ID" {
				t.Errorf("error %v", e)
			}
			for at, e := range n {
				wantRequests(t, at, e, 0)
			}
		})
	}
}
