package browser

import (
	"context"
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
)

const (
	pasteTarget = "https://as.example/authorize?client_id=c&code_challenge=x&response_type=code&state=the-state"
	pasteState  = "the-state"
)

// issuerSent is the check of a grant whose server sends iss.
func issuerSent(answer url.Values) error {
	if answer.Get("iss") != "https://as.example" {
		return &auth.AuthorizationError{Err: auth.ErrIssuerParameter}
	}
	return nil
}

// Each thing that people paste is taken, or it is said what to paste.
func TestPasted(t *testing.T) {
	texts := Texts{}.withDefaults().Terminal
	const callback = "http://127.0.0.1:33418/callback"
	for name, tc := range map[string]struct {
		text    string
		verify  func(url.Values) error
		code    string // expected; empty: problem, or an answer with an error
		problem string
	}{
		"address":                 {text: callback + "?code=the-code&state=the-state", code: "the-code"},
		"with blanks around":      {text: "  " + callback + "?code=the-code&state=the-state\r\n", code: "the-code"},
		"in quotation marks":      {text: `"` + callback + `?code=the-code&state=the-state"`, code: "the-code"},
		"in angle brackets":       {text: "<" + callback + "?code=the-code&state=the-state>", code: "the-code"},
		"bracketed paste":         {text: "\x1b[200~" + callback + "?code=the-code&state=the-state\x1b[201~", code: "the-code"},
		"invisible characters":    {text: "\u200b" + callback + "?code=the-code&state=the-state\ufeff", code: "the-code"},
		"without the scheme":      {text: "127.0.0.1:33418/callback?code=the-code&state=the-state", code: "the-code"},
		"the query alone":         {text: "?code=the-code&state=the-state", code: "the-code"},
		"the query without ?":     {text: "state=the-state&code=the-code", code: "the-code"},
		"odd query":               {text: callback + "?x=%zz;&code=the-code&state=the-state#_=_", code: "the-code"},
		"with iss":                {text: callback + "?code=the-code&state=the-state&iss=https://as.example", verify: issuerSent, code: "the-code"},
		"with a wrong iss":        {text: callback + "?code=the-code&state=the-state&iss=https://evil.example", verify: issuerSent, code: "the-code"}, // the grant refuses it
		"refused by the server":   {text: callback + "?error=access_denied&state=the-state"},
		"code":                    {text: " the-code ", code: "the-code"},
		"code and state":          {text: "the-code#the-state", code: "the-code"},
		"code, server sends iss":  {text: "the-code", verify: issuerSent, problem: texts.MoreThanCode},
		"address without iss":     {text: callback + "?code=the-code&state=the-state", verify: issuerSent, problem: texts.Incomplete},
		"code and another state":  {text: "the-code#other", problem: texts.OtherSignIn},
		"nothing":                 {text: " \n", problem: texts.Empty},
		"quotation marks":         {text: `""`, problem: texts.Empty},
		"a word":                  {text: "yes", problem: texts.NoAnswer},
		"a sentence":              {text: "what do I do now", problem: texts.NoAnswer},
		"address without a query": {text: callback, problem: texts.NoAnswer},
		"another address":         {text: "https://as.example/consent?page=2", problem: texts.NoAnswer},
		"the address to open":     {text: pasteTarget, problem: texts.NotYet},
		"half of it":              {text: "https://as.example/authorize?client_id=c&response_type=code", problem: texts.NotYet},
		"wrong state":             {text: callback + "?code=the-code&state=other", problem: texts.OtherSignIn},
		"longer state":            {text: callback + "?code=the-code&state=the-state2", problem: texts.OtherSignIn},
		"two states":              {text: callback + "?code=the-code&state=the-state&state=other", problem: texts.Incomplete},
		"state cut off":           {text: callback + "?code=the-code&state=the-s", problem: texts.Incomplete},
		"cut before the state":    {text: callback + "?code=the-code", problem: texts.Incomplete},
		"cut before the code":     {text: callback + "?state=the-state", problem: texts.Incomplete},
		"error without a state":   {text: callback + "?error=access_denied", problem: texts.Incomplete},
		"two codes":               {text: callback + "?code=a&code=b&state=the-state", problem: texts.NoAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			a := asking{texts: texts, verify: tc.verify}
			answer, problem := a.read(tc.text, pasteTarget, pasteState)
			if problem != tc.problem {
				t.Fatalf("problem %q, want %q", problem, tc.problem)
			}
			if problem == "" && (answer.Get("code") != tc.code || answer.Get("state") != pasteState) {
				t.Errorf("answer %v, want code %q", answer, tc.code)
			}
		})
	}
}

