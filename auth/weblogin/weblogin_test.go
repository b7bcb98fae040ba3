package weblogin_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/weblogin"
)

// A login that begins on one replica ends on another, and calls succeed on both.
func TestLogin(t *testing.T) {
	for name, replicas := range map[string]int{"one replica": 1, "two replicas": 2, "three replicas": 3} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				g := newGateway(t, replicas, new(auth.MemoryStore), authtest.Config{})
				b := g.browser("alice")
				_, server, _ := b.get(g.link("alice"))
				time.Sleep(9 * time.Minute) // alice reads what she is asked
				_, callback, _ := b.get(server)
				if g.connected("alice") {
					t.Fatal("connected before the answer came")
				}
				status, to, _ := b.get(callback)
				if status != http.StatusSeeOther || to != base+"/done" {
					t.Fatalf("callback: HTTP %d to %s", status, to)
				}
				synctest.Wait()
				if !g.connected("alice") || g.connected("bob") {
					t.Errorf("alice is connected: %v, bob: %v", g.connected("alice"), g.connected("bob"))
				}
				if status, _, body := b.get(to); status != http.StatusOK || !strings.Contains(body, "Connected") {
					t.Errorf("done: HTTP %d: %s", status, body)
				}
			})
		})
	}
}

// What a gateway's people do with browsers.
func TestBrowsers(t *testing.T) {
	for name, test := range map[string]func(t *testing.T, g *gateway, b *tab){
		"two tabs at once": func(t *testing.T, g *gateway, b *tab) {
			first, second := b.walk(g.link("alice")), b.walk(g.link("alice"))
			for _, callback := range []string{second, first} {
				if status, _, body := b.get(callback); status != http.StatusSeeOther {
					t.Errorf("HTTP %d: %s", status, body)
				}
			}
		},
		"back and again": func(t *testing.T, g *gateway, b *tab) {
			link := g.link("alice")
			b.walk(link) // the person goes back from the server's page
			if status, _, _ := b.get(b.walk(link)); status != http.StatusSeeOther {
				t.Errorf("HTTP %d", status)
			}
		},
		"the callback is loaded again": func(t *testing.T, g *gateway, b *tab) {
			callback := b.walk(g.link("alice"))
			b.get(callback)
			status, _, body := b.get(callback)
			if status != http.StatusConflict || !strings.Contains(body, "Already done") {
				t.Errorf("HTTP %d: %s", status, body)
			}
			if got := g.refused(); !slices.Equal(got, []weblogin.Reason{weblogin.Used}) {
				t.Errorf("events %v", got)
			}
			if n := g.srv.Counts().Token; n != 1 {
				t.Errorf("%d token requests", n)
			}
		},
		"a session that is Strict": func(t *testing.T, g *gateway, b *tab) {
			g.strict = true
			callback := b.walk(g.link("alice"))
			status, _, body := b.get(callback)
			if status != http.StatusOK || !strings.Contains(body, `http-equiv="refresh"`) {
				t.Fatalf("HTTP %d: %s", status, body)
			}
			if status, _, body := b.get(callback + "&again=1"); status != http.StatusSeeOther {
				t.Errorf("HTTP %d: %s", status, body)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				g := newGateway(t, 2, new(auth.MemoryStore), authtest.Config{})
				test(t, g, g.browser("alice"))
				synctest.Wait()
				if !g.connected("alice") {
					t.Error("alice is not connected")
				}
			})
		})
	}
}

