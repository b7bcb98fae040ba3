//go:build realservers

package weblogin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/weblogin"
	"github.com/mcptokens/mcptokens/internal/realservers"
)

// web is a gateway with two replicas at https://localhost, in front of an
// authorization server at http://127.0.0.1, which is another site. The browser is
// Chromium: whether a cookie comes along is its decision.
type web struct {
	t    *testing.T
	url  string
	as   *authtest.Server
	res  *authtest.Resource
	pool []*auth.Pool
	b    *realservers.Browser

	mu        sync.Mutex
	turn      int
	events    []weblogin.Event
	callbacks []string // their addresses, and who was signed in
}

func newWeb(t *testing.T) *web {
	w := &web{t: t, as: authtest.NewServerConfig(t, authtest.Config{Page: true})}
	w.res = w.as.Protect(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "{}") }), authtest.Protection{Scopes: []string{"read"}})
	var replicas []http.Handler
	proxy := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.turn++
		one := replicas[w.turn%len(replicas)]
		w.mu.Unlock()
		one.ServeHTTP(rw, r)
	}))
	t.Cleanup(proxy.Close)
	w.url = strings.Replace(proxy.URL, "127.0.0.1", "localhost", 1)
	store := new(auth.MemoryStore)
	for range 2 {
		logins, err := weblogin.New(weblogin.Config{BaseURL: w.url + "/oauth", Store: store, Subject: w.user, OnEvent: w.note})
		if err != nil {
			t.Fatal(err)
		}
		cfg := &auth.Config{Grant: logins, HTTPClient: w.as.Client()}
		pool, err := auth.NewPool(auth.PoolConfig{Store: store, Config: func(_, _ string) (*auth.Config, error) { return cfg, nil }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = pool.Close(), logins.Close() })
		mux := http.NewServeMux()
		mux.Handle("/oauth/", logins.Handler(pool))
		mux.HandleFunc("/", w.home)
		replicas, w.pool = append(replicas, mux), append(w.pool, pool)
	}
	w.b = realservers.OpenBrowser(t)
	return w
}

// home is the gateway's own page: it signs in, and says who is.
func (w *web) home(rw http.ResponseWriter, r *http.Request) {
	user := r.FormValue("user")
	if user != "" {
		mode := http.SameSiteLaxMode
		if r.FormValue("strict") != "" {
			mode = http.SameSiteStrictMode
		}
		http.SetCookie(rw, &http.Cookie{Name: "session", Value: user, Path: "/", Secure: true, HttpOnly: true, SameSite: mode})
	}
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(rw, "<!doctype html><title>Gateway</title><p>Signed in as %q.", user)
}

func (w *web) user(r *http.Request) (string, error) {
	user := ""
	if c, err := r.Cookie("session"); err == nil {
		user = c.Value
	}
	if strings.HasSuffix(r.URL.Path, "/callback") {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.callbacks = append(w.callbacks, "https://"+r.Host+r.URL.RequestURI()+" "+user)
	}
	if user == "" {
		return "", errNobody
	}
	return user, nil
}

func (w *web) note(_ context.Context, e weblogin.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

// refused wants the reasons why requests were refused since the last call.
func (w *web) refused(want ...weblogin.Reason) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	var got []weblogin.Reason
	for _, e := range w.events {
		var why *weblogin.Error
		if e.Type == weblogin.Refused && errors.As(e.Err, &why) {
			got = append(got, why.Reason)
		}
	}
	w.events = nil
	if !slices.Equal(got, want) {
		w.t.Errorf("refused %v, want %v", got, want)
	}
}

// returned are the addresses of the callbacks so far, and who was signed in.
func (w *web) returned() (addresses, users []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.callbacks {
		address, user, _ := strings.Cut(one, " ")
		addresses, users = append(addresses, address), append(users, user)
	}
	return addresses, users
}

func (w *web) signIn(b *realservers.Browser, user, more string) {
	w.t.Helper()
	b.Visit(w.url + "/?user=" + user + more)
	b.WaitFor("Signed in as")
}

// link is the link that a call of user's gets.
func (w *web) link(user string) string {
	w.t.Helper()
	_, err := w.pool[0].Source(user, w.res.URL).Resolve(w.t.Context(), nil, auth.Challenge{Status: 401, Scopes: []string{"read"}})
	var required *auth.LoginRequiredError
	if !errors.As(err, &required) {
		w.t.Fatalf("got %v, want a link", err)
	}
	return required.URL
}

