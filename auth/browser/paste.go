package browser

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/internal/errtext"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// Paste is a login without a listener, for machines that no browser reaches:
// the user opens the authorization URL in a browser anywhere, which ends on a
// page that does not load, or on one that shows a code, and pastes its address
// or the code. The zero value asks on the terminal.
//
// An address has to carry the state of the login. A code alone has none; what
// binds it to the login is the code challenge (RFC 9700 section 4.7.1), and the
// server's metadata must not promise an iss (RFC 9207).
type Paste struct {
	// RedirectURI is where the browser ends. Nothing has to listen there; a
	// server that shows codes has a page for it. It has to be registered.
	// Default: the first preferred redirect URI, else
	// "http://127.0.0.1:33418/callback".
	RedirectURI string

	// Ask asks the user, see [Loopback.Ask]. Default: the terminal.
	Ask func(ctx context.Context, q Question) (string, error)

	// QR returns an address as a QR code in characters, to be scanned from the
	// terminal with a phone; it is shown below the address, if Ask is not set.
	// Any library that draws one will do, so that programs without it do not
	// link one. Default: none.
	QR func(url string) string

	// Texts are the words on the terminal. Default: English.
	Texts Texts

	// Timeout is how long to wait for the user. Default: 5 minutes.
	Timeout time.Duration

	terminal func() *terminal // for tests; nil: the standard one
}

var _ auth.UserAgent = Paste{}

// Verifier is what the sessions of [Loopback] and [Paste] implement besides
// auth.UserAgentSession, for grants. Verify is called before Visit; check says
// whether an answer can be used. Where it refuses a pasted one with
// [auth.ErrIssuerParameter] and there is no iss, the user is asked for the rest
// of the address. All else that check refuses is left to the grant.
type Verifier interface {
	Verify(check func(answer url.Values) error)
}

var (
	_ Verifier = (*session)(nil)
	_ Verifier = (*pasteSession)(nil)
)

// Question is what a user is asked. With fmt, log/slog and encoding/json it shows no
// query of URL, which identifies this login: show its fields.
type Question struct {
	// URL has to be opened, in any browser.
	URL string
	// RedirectURI is how the address begins that is to be pasted.
	RedirectURI string
	// Problem says what was wrong with what was pasted before and what to paste,
	// in the words of [TerminalTexts]; it is empty the first time.
	Problem string
}

// Format makes every fmt verb print the question without the query of URL.
func (q Question) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, q.redacted()) }

// LogValue implements [slog.LogValuer] without the query of URL.
func (q Question) LogValue() slog.Value { return slog.StringValue(q.redacted()) }

// MarshalJSON encodes what Format prints.
func (q Question) MarshalJSON() ([]byte, error) { return json.Marshal(q.redacted()) }

func (q Question) redacted() string { return "browser.Question{" + httpx.ShownURL(q.URL) + "}" }

// Start implements auth.UserAgent. A field that makes no sense is an
// *[auth.ConfigError]; without Ask and without a terminal the error is
// [ErrNoTerminal].
func (p Paste) Start(_ context.Context, preferred []string) (auth.UserAgentSession, error) {
	redirectURI, redirect := chooseRedirectURI(p.RedirectURI, preferred)
	switch {
	case redirect == nil:
		return nil, &auth.ConfigError{Field: "Paste.RedirectURI", Problem: "is not an absolute URI without fragment; use one such as " + defaultRedirectURI}
	case p.Timeout < 0:
		return nil, &auth.ConfigError{Field: "Paste.Timeout", Problem: "is negative; leave it zero for " + defaultTimeout.String()}
	}
	texts := p.Texts.withDefaults().Terminal
	ask := p.Ask
	if ask == nil {
		t := standardTerminal()
		if p.terminal != nil { // a test's
			t = p.terminal()
		}
		if t == nil {
			return nil, fail(ErrNoTerminal.Error()+": run the program in a terminal", ErrNoTerminal)
		}
		t.qr = p.QR
		ask = t.asker(texts, true)
	}
	return &pasteSession{
		asking:  asking{ask: ask, texts: texts, redirectURI: redirectURI},
		timeout: cmp.Or(p.Timeout, defaultTimeout),
	}, nil
}

type pasteSession struct {
	asking
	timeout time.Duration
}

func (s *pasteSession) RedirectURI() string { return s.redirectURI }

// Finish implements auth.UserAgentSession. The program tells the user.
func (s *pasteSession) Finish(error) {}

