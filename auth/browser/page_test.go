package browser

import (
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
)

// end sends query to a login that ends with err and returns its page.
func end(t *testing.T, l Loopback, query string, err error) reply {
	t.Helper()
	s, done := visit(t, l, "st")
	shown := getLater(t, s.RedirectURI()+query)
	<-done
	s.Finish(err)
	r := <-shown
	if r.err != nil {
		t.Fatal(r.err)
	}
	return r
}

const (
	pngHead = "\x89PNG\r\n\x1a\n"
	svg     = `<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>x()</script></svg>`
)

func TestPageWithNameAndLogo(t *testing.T) {
	r := end(t, Loopback{Page: Page{Name: "Tools & <More>", Logo: []byte(svg)}}, "?code=c&state=st", nil)
	wantIn(t, r.body, "Tools &amp; &lt;More&gt;", `<img class="logo" alt="" src="data:image/svg+xml;base64,`)
	wantNotIn(t, r.body, "<script", "<More>")
	wantIn(t, r.header.Get("Content-Security-Policy"), "default-src 'none'", "img-src data:")
}

func TestPageRefusesLogos(t *testing.T) {
	for name, tc := range map[string]struct {
		logo string
		ok   bool
	}{
		"png":       {pngHead, true},
		"svg":       {svg, true},
		"as it can": {pngHead + strings.Repeat("x", maxLogo-len(pngHead)), true},
		"too large": {pngHead + strings.Repeat("x", maxLogo), false},
		"a page":    {"<!DOCTYPE html><p>x", false},
		"text":      {"logo.png", false},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Loopback{Page: Page{Logo: []byte(tc.logo)}}.Start(t.Context(), nil)
			if err == nil {
				s.Finish(nil)
			}
			var config *auth.ConfigError
			if tc.ok != (err == nil) || !tc.ok && (!errors.As(err, &config) || config.Field != "Loopback.Page.Logo") {
				t.Errorf("Start: %v", err)
			}
		})
	}
}

func TestPageInAnotherLanguage(t *testing.T) {
	l := Loopback{Texts: Texts{
		Language: "de",
		SignedIn: Message{"Angemeldet", "Sie können dieses Fenster schließen."},
		Failed:   Message{Title: "Nicht angemeldet"},
		Says:     "Die Antwort lautet:",
		Reason:   func(error) string { return "Es ging <schief>." },
	}}
	r := end(t, l, "?code=c&state=st", nil)
	wantIn(t, r.body, `<html lang="de">`, "<title>Angemeldet</title>", "Sie können dieses Fenster schließen.")
	wantNotIn(t, r.body, "Signed in", "You can close")
	r = end(t, l, "?error=no&state=st", errors.New("x"))
	wantIn(t, r.body, "<h1>Nicht angemeldet</h1>", "Es ging &lt;schief&gt;.", "Die Antwort lautet: “no”",
		"Close this window and try again") // what is left out stays English
}

// No text is left out where a language is complete, and none is without a
// default.
func TestEveryTextHasADefault(t *testing.T) {
	var check func(v reflect.Value, name string)
	check = func(v reflect.Value, name string) {
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				check(v.Field(i), name+"."+v.Type().Field(i).Name)
			}
		default:
			if v.IsZero() {
				t.Errorf("%s has no default", name)
			}
		}
	}
	check(reflect.ValueOf(Texts{}.withDefaults()), "Texts")
}

func TestPageHandler(t *testing.T) {
	failure := &auth.AuthorizationError{Code: "access_denied"}
	type seen struct {
		outcome Outcome
		uri     string
	}
	var got []seen
	l := Loopback{Page: Page{Handler: func(w http.ResponseWriter, r *http.Request, o Outcome) {
		got = append(got, seen{o, r.RequestURI + "|" + r.URL.String() + "|" + r.FormValue("code")})
		w.Header().Set("X-Program", "yes")
		_, _ = io.WriteString(w, "mine: "+o.Title)
	}}}
	r := end(t, l, "?code=the-code&error=access_denied&error_description=No&state=st", failure)
	if r.status != http.StatusOK || r.body != "mine: Sign-in failed" || r.header.Get("X-Program") != "yes" || r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("page: %+v", r)
	}
	want := Outcome{
		Kind: OutcomeFailed, Status: 200, Title: "Sign-in failed", Text: "Close this window and try again from the application.",
		Reason: plainReason(failure), Said: "access_denied: No", Err: failure,
	}
	if len(got) != 1 || got[0].outcome != want || got[0].uri != "/callback|/callback|" {
		t.Errorf("handler was given %+v, want %+v and no query", got, want)
	}
}

func TestPageHandlerStatus(t *testing.T) {
	for name, tc := range map[string]struct {
		write func(w http.ResponseWriter)
		want  int
	}{
		"that of the outcome": {func(w http.ResponseWriter) { _, _ = io.WriteString(w, "x") }, http.StatusBadRequest},
		"its own":             {func(w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot) }, http.StatusTeapot},
		"nothing written":     {func(http.ResponseWriter) {}, http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			var kind OutcomeKind
			s, done := visit(t, Loopback{Page: Page{Handler: func(w http.ResponseWriter, _ *http.Request, o Outcome) {
				kind = o.Kind
				tc.write(w)
			}}}, "st")
			if r := get(t, s.RedirectURI()+"?state=other"); r.status != tc.want || kind != OutcomeForeign {
				t.Errorf("status %d for %s, want %d", r.status, kind, tc.want)
			}
			shown := getLater(t, s.RedirectURI()+"?state=st")
			<-done
			s.Finish(nil)
			<-shown
		})
	}
}

// A handler that fails does not hold up the login.
func TestPageHandlerPanics(t *testing.T) {
	s, done := visit(t, Loopback{Page: Page{Handler: func(http.ResponseWriter, *http.Request, Outcome) { panic("x") }}}, "st")
	shown := getLater(t, s.RedirectURI()+"?code=c&state=st")
	if got := <-done; got.err != nil {
		t.Error(got.err)
	}
	s.Finish(nil)
	if r := <-shown; r.err == nil {
		t.Errorf("page: %+v", r)
	}
}