// begin follows a link of user's to the authorization server's page.
func (w *web) begin(link string) {
	w.t.Helper()
	w.b.Visit(link)
	w.b.WaitFor("It asks for access to")
}

// connected wants these users to have tokens, and no others.
func (w *web) connected(users ...string) {
	w.t.Helper()
	for _, user := range []string{"alice", "bob"} {
		for i, pool := range w.pool {
			_, err := pool.Source(user, w.res.URL).Resolve(auth.WithoutUser(w.t.Context()), nil, auth.Challenge{Status: 401})
			if has := err == nil; has != slices.Contains(users, user) {
				w.t.Errorf("replica %d has a token of %s: %v, %v", i+1, user, has, err)
			}
		}
	}
}

// The cookie that shows that the same browser comes back is one that no other host
// can set, no script can read, and that goes along from another site.
func TestRealCookieInChromium(t *testing.T) {
	w := newWeb(t)
	w.signIn(w.b, "alice", "")
	w.begin(w.link("alice"))
	w.b.Back()
	w.b.WaitFor("Signed in as")
	var found []realservers.Cookie
	for _, c := range w.b.Cookies() {
		if strings.HasPrefix(c.Name, "__Host-mcplogin-") {
			found = append(found, c)
		}
	}
	if len(found) != 1 || !found[0].Secure || !found[0].HTTPOnly || found[0].SameSite != "Lax" || found[0].Path != "/" {
		t.Errorf("cookies %+v", found)
	}
	w.b.Visit(w.link("alice"))
	w.b.Click("#approve")
	w.b.WaitFor("Connected")
	if at := w.b.Address(); at != w.url+"/oauth/done" {
		t.Errorf("the address is %s at the end, which may have a code in it", at)
	}
	w.b.Screenshot("weblogin-done")
	w.refused()
	w.connected("alice")
}

// The browser keeps a session cookie that is Strict when it comes from another
// site. The callback loads itself once more, and the browser brings it.
func TestRealStrictSessionInChromium(t *testing.T) {
	w := newWeb(t)
	w.signIn(w.b, "alice", "&strict=1")
	w.begin(w.link("alice"))
	w.b.Click("#approve")
	w.b.WaitFor("Connected")
	if _, users := w.returned(); !slices.Equal(users, []string{"", "alice"}) {
		t.Errorf("the callback was loaded by %q", users)
	}
	w.refused()
	w.connected("alice")
}

// A session that is not there, at the start or at the end, is a page that says so.
// After the person has signed in, the same link and the same answer are good.
func TestRealNoSessionInChromium(t *testing.T) {
	w := newWeb(t)
	link := w.link("alice")
	w.b.Visit(link)
	w.b.WaitFor("Please sign in")
	w.refused(weblogin.NoSession)
	w.signIn(w.b, "alice", "")
	w.begin(link)
	left := w.b.Tab()
	w.b.Visit(w.url + "/")
	w.b.DropCookie("session") // signed out in another tab
	w.b.Switch(left)
	w.b.Click("#approve")
	w.b.WaitFor("Please sign in")
	w.b.Screenshot("weblogin-no-session")
	w.refused(weblogin.NoSession)
	w.connected()
	w.b.Tab()
	w.signIn(w.b, "alice", "")
	w.b.Switch(left)
	w.b.Reload()
	w.b.WaitFor("Connected")
	w.refused()
	w.connected("alice")
}

// Two tabs are two logins, and end in any order.
func TestRealTabsInChromium(t *testing.T) {
	w := newWeb(t)
	w.signIn(w.b, "alice", "")
	link := w.link("alice")
	w.begin(link)
	first := w.b.Tab()
	w.begin(link)
	second := w.b.Tab()
	w.begin(w.link("alice"))
	for _, tab := range []string{"", first, second} { // where it is now, then the others
		if tab != "" {
			w.b.Switch(tab)
		}
		w.b.Click("#approve")
		w.b.WaitFor("Connected")
	}
	w.refused()
	w.connected("alice")
	if n := w.as.Counts().Token; n != 3 {
		t.Errorf("%d token requests, want one for each tab", n)
	}
}

