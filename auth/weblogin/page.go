package weblogin

import (
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Outcome is what a page has to say.
type Outcome struct {
	// Status is what the response should have.
	Status int
	// Title and Text are for the person, in English. It is text, not HTML.
	Title, Text string
	// Again is where the person can try again; empty: that does not help.
	Again string
	// Err is why the request did not get on; nil: the login is done. Its text is for
	// logs, not for people.
	Err *Error
}

type text struct {
	status           int
	title, text, log string
}

var texts = map[Reason]text{
	NoSession: {http.StatusUnauthorized, "Please sign in", "Sign in to this site first, then open the link again.", "nobody is signed in"},
	OtherUser: {http.StatusForbidden, "Another account", "This was started with another account than the one that is signed in now. Nothing was connected.", "another user is signed in than the one who began"},
	NoCookie:  {http.StatusBadRequest, "Not started here", "This was not started in this browser, or the browser did not keep the cookie. Nothing was connected. Start again from the program.", "the browser that came back did not begin the login"},
	Unknown:   {http.StatusNotFound, "This link does not work", "It is too old, or it is for another account. Start again from the program.", "there is no such login for this user"},
	Used:      {http.StatusConflict, "Already done", "This was finished before. You can close this page.", "the login has its answer already"},
	State:     {http.StatusBadRequest, "This is not the expected answer", "It does not belong to anything that was started here. Nothing was connected.", "the answer's state is forged or missing"},
	Denied:    {http.StatusForbidden, "Not allowed", "You, or the server, did not allow it. Nothing was connected.", "the person or the server said no"},
	Failed:    {http.StatusBadGateway, "This did not work", "Nothing was connected. Try again in a moment.", "no token came of it"},
}

func outcomeOf(e *Error) Outcome {
	t := texts[e.Reason]
	return Outcome{Status: t.status, Title: t.title, Text: t.text, Err: e}
}

func outcomeDone(again string) Outcome {
	return Outcome{Status: http.StatusOK, Title: "Connected", Text: "You can close this page and go back.", Again: again}
}

// show writes a page.
func (l *Logins) show(w http.ResponseWriter, r *http.Request, o Outcome) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	if l.cfg.Page != nil {
		bare := r.Clone(r.Context())
		bare.URL.RawQuery, bare.RequestURI = "", bare.URL.Path
		l.cfg.Page(w, bare, o)
		return
	}
	again := ""
	if o.Again != "" {
		again = `<p><a href="` + html.EscapeString(o.Again) + `">Try again</a></p>`
	}
	write(w, o.Status, o.Title, "<h1>"+html.EscapeString(o.Title)+"</h1><p>"+html.EscapeString(o.Text)+"</p>"+again, "")
}

// again reloads the callback from this site: browsers keep cookies with
// SameSite=Strict from a request that another site has led to.
func (l *Logins) again(w http.ResponseWriter, answer url.Values) {
	answer.Set("again", "1")
	to := html.EscapeString(l.at("/callback", answer))
	write(w, http.StatusOK, "One moment", `<p>One moment.</p>`, `<meta http-equiv="refresh" content="0; url=`+to+`">`)
}

func write(w http.ResponseWriter, status int, title, body, head string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, strings.Join([]string{`<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">`,
		head, "<title>", html.EscapeString(title), "</title>",
		"<style>:root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:15vh auto;padding:0 1rem}</style><body>", body, "</body></html>\n"}, ""))
}
