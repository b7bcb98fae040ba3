package weblogin_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/auth/weblogin"
)

// What the program gets for each bad answer is an error of a type: not only which
// page the person got, but what the server said or sent.
func TestBadAnswers(t *testing.T) {
	refused := func(code string) func(error) bool {
		return func(err error) bool {
			var said *auth.AuthorizationError
			return errors.As(err, &said) && said.Code == code
		}
	}
	token := func(status int) func(error) bool {
		return func(err error) bool {
			var said *auth.TokenError
			return errors.As(err, &said) && said.StatusCode == status
		}
	}
	for name, tc := range map[string]struct {
		want weblogin.Reason
		is   func(error) bool // nil: the reason says all
		do   func(g *gateway, b *tab) (address string)
	}{
		"a state twice": {weblogin.State, nil, func(g *gateway, b *tab) string {
			callback := b.walk(g.link("alice"))
			u, _ := url.Parse(callback)
			return callback + "&state=" + u.Query().Get("state")
		}},
		"no state": {weblogin.State, nil, func(g *gateway, b *tab) string { return with(b.walk(g.link("alice")), "state", "") }},
		"a cookie that was dropped": {weblogin.NoCookie, nil, func(g *gateway, b *tab) string {
			callback := b.walk(g.link("alice"))
			lost := g.browser("alice")
			b.jar, b.client = lost.jar, lost.client
			return callback
		}},
		"an iss of another server": {weblogin.Failed, func(err error) bool { return errors.Is(err, auth.ErrIssuerParameter) }, func(g *gateway, b *tab) string {
			return with(b.walk(g.link("alice")), "iss", "https://evil.example")
		}},
		"no iss": {weblogin.Failed, func(err error) bool { return errors.Is(err, auth.ErrIssuerParameter) }, func(g *gateway, b *tab) string {
			return with(b.walk(g.link("alice")), "iss", "")
		}},
		"no code": {weblogin.Failed, func(err error) bool { return errors.Is(err, auth.ErrMissingCode) }, func(g *gateway, b *tab) string {
			return with(b.walk(g.link("alice")), "code", "")
		}},
		"a code for another client": {weblogin.Failed, token(400), func(g *gateway, b *tab) string {
			g.srv.AddClient("another", "", base+"/callback")
			_, server, _ := b.get(g.link("alice"))
			_, callback, _ := b.get(with(server, "client_id", "another"))
			return callback
		}},
		"the person says no": {weblogin.Denied, refused("access_denied"), func(g *gateway, b *tab) string {
			return with(with(b.walk(g.link("alice")), "code", ""), "error", "access_denied")
		}},
		"an error of the server": {weblogin.Failed, refused("server_error"), func(g *gateway, b *tab) string {
			return with(with(b.walk(g.link("alice")), "code", ""), "error", "server_error")
		}},
		"an error page in place of the token": {weblogin.Failed, token(400), func(g *gateway, b *tab) string {
			callback := b.walk(g.link("alice"))
			g.srv.InjectAlways(authtest.TokenEndpoint, authtest.HTMLStatus(400))
			return callback
		}},
		"an error page in place of the metadata, at the start": {weblogin.Failed, func(err error) bool {
			var said *discovery.Error
			return errors.As(err, &said)
		}, func(g *gateway, b *tab) string {
			link, err := g.replicas[0].logins.Link(g.t.Context(), "alice", g.res.URL, "")
			if err != nil {
				g.t.Fatal(err)
			}
			g.srv.InjectAlways(authtest.MetadataEndpoint, authtest.HTMLStatus(500))
			return link.URL
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				g := newGateway(t, 2, new(auth.MemoryStore), authtest.Config{})
				b := g.browser("alice")
				status, _, body := b.get(tc.do(g, b))
				if status < 400 || !strings.Contains(body, "<h1>") {
					t.Errorf("HTTP %d: %s", status, body)
				}
				g.mu.Lock()
				last := g.events[len(g.events)-1]
				g.mu.Unlock()
				var why *weblogin.Error
				if last.Type != weblogin.Refused || !errors.As(last.Err, &why) || why.Reason != tc.want || tc.is != nil && !tc.is(last.Err) {
					t.Errorf("the program heard %+v", last)
				}
				for _, endpoint := range []authtest.Endpoint{authtest.TokenEndpoint, authtest.MetadataEndpoint} {
					g.srv.ClearFaults(endpoint)
				}
				synctest.Wait()
				for _, user := range []string{"alice", "mallory"} {
					if g.connected(user) {
						t.Errorf("%s is connected", user)
					}
				}
			})
		})
	}
}

// A family of tokens that the server revoked is a login like the first: a link at
// once, which is no "allow more".
func TestRevokedFamily(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGateway(t, 2, new(auth.MemoryStore), authtest.Config{})
		b := g.browser("alice")
		b.get(b.walk(g.link("alice")))
		synctest.Wait()
		src := g.source(1, "alice")
		tok, err := src.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		src.Accepted(tok)
		g.srv.RevokeAll()
		time.Sleep(2 * time.Hour)
		var required *auth.LoginRequiredError
		_, err = src.Resolve(t.Context(), tok, auth.Challenge{Status: 401, Operation: "tools/call x"})
		if !errors.As(err, &required) || required.More || required.Resource != g.res.URL {
			t.Fatalf("got %v", err)
		}
		if status, _, body := b.get(b.walk(required.URL)); status != http.StatusSeeOther {
			t.Fatalf("HTTP %d: %s", status, body)
		}
		synctest.Wait()
		if again, err := src.Token(t.Context()); err != nil || again.AccessToken == tok.AccessToken {
			t.Errorf("got %v, %v", again, err)
		}
	})
}
