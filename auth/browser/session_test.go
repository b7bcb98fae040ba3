package browser

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
)

func TestLoginWorks(t *testing.T) {
	s, done := visit(t, Loopback{}, "st")
	shown := getLater(t, s.RedirectURI()+"?code=the-code&state=st&iss=https%3A%2F%2Fas.example")

	got := <-done
	want := url.Values{"code": {"the-code"}, "state": {"st"}, "iss": {"https://as.example"}}
	if got.err != nil || got.query.Encode() != want.Encode() {
		t.Fatalf("Visit = %v, %v; want %v", got.query, got.err, want)
	}
	select {
	case r := <-shown:
		t.Fatalf("the page was shown before the outcome was known: %+v", r)
	default:
	}
	s.Finish(nil)

	r := <-shown
	if r.err != nil || r.status != http.StatusOK {
		t.Fatalf("page: %d, %v", r.status, r.err)
	}
	wantIn(t, r.body, "<title>Signed in</title>", "You can close this window.", `lang="en"`)
	wantNotIn(t, r.body, "the-code", "as.example", "<script")
	for name, want := range map[string]string{
		"Cache-Control":          "no-store",
		"Referrer-Policy":        "no-referrer",
		"X-Content-Type-Options": "nosniff",
		"Content-Type":           "text/html; charset=utf-8",
	} {
		if got := r.header.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	wantIn(t, r.header.Get("Content-Security-Policy"), "default-src 'none'", "style-src 'unsafe-inline'")

	if r := request(t.Context(), http.MethodGet, s.RedirectURI(), ""); r.err == nil {
		t.Errorf("still listening after Finish: %d", r.status)
	}
}

func TestLoginFails(t *testing.T) {
	s, done := visit(t, Loopback{}, "st")
	shown := getLater(t, s.RedirectURI()+"?error=access_denied&error_description=st+is+%3Cb%3Enot+allowed"+strings.Repeat("é", mostSaid)+"&state=st")
	got := <-done
	if got.err != nil || got.query.Get("error") != "access_denied" {
		t.Fatalf("Visit = %v, %v", got.query, got.err)
	}
	s.Finish(&auth.AuthorizationError{Issuer: "https://as.example", Code: "access_denied"})
	r := <-shown
	if r.err != nil {
		t.Fatal(r.err)
	}
	wantIn(t, r.body, "<title>Sign-in failed</title>", "Access was denied. Either you did not agree",
		"The answer says: “access_denied: … is &lt;b&gt;not allowedé", "é…”", `class="failed"`)
	wantNotIn(t, r.body, "auth:", "as.example", "<b>", strings.Repeat("é", mostSaid))
}

func TestForeignRedirectsAreRefusedAndWaitingGoesOn(t *testing.T) {
	s, done := visit(t, Loopback{}, "st")
	for name, query := range map[string]string{
		"wrong state":  "?code=evil&state=other",
		"prefix":       "?code=evil&state=s",
		"no state":     "?code=evil",
		"empty state":  "?code=evil&state=",
		"two states":   "?code=evil&state=st&state=st",
		"odd query":    "?code=evil&state=no&x=%zz;#",
		"fragment":     "?code=evil#&state=st",
		"error":        "?error=server_error&state=other",
		"error, bare":  "?error=server_error",
		"nothing":      "",
		"state in `;`": "?code=evil;state=st",
	} {
		t.Run(name, func(t *testing.T) {
			r := get(t, s.RedirectURI()+query)
			if r.status != http.StatusBadRequest {
				t.Errorf("status = %d, want 400", r.status)
			}
			wantNotIn(t, r.body, "evil")
		})
	}
	select {
	case got := <-done:
		t.Fatalf("Visit returned: %+v", got)
	default:
	}
	shown := getLater(t, s.RedirectURI()+"?code=good&state=st")
	if got := <-done; got.err != nil || got.query.Get("code") != "good" {
		t.Fatalf("Visit = %+v", got)
	}
	s.Finish(nil)
	if r := <-shown; r.err != nil || r.status != http.StatusOK {
		t.Errorf("page: %+v", r)
	}
}

// What is odd about the rest of a query does not hide the answer.
//
//compat:reading odd parameters in the redirect of a login
//compat:default the answer is read pair by pair
//compat:attack TestRepeatedParametersAreRefused
func TestOddRedirectsAreRead(t *testing.T) {
	for name, query := range map[string]string{
		"semicolon":         "?x=a;b&code=c&state=st",
		"percent":           "?code=c&x=%zz&y=5%&state=st",
		"fragment":          "?code=c&state=st#_=_",
		"number sign":       "?code=c&state=st#",
		"unknown parameter": "?session_state=1&session_state=2&code=c&state=st&scope=a+b",
	} {
		t.Run(name, func(t *testing.T) {
			s, done := visit(t, Loopback{}, "st")
			shown := make(chan reply, 1)
			go func() { shown <- rawGet(s.RedirectURI(), query) }() // http.Client sends no "#"
			if got := <-done; got.err != nil || got.query.Get("code") != "c" || got.query.Get("state") != "st" {
				t.Errorf("Visit = %v, %v", got.query, got.err)
			}
			s.Finish(nil)
			if r := <-shown; r.err != nil || r.status != http.StatusOK {
				t.Errorf("page: %+v", r)
			}
		})
	}
}

// Two values for one parameter are refused: to choose one is to guess.
func TestRepeatedParametersAreRefused(t *testing.T) {
	for _, name := range []string{"code", "iss", "error"} {
		s, done := visit(t, Loopback{}, "st")
		shown := getLater(t, s.RedirectURI()+"?state=st&"+name+"=one&"+name+"=two")
		got := <-done
		if got.err == nil || !strings.Contains(got.err.Error(), `"`+name+`" more than once`) {
			t.Errorf("%s: Visit = %v, %v", name, got.query, got.err)
		} else {
			wantSafe(t, got.err)
		}
		s.Finish(got.err)
		wantIn(t, (<-shown).body, "Sign-in failed")
	}
}

// Anybody can send an error without the state: it ends nothing. If it is the
// server's after all, the person has to see it.
func TestErrorWithoutStateIsShown(t *testing.T) {
	s, done := visit(t, Loopback{}, "st")
	r := get(t, s.RedirectURI()+"?error=access_denied&error_description=%3Cb%3ENo+consent%E2%80%AE%0A%1b[1m"+strings.Repeat("x", 400))
	if r.status != http.StatusBadRequest {
		t.Errorf("status = %d, want 400", r.status)
	}
	wantIn(t, r.body, "Unknown sign-in", "The answer says: “access_denied: &lt;b&gt;No consent\\u202e \\u001b[1mxxx", "…”")
	wantNotIn(t, r.body, "<b>", "\u202e", "\x1b", strings.Repeat("x", mostSaid))
	select {
	case got := <-done:
		t.Fatalf("Visit returned: %+v", got)
	default:
	}
	shown := getLater(t, s.RedirectURI()+"?code=good&state=st")
	if got := <-done; got.err != nil || got.query.Get("code") != "good" {
		t.Errorf("Visit = %+v", got)
	}
	s.Finish(nil)
	<-shown
}

func TestAnswerCountsOnce(t *testing.T) {
	s, done := visit(t, Loopback{}, "st")
	shown := getLater(t, s.RedirectURI()+"?code=one&state=st")
	if got := <-done; got.query.Get("code") != "one" {
		t.Fatalf("Visit = %+v", got)
	}
	r := get(t, s.RedirectURI()+"?code=two&state=st")
	if r.status != http.StatusConflict {
		t.Errorf("second answer: status = %d, want 409", r.status)
	}
	wantIn(t, r.body, "Already used")
	s.Finish(nil)
	if r := <-shown; r.err != nil || !strings.Contains(r.body, "Signed in") {
		t.Errorf("first answer's page: %+v", r)
	}
}

func TestOnlyTheRedirectIsServed(t *testing.T) {
	s, done := visit(t, Loopback{}, "st")
	u, err := url.Parse(s.RedirectURI())
	if err != nil {
		t.Fatal(err)
	}
	origin := "http://" + u.Host
	for name, tc := range map[string]struct {
		method, target, host string
		status               int
	}{
		"favicon":        {"GET", origin + "/favicon.ico?state=st", "", 404},
		"root":           {"GET", origin + "/?state=st", "", 404},
		"below":          {"GET", origin + "/callback/x?state=st", "", 404},
		"dots":           {"GET", origin + "/x/../callback?state=st", "", 404},
		"post":           {"POST", origin + "/callback?state=st", "", 405},
		"head":           {"HEAD", origin + "/callback?state=st", "", 405},
		"rebinding":      {"GET", origin + "/callback?state=st", "evil.example:" + u.Port(), 421},
		"wrong port":     {"GET", origin + "/callback?state=st", "127.0.0.1:1", 421},
		"localhost name": {"GET", origin + "/callback?state=no", "localhost:" + u.Port(), 400},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t.Context(), tc.method, tc.target, tc.host)
			if r.err != nil || r.status != tc.status {
				t.Errorf("%d, %v; want %d", r.status, r.err, tc.status)
			}
			if r.header.Get("Content-Security-Policy") == "" {
				t.Error("no Content-Security-Policy")
			}
		})
	}
	select {
	case got := <-done:
		t.Fatalf("Visit returned: %+v", got)
	default:
	}
	shown := getLater(t, s.RedirectURI()+"?state=st")
	<-done
	s.Finish(nil)
	<-shown
}

