package browser

import (
	"encoding/base64"
	"html"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/mcptokens/mcptokens/auth"
)

// Page is how the pages look that a [Loopback] shows in the browser. The zero
// value is a plain page that follows the browser's light or dark setting.
type Page struct {
	// Name of the program, above the heading. Default: none.
	Name string

	// Logo of the program, above its name: a PNG, JPEG, GIF, WebP or SVG image of
	// at most 64 KiB. It becomes part of the page. Default: none.
	Logo []byte

	// Handler writes the pages in place of this package: all of the body, and of
	// the header what it changes. The header of w already forbids to store the
	// page, to send its address to others and, by a Content-Security-Policy, to
	// load anything; the request is without the query, which may hold a code.
	// The status is o.Status unless the handler sets another. The page is sent
	// when the handler returns. Default: none.
	Handler func(w http.ResponseWriter, r *http.Request, o Outcome)
}

// OutcomeKind says how a login ended, or why a request was not its answer.
type OutcomeKind string

// The outcomes.
const (
	OutcomeSignedIn OutcomeKind = "signed_in" // there is a token
	OutcomePending  OutcomeKind = "pending"   // there was an answer; the token request takes long
	OutcomeFailed   OutcomeKind = "failed"    // Outcome.Err says why
	OutcomeUsed     OutcomeKind = "used"      // the login has its answer already
	OutcomeOpened   OutcomeKind = "opened"    // the link to the authorization server has been used
	OutcomeForeign  OutcomeKind = "foreign"   // no answer to this login
)

// Outcome is what a page has to say.
type Outcome struct {
	Kind   OutcomeKind
	Status int // of the HTTP response

	// Title and Text are the texts of the kind, see [Texts].
	Title, Text string

	// Reason is why a login failed, in words for the person; see [Texts.Reason].
	Reason string

	// Said is the error that the answer carried, as the server, or with
	// [OutcomeForeign] anybody, wrote it: on one line, without control, direction
	// and invisible characters, at most 300 characters. It is text, not HTML.
	Said string

	// Err is what the login failed with. Its text is for logs, not for people.
	Err error
}

// maxLogo bounds Page.Logo, in bytes.
const maxLogo = 64 << 10

func (p Page) check() error {
	switch {
	case len(p.Logo) > maxLogo:
		return &auth.ConfigError{Field: "Loopback.Page.Logo", Problem: "is larger than 64 KiB"}
	case len(p.Logo) > 0 && imageType(p.Logo) == "":
		return &auth.ConfigError{Field: "Loopback.Page.Logo", Problem: "is none of PNG, JPEG, GIF, WebP and SVG"}
	}
	return nil
}

func imageType(data []byte) string {
	switch t := http.DetectContentType(data); t {
	case "image/png", "image/jpeg", "image/gif", "image/webp":
		return t
	}
	if strings.Contains(string(data[:min(len(data), 1<<10)]), "<svg") {
		return "image/svg+xml" // an image runs no scripts
	}
	return ""
}

// pages writes the pages of one login.
type pages struct {
	Page
	texts Texts
}

// outcome returns an outcome with its texts.
func (p pages) outcome(kind OutcomeKind) Outcome {
	o, m := Outcome{Kind: kind, Status: http.StatusOK}, p.texts.Failed
	switch kind {
	case OutcomeSignedIn:
		m = p.texts.SignedIn
	case OutcomePending:
		m = p.texts.Pending
	case OutcomeUsed:
		o.Status, m = http.StatusConflict, p.texts.Used
	case OutcomeOpened:
		o.Status, m = http.StatusConflict, p.texts.Opened
	case OutcomeForeign:
		o.Status, m = http.StatusBadRequest, p.texts.Foreign
	}
	o.Title, o.Text = m.Title, m.Text
	return o
}

// failed is the outcome of a login that ended with err after an answer that
// carried said.
func (p pages) failed(err error, said string) Outcome {
	o := p.outcome(OutcomeFailed)
	o.Err, o.Said, o.Reason = err, said, p.texts.Reason(err)
	return o
}

// show sends the page of o, down to the socket: when it returns the connection
// may be closed.
func (p pages) show(w http.ResponseWriter, r *http.Request, o Outcome) {
	setHeader(w.Header())
	if p.Handler == nil {
		write(w, o.Status, p.html(o))
		return
	}
	bare := r.Clone(r.Context())
	bare.URL, bare.RequestURI = &url.URL{Path: r.URL.Path}, r.URL.Path
	b := &buffered{header: w.Header(), status: o.Status}
	p.Handler(b, bare, o)
	write(w, b.status, b.body.String())
}