// Visit implements auth.UserAgentSession.
func (s *pasteSession) Visit(ctx context.Context, authorizationURL, state string) (url.Values, error) {
	if state == "" {
		return nil, errNoState()
	}
	if _, err := httpx.CheckURLFor(ctx, "authorization URL", authorizationURL); err != nil {
		return nil, fail("browser: "+err.Error(), err)
	}
	asked, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	answer, err := s.run(asked, authorizationURL, state)
	switch {
	case err == nil:
		return answer, nil
	case ctx.Err() != nil:
		return nil, givenUp(ctx.Err())
	case asked.Err() != nil:
		return nil, tooLate(s.timeout)
	}
	return nil, err
}

// maxPastes bounds how often an Ask is called that never returns anything useful.
const maxPastes = 50

// asking asks a user until there is an answer.
type asking struct {
	ask         func(context.Context, Question) (string, error)
	texts       TerminalTexts
	redirectURI string
	verify      func(url.Values) error // may be nil
}

// Verify implements [Verifier].
func (a *asking) Verify(check func(answer url.Values) error) { a.verify = check }

func (a *asking) run(ctx context.Context, target, state string) (url.Values, error) {
	q := Question{URL: target, RedirectURI: a.redirectURI}
	for range maxPastes {
		text, err := a.ask(ctx, q)
		if errors.Is(err, io.EOF) {
			return nil, fail("browser: the user ended the sign-in without an answer", err)
		}
		if err != nil {
			return nil, fail("browser: the user gave no answer: "+errtext.Describe(err), err)
		}
		answer, problem := a.read(text, target, state)
		if problem == "" {
			return answer, nil
		}
		q.Problem = problem
	}
	return nil, fail("browser: nothing that was pasted is an answer to this login")
}

// read reads what was pasted. If it cannot be used, problem says why and what
// to paste.
func (a *asking) read(text, target, state string) (answer url.Values, problem string) {
	text = trimPaste(text)
	if text == "" {
		return nil, a.texts.Empty
	}
	query, isAddress := pastedQuery(text)
	if !isAddress {
		return a.readCode(text, state)
	}
	answer = readAnswer(query)
	complete := answer.Get("code") != "" || answer.Get("error") != ""
	switch {
	case !complete && (text == target || answer.Has("code_challenge") || answer.Has("response_type")):
		return nil, a.texts.NotYet
	case answer.Has("state") && !carries(answer, state):
		return nil, a.cutOrOther(answer, state)
	case !answer.Has("state") && !complete:
		return nil, a.texts.NoAnswer
	case !answer.Has("state"), !complete, a.lacksIssuer(answer):
		return nil, a.texts.Incomplete
	case repeated(answer) != "":
		return nil, a.texts.NoAnswer
	}
	return answer, ""
}

// cutOrOther tells a state that was cut off from that of another login.
func (a *asking) cutOrOther(answer url.Values, state string) string {
	if got := answer.Get("state"); strings.HasPrefix(state, got) {
		return a.texts.Incomplete
	}
	return a.texts.OtherSignIn
}

// readCode reads a code alone, or one with the state behind a "#", as some
// servers show it.
func (a *asking) readCode(text, state string) (url.Values, string) {
	code, after, hasState := strings.Cut(text, "#")
	switch {
	case strings.ContainsFunc(text, unicode.IsSpace), strings.Contains(text, "://"), len(code) < 4:
		return nil, a.texts.NoAnswer
	case hasState && !carries(url.Values{"state": {after}}, state):
		return nil, a.texts.OtherSignIn
	}
	answer := url.Values{"code": {code}, "state": {state}}
	if a.lacksIssuer(answer) {
		return nil, a.texts.MoreThanCode
	}
	return answer, ""
}

// lacksIssuer reports whether the server sends iss and answer has none. A wrong
// iss is not for the user to repair: the grant refuses it.
func (a *asking) lacksIssuer(answer url.Values) bool {
	return a.verify != nil && !answer.Has("iss") && errors.Is(a.verify(answer), auth.ErrIssuerParameter)
}

// trimPaste removes what a terminal, a mail program or a careful user puts
// around an address.
func trimPaste(text string) string {
	text = strings.ReplaceAll(text, "\x1b[200~", "") // bracketed paste
	text = strings.ReplaceAll(text, "\x1b[201~", "")
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && !unicode.IsSpace(r) || unicode.In(r, unicode.Cf) {
			return -1
		}
		return r
	}, text)
	return strings.TrimSpace(strings.Trim(strings.TrimSpace(text), "\"'`<>“”"))
}

// pastedQuery returns the query of an address, or a query alone. A code alone
// is neither.
func pastedQuery(text string) (string, bool) {
	if _, query, ok := strings.Cut(text, "?"); ok {
		return query, true
	}
	for _, name := range once {
		if strings.HasPrefix(text, name+"=") || strings.Contains(text, "&"+name+"=") {
			return text, true
		}
	}
	return "", false
}