// Nothing without the state is taken, but a code alone.
func FuzzPasted(f *testing.F) {
	for _, seed := range []string{"code", "code#the-state", "?code=x&state=the-state", "http://127.0.0.1/?code=x&state=o", "<x>", "\x1b[200~", pasteTarget} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a := asking{texts: Texts{}.withDefaults().Terminal}
		answer, problem := a.read(text, pasteTarget, pasteState)
		if problem != "" {
			return
		}
		if !carries(answer, pasteState) || repeated(answer) != "" {
			t.Errorf("%q gives %q", text, answer)
		}
		if strings.Contains(text, "?") && !strings.Contains(unescape(text), pasteState) {
			t.Errorf("%q, without the state, gives %q", text, answer)
		}
	})
}

// script answers questions one after the other, then with io.EOF.
type script struct {
	lines []string
	asked []Question
}

func (s *script) ask(_ context.Context, q Question) (string, error) {
	s.asked = append(s.asked, q)
	if len(s.lines) == 0 {
		return "", io.EOF
	}
	line := s.lines[0]
	s.lines = s.lines[1:]
	return line, nil
}

func TestPaste(t *testing.T) {
	user := &script{lines: []string{"", "the-code", "https://cb.example/done?code=the-code&state=the-state&iss=https://as.example"}}
	s, err := Paste{Ask: user.ask}.Start(t.Context(), []string{"https://cb.example/done"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Finish(nil)
	if s.RedirectURI() != "https://cb.example/done" {
		t.Errorf("RedirectURI = %q", s.RedirectURI())
	}
	s.(Verifier).Verify(issuerSent)
	answer, err := s.Visit(t.Context(), pasteTarget, pasteState)
	if err != nil || answer.Get("code") != "the-code" || answer.Get("iss") != "https://as.example" {
		t.Errorf("Visit = %v, %v", answer, err)
	}
	texts := Texts{}.withDefaults().Terminal
	for i, problem := range []string{"", texts.Empty, texts.MoreThanCode} {
		if i >= len(user.asked) || user.asked[i] != (Question{pasteTarget, "https://cb.example/done", problem}) {
			t.Errorf("questions %+v", user.asked)
		}
	}
}

func TestPasteEnds(t *testing.T) {
	start := func(t *testing.T, p Paste) auth.UserAgentSession {
		t.Helper()
		s, err := p.Start(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if s.RedirectURI() != nowhere {
			t.Errorf("RedirectURI = %q", s.RedirectURI())
		}
		return s
	}
	until := func(ctx context.Context, _ Question) (string, error) { <-ctx.Done(); return "", ctx.Err() }
	for name, tc := range map[string]struct {
		ask    func(context.Context, Question) (string, error)
		cancel bool
		is     error
		has    string
	}{
		"too late":       {until, false, ErrTimeout, "within 5m0s"},
		"canceled":       {until, true, context.Canceled, "given up"},
		"user leaves":    {(&script{}).ask, false, io.EOF, "the user ended the sign-in"},
		"nothing of use": {func(context.Context, Question) (string, error) { return "no", nil }, false, nil, "nothing that was pasted"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := start(t, Paste{Ask: tc.ask})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tc.cancel {
					time.AfterFunc(time.Minute, cancel)
				}
				answer, err := s.Visit(ctx, pasteTarget, pasteState)
				if err == nil || tc.is != nil && !errors.Is(err, tc.is) {
					t.Fatalf("Visit = %v, %v", answer, err)
				}
				wantSafe(t, err)
				wantIn(t, err.Error(), tc.has)
				wantNotIn(t, err.Error(), pasteState)
				s.Finish(err)
			})
		})
	}
	for name, tc := range map[string]struct{ target, state string }{
		"no state":   {pasteTarget, ""},
		"plain http": {"http://as.example/", pasteState},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, Paste{Ask: (&script{}).ask})
			defer s.Finish(nil)
			if _, err := s.Visit(t.Context(), tc.target, tc.state); err == nil || errors.Is(err, io.EOF) {
				t.Errorf("Visit: %v", err)
			}
		})
	}
}

