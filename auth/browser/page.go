package browser

import (
	"bytes"
	"html/template"
	"net/http"
	"strconv"
	"sync"
)

// page is what the browser shows at the end of a login.
type page struct {
	Status int
	Title  string
	Text   string // what to do now
	Reason string // why it failed; may be empty
	OK     bool   // good news; else the page is marked as a failure
}

// The pages. None repeats anything from the request.
var (
	pageSignedIn = page{Status: http.StatusOK, OK: true, Title: "Signed in",
		Text: "You can close this window."}
	pagePending = page{Status: http.StatusOK, OK: true, Title: "Sign-in received",
		Text: "The application is still working on it. You can close this window."}
	pageUsed = page{Status: http.StatusConflict, Title: "Already used",
		Text: "This sign-in was answered before. You can close this window."}
	pageForeign = page{Status: http.StatusBadRequest, Title: "Unknown sign-in",
		Text: "This answer does not belong to the sign-in in progress. Go back to the page that the application opened, or start again."}
)

// maxReason bounds how much of an error is shown, in runes.
const maxReason = 400

func pageFailed(err error) page {
	reason := []rune(err.Error())
	if len(reason) > maxReason {
		reason = append(reason[:maxReason], '…')
	}
	return page{Status: http.StatusOK, Title: "Sign-in failed", Reason: string(reason),
		Text: "Close this window and try again from the application."}
}

// write sends p, down to the socket: when it returns the connection may be
// closed.
func (p page) write(w http.ResponseWriter) {
	var body bytes.Buffer
	if err := pageTemplate().Execute(&body, p); err != nil {
		body.Reset()
		body.WriteString(template.HTMLEscapeString(p.Title))
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer") // the address holds the code
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Connection", "close")
	w.WriteHeader(p.Status)
	_, _ = w.Write(body.Bytes())
	_ = http.NewResponseController(w).Flush()
}

// pageTemplate is parsed at the first login, not at program start.
var pageTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("page").Parse(pageHTML))
})

const pageHTML = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{.Title}}</title>
<style>
:root { --back: #f4f5f7; --card: #fff; --ink: #1b1f24; --soft: #57606a; --line: #d8dee4; --mark: #1a7f37; }
.failed { --mark: #b42318; }
@media (prefers-color-scheme: dark) {
  :root { --back: #0d1117; --card: #161b22; --ink: #e6edf3; --soft: #9aa4af; --line: #30363d; --mark: #3fb950; }
  .failed { --mark: #ff7b72; }
}
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem;
  background: var(--back); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 30rem; width: 100%; padding: 2.5rem 2rem; background: var(--card);
  border: 1px solid var(--line); border-top: 4px solid var(--mark); border-radius: .75rem; text-align: center; }
.mark { font-size: 2.25rem; line-height: 1; color: var(--mark); }
h1 { margin: .75rem 0 .5rem; font-size: 1.5rem; line-height: 1.25; }
p { margin: .5rem 0 0; color: var(--soft); text-wrap: balance; }
.reason { margin: 1rem 0; padding: .75rem 1rem; border: 1px solid var(--line); border-radius: .5rem;
  color: var(--ink); text-align: left; text-wrap: wrap; overflow-wrap: anywhere; }
</style>
</head>
<body>
<main{{if not .OK}} class="failed"{{end}}>
<div class="mark" aria-hidden="true">{{if .OK}}✓{{else}}✕{{end}}</div>
<h1>{{.Title}}</h1>
{{with .Reason}}<p class="reason">{{.}}</p>
{{end}}{{with .Text}}<p>{{.}}</p>
{{end}}</main>
</body>
</html>
`