func TestNothingIsAcceptedBeforeVisit(t *testing.T) {
	s := start(t, Loopback{})
	defer s.Finish(nil)
	for _, query := range []string{"?code=x&state=", "?code=x&state=st"} {
		if r := get(t, s.RedirectURI()+query); r.status != http.StatusBadRequest {
			t.Errorf("%s: status = %d, want 400", query, r.status)
		}
	}
}

func TestVisitRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ target, state, want string }{
		"no state":   {authorizeURL, "", "state"},
		"file":       {"file:///etc/passwd", "st", "authorization URL"},
		"option":     {"--help", "st", "authorization URL"},
		"plain http": {"http://as.example/authorize", "st", "authorization URL"},
		"javascript": {"javascript:alert(1)", "st", "authorization URL"},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, Loopback{Open: func(string) error {
				t.Error("Open was called")
				return nil
			}})
			defer s.Finish(nil)
			_, err := s.Visit(t.Context(), tc.target, tc.state)
			if err == nil {
				t.Fatal("no error")
			}
			wantSafe(t, err)
			wantIn(t, err.Error(), tc.want)
		})
	}
	t.Run("twice", func(t *testing.T) {
		s, done := visit(t, Loopback{}, "st")
		shown := getLater(t, s.RedirectURI()+"?state=st")
		<-done
		if _, err := s.Visit(t.Context(), authorizeURL, "st"); err == nil {
			t.Error("no error")
		}
		s.Finish(nil)
		<-shown
	})
}