// buffered keeps what a handler writes: a page has to be sent whole, with its
// length, before the listener is closed.
type buffered struct {
	header http.Header
	status int
	body   strings.Builder
}

func (b *buffered) Header() http.Header               { return b.header }
func (b *buffered) WriteHeader(status int)            { b.status = status }
func (b *buffered) Write(data []byte) (int, error)    { return b.body.Write(data) }
func (b *buffered) WriteString(s string) (int, error) { return b.body.WriteString(s) }

// refuse answers a request to an address that is none of the login's.
func (p pages) refuse(w http.ResponseWriter, status int) {
	setHeader(w.Header())
	write(w, status, p.html(Outcome{Title: http.StatusText(status)}))
}

func setHeader(h http.Header) {
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer") // the address holds the code
	h.Set("X-Content-Type-Options", "nosniff")
}

func write(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
	_ = http.NewResponseController(w).Flush()
}

// html returns the document. It is put together by hand: html/template finds
// methods by name, with reflect, and the linker then has to keep every exported
// method of the whole program.
func (p pages) html(o Outcome) string {
	var b strings.Builder
	text := func(before, text, after string) {
		if text != "" {
			b.WriteString(before + html.EscapeString(text) + after)
		}
	}
	class, mark := "failed", "✕"
	switch o.Kind {
	case OutcomeSignedIn, OutcomePending:
		class, mark = "ok", "✓"
	}
	b.WriteString("<!DOCTYPE html>\n")
	text(`<html lang="`, p.texts.Language, "\">\n")
	b.WriteString(pageHead)
	text("<title>", o.Title, "</title>\n")
	b.WriteString("<style>\n" + pageStyle + "</style>\n</head>\n<body dir=\"auto\">\n<main class=\"" + class + "\">\n")
	if len(p.Logo) > 0 {
		b.WriteString(`<img class="logo" alt="" src="data:` + imageType(p.Logo) + ";base64," + base64.StdEncoding.EncodeToString(p.Logo) + "\">\n")
	}
	text(`<p class="name">`, p.Name, "</p>\n")
	b.WriteString(`<div class="mark" aria-hidden="true">` + mark + "</div>\n")
	text("<h1>", o.Title, "</h1>\n")
	after := o.Text
	if o.Reason != "" {
		text(`<p class="reason">`, o.Reason, "</p>\n")
	} else {
		text("<p>", o.Text, "</p>\n")
		after = ""
	}
	if o.Said != "" {
		text(`<p class="said">`, p.texts.Says+" “"+o.Said+"”", "</p>\n")
	}
	text("<p>", after, "</p>\n")
	b.WriteString("</main>\n</body>\n</html>\n")
	return b.String()
}

const pageHead = `<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
`

const pageStyle = `:root { --back: #f4f5f7; --card: #fff; --ink: #1b1f24; --soft: #57606a; --line: #d8dee4; --mark: #1a7f37; }
.failed { --mark: #b42318; }
@media (prefers-color-scheme: dark) {
  :root { --back: #0d1117; --card: #161b22; --ink: #e6edf3; --soft: #9aa4af; --line: #30363d; --mark: #3fb950; }
  .failed { --mark: #ff7b72; }
}
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem;
  background: var(--back); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 30rem; width: 100%; padding: 2.5rem 2rem; background: var(--card); overflow-wrap: anywhere;
  border: 1px solid var(--line); border-top: 4px solid var(--mark); border-radius: .75rem; text-align: center; }
.logo { display: block; margin: 0 auto .5rem; max-width: 8rem; max-height: 4rem; }
.name { margin: 0 0 1.25rem; font-weight: 600; color: var(--ink); }
.mark { font-size: 2.25rem; line-height: 1; color: var(--mark); }
h1 { margin: .75rem 0 .5rem; font-size: 1.5rem; line-height: 1.25; }
p { margin: .75rem 0 0; color: var(--soft); text-wrap: balance; }
.reason { color: var(--ink); }
.said { padding: .75rem 1rem; border: 1px solid var(--line); border-radius: .5rem;
  font-size: .875rem; text-align: start; text-wrap: wrap; }
@media (max-width: 30rem) { body { padding: .75rem; } main { padding: 2rem 1.25rem; } }
`
