package browser

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

// FuzzRedirectQuery checks that no request but one with the state of the login,
// once, is taken for its answer, that the next one is not, and that the pages
// stay small.
func FuzzRedirectQuery(f *testing.F) {
	const state = "the-state-of-this-login"
	for _, seed := range []string{
		"code=c&state=" + state, "state=" + state, "error=access_denied&state=" + state + "&iss=https://as.example.com",
		"code=c&state=" + state + "&state=" + state, "code=c&state=other", "code=c", "", "state=" + state + ";code=c",
		"state=%zz", "code=<script>&state=" + state, "%73tate=" + state, "state=" + state + "%00", "code=a%0d%0aX:1&state=" + state,
		"x=%zz;&code=c&state=" + state + "#_=_", "error=a&error_description=%1b%e2%80%ae",
	} {
		f.Add("/callback", seed)
	}
	f.Add("/callback/", "state="+state)
	f.Add("//callback", "state="+state)
	f.Fuzz(func(t *testing.T, path, query string) {
		s := &session{
			path: "/callback", hosts: [2]string{"127.0.0.1:1", "localhost:1"}, state: state,
			pages:  pages{texts: Texts{}.withDefaults()},
			answer: make(chan url.Values, 1), finished: make(chan struct{}), shown: make(chan struct{}),
		}
		close(s.finished) // no page waits for the outcome
		var pages [2]*httptest.ResponseRecorder
		for i := range pages {
			pages[i] = httptest.NewRecorder()
			s.ServeHTTP(pages[i], &http.Request{Method: http.MethodGet, Host: "127.0.0.1:1", URL: &url.URL{Path: path, RawQuery: query}})
		}
		values := readAnswer(query)
		want := path == "/callback" && len(values["state"]) == 1 && values["state"][0] == state
		select {
		case got := <-s.answer:
			if !want || got.Get("state") != state {
				t.Errorf("%q is taken for the answer", query)
			}
			if pages[0].Code != http.StatusOK || pages[1].Code == http.StatusOK {
				t.Errorf("answered %d, then %d", pages[0].Code, pages[1].Code)
			}
		default:
			if want {
				t.Errorf("%q is not taken for the answer", query)
			}
			if pages[0].Code == http.StatusOK {
				t.Errorf("answered %d", pages[0].Code)
			}
		}
		if len(s.answer) != 0 {
			t.Error("two answers")
		}
		for _, p := range pages {
			if p.Body.Len() > 8<<10 {
				t.Errorf("a page of %d bytes", p.Body.Len())
			}
		}
	})
}