func TestVisitEnds(t *testing.T) {
	t.Run("timeout", func(t *testing.T) {
		s := start(t, Loopback{Timeout: time.Millisecond})
		defer s.Finish(ErrTimeout)
		_, err := s.Visit(t.Context(), authorizeURL, "st")
		if !errors.Is(err, ErrTimeout) {
			t.Fatalf("error = %v, want ErrTimeout", err)
		}
		wantSafe(t, err)
		wantIn(t, err.Error(), "within 1ms")
	})
	t.Run("canceled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := start(t, Loopback{Open: func(string) error { cancel(); return nil }})
		defer s.Finish(nil)
		_, err := s.Visit(ctx, authorizeURL, "st")
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("error = %v, want context.Canceled", err)
		}
		wantSafe(t, err)
	})
	t.Run("too late", func(t *testing.T) {
		s := start(t, Loopback{Timeout: time.Millisecond})
		_, err := s.Visit(t.Context(), authorizeURL, "st")
		late := getLater(t, s.RedirectURI()+"?code=x&state=st")
		<-s.(*session).answer // it has arrived
		s.Finish(err)
		r := <-late
		wantIn(t, r.body, "Sign-in failed", "The sign-in was not finished in time.")
	})
}

func TestOpenFails(t *testing.T) {
	cause := errors.New("cannot open https://as.example/?state=secret")
	t.Run("no prompt", func(t *testing.T) {
		s := start(t, Loopback{NoTerminal: true, Open: func(string) error { return cause }})
		defer s.Finish(nil)
		_, err := s.Visit(t.Context(), authorizeURL, "st")
		if !errors.Is(err, ErrNoBrowser) || !errors.Is(err, cause) {
			t.Fatalf("error = %v, want ErrNoBrowser and its cause", err)
		}
		wantSafe(t, err)
		wantIn(t, err.Error(), "run the program in a terminal")
		wantNotIn(t, err.Error(), "secret")
	})
	t.Run("prompt", func(t *testing.T) {
		var prompted string
		s, done := visit(t, Loopback{
			Prompt:     func(u string) { prompted = u },
			NoTerminal: true,
			Open:       func(string) error { return cause },
		}, "st")
		shown := getLater(t, s.RedirectURI()+"?state=st")
		if got := <-done; got.err != nil {
			t.Errorf("Visit: %v", got.err)
		}
		if prompted != authorizeURL {
			t.Errorf("prompted %q, want %q", prompted, authorizeURL)
		}
		s.Finish(nil)
		<-shown
	})
}

// By default nothing but 127.0.0.1 is listened on, not even the rest of this
// machine's loopback network.
func TestListensOnOneAddress(t *testing.T) {
	s, err := Loopback{}.Start(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Finish(nil)
	u, err := url.Parse(s.RedirectURI())
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]bool{"127.0.0.1": true, "127.0.0.2": false} {
		conn, err := net.Dial("tcp4", net.JoinHostPort(addr, u.Port()))
		if err == nil {
			_ = conn.Close()
		}
		if (err == nil) != want {
			t.Errorf("dialling %s: %v", addr, err)
		}
	}
}