// The back button leads to pages that were there before. The server's can be left
// for the link again; its answer is good once.
func TestRealBackButtonInChromium(t *testing.T) {
	w := newWeb(t)
	w.signIn(w.b, "alice", "")
	link := w.link("alice")
	w.begin(link)
	w.b.Back()
	w.b.WaitFor("Signed in as")
	w.begin(link)
	w.b.Click("#deny")
	w.b.WaitFor("Not allowed")
	w.b.Screenshot("weblogin-denied")
	w.refused(weblogin.Denied)
	w.connected()
	w.b.Click("a") // Try again
	w.b.WaitFor("It asks for access to")
	w.b.Click("#approve")
	w.b.WaitFor("Connected")
	w.refused()
	w.b.Back()
	w.b.WaitFor("It asks for access to")
	w.b.Click("#approve") // another code for the same login
	w.b.WaitFor("Already done")
	w.refused(weblogin.Used)
	w.connected("alice")
	if n := w.as.Counts().Token; n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
}

// A callback that is loaded again says that this is done, and nothing is sent.
func TestRealReloadInChromium(t *testing.T) {
	w := newWeb(t)
	w.signIn(w.b, "alice", "")
	w.begin(w.link("alice"))
	w.b.Click("#approve")
	w.b.WaitFor("Connected")
	w.b.Reload() // the address has no code any more
	w.b.WaitFor("Connected")
	w.refused()
	addresses, _ := w.returned()
	for range 2 {
		w.b.Visit(addresses[0])
		w.b.WaitFor("Already done")
		w.refused(weblogin.Used)
		w.b.Reload()
		w.b.WaitFor("Already done")
		w.refused(weblogin.Used)
	}
	w.b.Screenshot("weblogin-already-done")
	w.connected("alice")
	if n := w.as.Counts().Token; n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
}

// Two users share a browser. What one began does not end for the other, and each
// can connect.
func TestRealTwoUsersInChromium(t *testing.T) {
	w := newWeb(t)
	w.signIn(w.b, "alice", "")
	w.begin(w.link("alice"))
	alices := w.b.Tab()
	w.signIn(w.b, "bob", "") // in place of alice
	w.begin(w.link("bob"))
	bobs := w.b.Tab()
	w.b.Switch(alices)
	w.b.Click("#approve")
	w.b.WaitFor("Another account")
	w.b.Screenshot("weblogin-other-user")
	w.refused(weblogin.OtherUser)
	w.connected()
	w.b.Switch(bobs)
	w.b.Click("#approve")
	w.b.WaitFor("Connected")
	w.refused()
	w.connected("bob")
	w.signIn(w.b, "alice", "")
	w.b.Visit(w.link("alice"))
	w.b.Click("#approve")
	w.b.WaitFor("Connected")
	w.connected("alice", "bob")
}

// Two users have a browser each. A link, and an answer, that one sends the other
// bind nothing.
func TestRealTwoBrowsersInChromium(t *testing.T) {
	w := newWeb(t)
	bobs := realservers.OpenBrowser(t)
	w.signIn(w.b, "alice", "")
	w.signIn(bobs, "bob", "")
	bobs.Visit(w.link("alice"))
	bobs.WaitFor("This link does not work")
	w.refused(weblogin.Unknown)
	w.begin(w.link("alice"))
	u, err := url.Parse(w.b.Address())
	if err != nil {
		t.Fatal(err)
	}
	callback := w.url + "/oauth/callback?" + url.Values{"code": {"of alice's"}, "state": {u.Query().Get("state")}, "iss": {w.as.Issuer}}.Encode()
	bobs.Visit(callback)
	bobs.WaitFor("Not started here")
	bobs.Screenshot("weblogin-not-started-here")
	w.refused(weblogin.NoCookie)
	w.b.Click("#approve")
	w.b.WaitFor("Connected")
	w.connected("alice")
}

// A browser that lost the cookie did not begin the login.
func TestRealCookieLostInChromium(t *testing.T) {
	w := newWeb(t)
	w.signIn(w.b, "alice", "")
	w.begin(w.link("alice"))
	left := w.b.Tab()
	w.b.Visit(w.url + "/?user=alice")
	for _, c := range w.b.Cookies() {
		if c.Name != "session" {
			w.b.DropCookie(c.Name)
		}
	}
	w.b.Switch(left)
	w.b.Click("#approve")
	w.b.WaitFor("Not started here")
	w.refused(weblogin.NoCookie)
	w.connected()
}