// Whatever comes that is not the answer that is waited for gets a page, a typed
// error and an event, and nothing is bound to anybody.
func TestRefusals(t *testing.T) {
	for name, tc := range map[string]struct {
		want weblogin.Reason
		do   func(t *testing.T, g *gateway, b *tab) (status int, body string)
	}{
		"a link that was sent to another user": {weblogin.Unknown, func(_ *testing.T, g *gateway, _ *tab) (int, string) {
			status, _, body := g.browser("mallory").get(g.link("alice"))
			return status, body
		}},
		"an answer in another user's browser": {weblogin.NoCookie, func(_ *testing.T, g *gateway, b *tab) (int, string) {
			status, _, body := g.browser("mallory").get(b.walk(g.link("alice")))
			return status, body
		}},
		"another user of the same browser": {weblogin.OtherUser, func(_ *testing.T, g *gateway, b *tab) (int, string) {
			callback := b.walk(g.link("alice"))
			b.signIn("mallory")
			status, _, body := b.get(callback)
			return status, body
		}},
		"nobody is signed in at the start": {weblogin.NoSession, func(_ *testing.T, g *gateway, _ *tab) (int, string) {
			status, _, body := g.browser("").get(g.link("alice"))
			return status, body
		}},
		"nobody is signed in at the end": {weblogin.NoSession, func(_ *testing.T, g *gateway, b *tab) (int, string) {
			callback := b.walk(g.link("alice"))
			b.signIn("")
			status, _, body := b.get(callback + "&again=1")
			return status, body
		}},
		"a forged state": {weblogin.State, func(_ *testing.T, g *gateway, b *tab) (int, string) {
			status, _, body := b.get(with(b.walk(g.link("alice")), "state", "forged"))
			return status, body
		}},
		"a state with a forged end": {weblogin.State, func(_ *testing.T, g *gateway, b *tab) (int, string) {
			callback := b.walk(g.link("alice"))
			u, _ := url.Parse(callback)
			id, _, _ := strings.Cut(u.Query().Get("state"), ".")
			status, _, body := b.get(with(callback, "state", id+".FORGED"))
			return status, body
		}},
		"another iss": {weblogin.Failed, func(_ *testing.T, g *gateway, b *tab) (int, string) {
			status, _, body := b.get(with(b.walk(g.link("alice")), "iss", "https://evil.example"))
			return status, body
		}},
		"a code of another login": {weblogin.Failed, func(_ *testing.T, g *gateway, b *tab) (int, string) {
			other, _ := url.Parse(g.browser("alice").walk(g.link("alice")))
			status, _, body := b.get(with(b.walk(g.link("alice")), "code", other.Query().Get("code")))
			return status, body
		}},
		"the person says no": {weblogin.Denied, func(_ *testing.T, g *gateway, b *tab) (int, string) {
			callback := with(b.walk(g.link("alice")), "code", "")
			status, _, body := b.get(with(callback, "error", "access_denied"))
			return status, body
		}},
		"a server's error": {weblogin.Failed, func(_ *testing.T, g *gateway, b *tab) (int, string) {
			callback := with(b.walk(g.link("alice")), "code", "")
			status, _, body := b.get(with(callback, "error", "server_error"))
			return status, body
		}},
		"an old link": {weblogin.Unknown, func(_ *testing.T, g *gateway, b *tab) (int, string) {
			link := g.link("alice")
			time.Sleep(10 * time.Minute)
			status, _, body := b.get(link)
			return status, body
		}},
		"a late answer": {weblogin.Unknown, func(t *testing.T, g *gateway, b *tab) (int, string) {
			callback := b.walk(g.link("alice"))
			at, _ := url.Parse(base + "/callback")
			cookies := b.jar.Cookies(at)
			time.Sleep(10 * time.Minute)
			for _, c := range cookies { // a browser that keeps them for longer
				c.Path, c.Secure = "/", true
			}
			b.jar.SetCookies(at, cookies)
			status, _, body := b.get(callback)
			return status, body
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				g := newGateway(t, 2, new(auth.MemoryStore), authtest.Config{})
				status, body := tc.do(t, g, g.browser("alice"))
				if status < 400 || !strings.Contains(body, "<h1>") || !strings.Contains(body, "<!doctype html>") {
					t.Errorf("HTTP %d: %s", status, body)
				}
				if got := g.refused(); !slices.Equal(got, []weblogin.Reason{tc.want}) {
					t.Errorf("events %v, want %v", got, tc.want)
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

func with(address, name, value string) string {
	u, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	q := u.Query()
	q.Set(name, value)
	if value == "" {
		q.Del(name)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// A call that waits gets its token as soon as the login ends on another replica,
// and a link that nobody follows ends its wait.
func TestPatient(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGateway(t, 2, new(auth.MemoryStore), authtest.Config{})
		links := make(chan string, 2)
		src := &weblogin.Patient{
			Source: g.source(0, "alice"), Wait: time.Minute,
			Tell: func(_ context.Context, required *auth.LoginRequiredError) { links <- required.URL },
		}
		ended := make(chan error, 1)
		go func() { ended <- g.call(t.Context(), src, "read") }()
		b := g.browser("alice")
		callback := b.walk(<-links)
		time.Sleep(20*time.Second + 300*time.Millisecond)
		start := time.Now()
		b.get(callback)
		if err := <-ended; err != nil || time.Since(start) > 0 {
			t.Errorf("%v later: %v", time.Since(start), err)
		}
		src = &weblogin.Patient{Source: g.source(0, "bob"), Wait: time.Minute}
		var required *auth.LoginRequiredError
		if err := g.call(t.Context(), src, "read"); !errors.As(err, &required) || time.Since(start) != time.Minute {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// What expires is removed, also what another replica left behind.
func TestSweep(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := new(auth.MemoryStore)
		g := newGateway(t, 2, store, authtest.Config{})
		g.browser("alice").walk(g.link("alice"))
		if err := g.replicas[0].logins.Close(); err != nil { // it made the link
			t.Fatal(err)
		}
		if err := g.replicas[1].logins.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		left := func() (n int) {
			for e := range store.List(t.Context()) {
				if e.Key.Subject == "alice" {
					n++
				}
			}
			return n
		}
		if n := left(); n != 2 {
			t.Fatalf("%d records of the link and the login, want 2", n)
		}
		other := newGateway(t, 1, store, authtest.Config{})
		other.link("bob")
		time.Sleep(11 * time.Minute)
		if n := left(); n != 0 {
			t.Errorf("%d records left", n)
		}
	})
}

// Links are for the program's own pages.
func TestReturn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGateway(t, 1, new(auth.MemoryStore), authtest.Config{})
		logins := g.replicas[0].logins
		for _, path := range []string{"https://evil.example/", "//evil.example", `/\evil.example`, "accounts", "/a\r\nb"} {
			var config *auth.ConfigError
			if _, err := logins.Link(t.Context(), "alice", g.res.URL, path); !errors.As(err, &config) {
				t.Errorf("%q: %v", path, err)
			}
		}
		link, err := logins.Link(t.Context(), "alice", g.res.URL, "/accounts?x=1", "extra")
		if err != nil {
			t.Fatal(err)
		}
		b := g.browser("alice")
		if _, to, _ := b.get(b.walk(link.URL)); to != "https://gateway.example/accounts?x=1" {
			t.Errorf("sent to %s", to)
		}
		tok, err := g.source(0, "alice").Token(t.Context())
		if err != nil || !slices.Contains(tok.Scopes, "extra") {
			t.Errorf("token %v, %v", tok, err)
		}
	})
}

// Who is logged out has no login under way either: what was begun before ends
// nowhere. Others go on.
func TestLogoutEndsLogins(t *testing.T) {
	for name, tc := range map[string]struct {
		of                func(g *gateway) auth.Key
		noLink, noLogin   bool
		noBobs, noAccount bool
	}{
		"of a user at a resource": {func(g *gateway) auth.Key { return auth.Key{Subject: "alice", Resource: g.res.URL} }, true, true, false, true},
		"of a user":               {func(*gateway) auth.Key { return auth.Key{Subject: "alice"} }, true, true, false, true},
		"of a user at a server":   {func(g *gateway) auth.Key { return auth.Key{Subject: "alice", Issuer: g.srv.Issuer} }, false, true, false, true},
		"at a resource":           {func(g *gateway) auth.Key { return auth.Key{Resource: g.res.URL + "?x=1"} }, true, true, true, true},
		"at a server":             {func(g *gateway) auth.Key { return auth.Key{Issuer: g.srv.Issuer} }, false, true, true, true},
		"at another resource":     {func(*gateway) auth.Key { return auth.Key{Resource: "https://other.example/mcp"} }, false, false, false, false},
		"at another server":       {func(*gateway) auth.Key { return auth.Key{Issuer: "https://other.example"} }, false, false, false, false},
		"of another user":         {func(g *gateway) auth.Key { return auth.Key{Subject: "carol", Resource: g.res.URL} }, false, false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				g := newGateway(t, 2, new(auth.MemoryStore), authtest.Config{})
				alice, bob := g.browser("alice"), g.browser("bob")
				link := g.link("alice")
				callback, bobs := alice.walk(link), bob.walk(g.link("bob"))
				again := alice.walk(g.link("alice"))
				alice.get(again) // connected
				if _, err := g.replicas[1].pool.Logout(t.Context(), tc.of(g)); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if is := g.connected("alice"); is == tc.noAccount {
					t.Errorf("alice is connected: %v", is)
				}
				g.refused()
				for _, one := range []struct {
					what    string
					b       *tab
					address string
					refused bool
				}{{"a login under way", alice, callback, tc.noLogin}, {"another user's", bob, bobs, tc.noBobs}, {"a link", alice, link, tc.noLink}} {
					status, _, body := one.b.get(one.address)
					var want []weblogin.Reason
					if one.refused {
						want = []weblogin.Reason{weblogin.Unknown}
					}
					if got := g.refused(); !slices.Equal(got, want) || (status == http.StatusSeeOther) == one.refused {
						t.Errorf("%s: HTTP %d, refused %v: %s", one.what, status, got, body)
					}
				}
			})
		})
	}
}
