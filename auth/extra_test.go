package auth_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/extras"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/auth/store/filestore"
)

// What came with a token stays with it: across refreshes that do not repeat it,
// and across restarts. A new login begins with nothing.
func TestExtraStaysWithTheToken(t *testing.T) {
	more := map[string]any{"id_token": "first", "team": map[string]any{"id": 7}}
	as := authtest.NewServerConfig(t, authtest.Config{Rewrite: func(e authtest.Endpoint, _ *http.Request, a *authtest.Reply) {
		if e == authtest.TokenEndpoint {
			for name, value := range more {
				a.Document[name] = value
			}
		}
	}})
	res := as.Protect(http.NotFoundHandler(), authtest.Protection{})
	dir := t.TempDir()
	open := func() *auth.Manager {
		store, err := filestore.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		m, err := auth.NewManager(auth.Config{Resource: res.URL, Store: store, Grant: grant.AuthorizationCode{UserAgent: browser.Headless{}}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close() })
		return m
	}
	want := func(tok *auth.Token, err error, id, team string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if tok.Extra.Text("id_token") != id || string(tok.Extra["team"]) != team || tok.Extra.Text("team") != "" {
			t.Errorf("id_token %q, team %s; want %q and %s", tok.Extra.Text("id_token"), tok.Extra["team"], id, team)
		}
	}
	m := open()
	tok, err := m.Authorize(t.Context())
	want(tok, err, "first", `{"id":7}`)
	more = map[string]any{"id_token": "second"}
	tok, err = m.Refresh(t.Context())
	want(tok, err, "second", `{"id":7}`)
	more = nil
	tok, err = m.Refresh(t.Context())
	want(tok, err, "second", `{"id":7}`)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = open()
	tok, err = m.Token(t.Context())
	want(tok, err, "second", `{"id":7}`)
	if err := m.Logout(t.Context()); err != nil {
		t.Fatal(err)
	}
	tok, err = m.Authorize(t.Context())
	want(tok, err, "", "")
	if tok.Extra != nil {
		t.Errorf("Extra is %#v, want nil", map[string]json.RawMessage(tok.Extra))
	}
}

// Extra redacts itself outside of its token too.
func TestExtraRedactsItself(t *testing.T) {
	e := extras.Members{"id_token": json.RawMessage(`"secret"`)}
	encoded, err := json.Marshal(map[string]any{"e": e, "t": auth.Token{Extra: e}})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s %x %d", e, e, e, e, e, e), string(encoded), e.LogValue().String(), fmt.Sprint(auth.Token{Extra: e})} {
		if strings.Contains(text, "secret") || strings.Contains(text, "id_token") || strings.Contains(text, "115") {
			t.Errorf("printed as %s", text)
		}
	}
}

// A gateway has thousands of idle tokens, most of them without any.
func TestExtraCostsOneWord(t *testing.T) {
	f, ok := reflect.TypeFor[auth.Token]().FieldByName("Extra")
	if !ok || f.Type.Size() > 8 {
		t.Errorf("Extra takes %d bytes", f.Type.Size())
	}
}