func TestPasteRefusesFieldsThatMakeNoSense(t *testing.T) {
	for field, p := range map[string]Paste{
		"Paste.RedirectURI": {RedirectURI: "/callback"},
		"Paste.Timeout":     {Timeout: -1},
	} {
		var config *auth.ConfigError
		if _, err := p.Start(t.Context(), nil); !errors.As(err, &config) || config.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// noBrowserHere is an Open on a machine without a browser.
func noBrowserHere(string) error { return errNoDisplay }

// Beside the listener the user can paste the answer.
func TestLoopbackAsks(t *testing.T) {
	user := &script{lines: []string{"no", "the-code"}}
	s, done := visit(t, Loopback{Open: noBrowserHere, Ask: user.ask}, "st")
	if got := <-done; got.err != nil || got.query.Get("code") != "the-code" || got.query.Get("state") != "st" {
		t.Errorf("Visit = %v, %v", got.query, got.err)
	}
	if len(user.asked) != 2 || user.asked[0] != (Question{URL: authorizeURL, RedirectURI: s.RedirectURI()}) {
		t.Errorf("questions %+v", user.asked)
	}
	if r := get(t, s.RedirectURI()+"?code=other&state=st"); r.status != 409 {
		t.Errorf("an answer more: %d", r.status)
	}
	began := time.Now()
	s.Finish(nil)
	if time.Since(began) >= finishWait {
		t.Error("Finish waited for a page that no browser wants")
	}
}

// Who opens the URL on this machine after all does not have to paste anything.
func TestLoopbackAsksInVain(t *testing.T) {
	asked, left := make(chan struct{}), make(chan error, 1)
	s, done := visit(t, Loopback{Open: noBrowserHere, Ask: func(ctx context.Context, _ Question) (string, error) {
		close(asked)
		<-ctx.Done()
		left <- ctx.Err()
		return "", ctx.Err()
	}}, "st")
	<-asked
	shown := getLater(t, s.RedirectURI()+"?code=c&state=st")
	if got := <-done; got.err != nil || got.query.Get("code") != "c" {
		t.Errorf("Visit = %v, %v", got.query, got.err)
	}
	s.Finish(nil)
	select {
	case <-left:
	default:
		t.Error("the user is still asked after Finish")
	}
	wantIn(t, (<-shown).body, "Signed in")
}

func TestLoopbackUserLeaves(t *testing.T) {
	s, done := visit(t, Loopback{Open: noBrowserHere, Ask: (&script{}).ask}, "st")
	got := <-done
	if !errors.Is(got.err, io.EOF) {
		t.Errorf("Visit = %v, %v", got.query, got.err)
	}
	s.Finish(got.err)
}

// An Ask is for those whose browser does not open.
func TestLoopbackWithABrowserDoesNotAsk(t *testing.T) {
	s, done := visit(t, Loopback{Ask: func(context.Context, Question) (string, error) {
		t.Error("asked")
		return "", io.EOF
	}}, "st")
	shown := getLater(t, s.RedirectURI()+"?code=c&state=st")
	if got := <-done; got.err != nil {
		t.Error(got.err)
	}
	s.Finish(nil)
	<-shown
}

// The QR code stands below the address, once, where the program has a way to draw
// it.
func TestPasteShowsAQRCode(t *testing.T) {
	for name, draw := range map[string]func(string) string{"none": nil, "one": func(url string) string { return "[QR of " + url + "]" }} {
		t.Run(name, func(t *testing.T) {
			tty, w, out := keyboard(t)
			s, err := Paste{QR: draw, terminal: func() *terminal { return tty }}.Start(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(w, s.RedirectURI()+"?code=c0de&state=st\n")
			if _, err := s.Visit(t.Context(), authorizeURL, "st"); err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(out.String(), "[QR of "+authorizeURL+"]"); (n == 1) != (draw != nil) {
				t.Errorf("%d QR codes in\n%s", n, out)
			}
		})
	}
}
