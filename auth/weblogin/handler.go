package weblogin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/internal/suspended"
)

// Handler returns the handler to mount at Config.BaseURL, with a pattern that takes
// what is below it, such as "/oauth/". Its routes are
//
//	GET /start?login=…   sends the browser to the authorization server
//	GET /callback?…      the redirect URI
//	GET /done            says that the person can go back
//
// Tokens go to the sources of pool, which should have these logins as the Grant of
// its configurations.
func (l *Logins) Handler(pool *auth.Pool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route, ok := strings.CutPrefix(r.URL.Path, l.base.Path)
		if !ok {
			route = r.URL.Path // mounted with http.StripPrefix
		}
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", http.MethodGet)
			http.Error(w, "only GET", http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Referrer-Policy", "no-referrer") // the address holds the code
		switch route {
		case "/start":
			l.start(w, r, pool)
		case "/callback":
			l.callback(w, r, pool)
		case "/done":
			l.show(w, r, outcomeDone(""))
		default:
			http.NotFound(w, r)
		}
	})
}

// who returns who sits at the browser.
func (l *Logins) who(r *http.Request) (string, *Error) {
	subject, err := l.cfg.Subject(r)
	if err != nil || subject == "" {
		return "", &Error{Reason: NoSession, Err: err}
	}
	return subject, nil
}

// start sends the browser to the authorization server. A link can be followed more
// than once: each time is a login of its own, with a cookie of its own.
func (l *Logins) start(w http.ResponseWriter, r *http.Request, pool *auth.Pool) {
	subject, problem := l.who(r)
	if problem != nil {
		l.refuse(w, r, problem, "")
		return
	}
	link := r.URL.Query().Get("login")
	p, err := l.find(r.Context(), subject, link)
	if err != nil {
		l.refuse(w, r, lookup(err), "")
		return
	}
	id, secret := rand.Text(), rand.Text()
	now := time.Now()
	login := &pending{
		Resource: p.Resource, Return: p.Return, State: id + "." + rand.Text(), Cookie: secret, Begun: now.UnixMilli(), Link: link,
	}
	visit, kept, err := pool.Source(subject, p.Resource).BeginLogin(r.Context(), l.RedirectURI(), login.State, p.Scopes...)
	if err == nil {
		login.Kept, login.issuer = kept, suspended.Issuer(kept)
		err = l.keep(r.Context(), subject, id, now.Add(life), login)
	}
	if err != nil {
		l.refuse(w, r, failure(p.Resource, err), link)
		return
	}
	http.SetCookie(w, l.cookie(id, secret+"."+owner(secret, subject)))
	l.tell(r.Context(), Event{Type: Started, Resource: p.Resource, Scopes: p.Scopes})
	http.Redirect(w, r, visit, http.StatusSeeOther)
}

// callback finishes a login.
func (l *Logins) callback(w http.ResponseWriter, r *http.Request, pool *auth.Pool) {
	answer := r.URL.Query()
	id, _, _ := strings.Cut(answer.Get("state"), ".")
	if !isID(id) || len(answer["state"]) != 1 {
		l.refuse(w, r, &Error{Reason: State}, "")
		return
	}
	c, err := r.Cookie(l.cookieName(id))
	if err != nil {
		l.refuse(w, r, &Error{Reason: NoCookie}, "")
		return
	}
	subject, problem := l.who(r)
	if problem != nil {
		if !answer.Has("again") {
			l.again(w, answer)
			return
		}
		l.refuse(w, r, problem, "")
		return
	}
	secret, began, _ := strings.Cut(c.Value, ".")
	if !same(began, owner(secret, subject)) {
		l.refuse(w, r, &Error{Reason: OtherUser}, "")
		return
	}
	p, err := l.find(r.Context(), subject, id)
	switch {
	case err != nil:
		l.refuse(w, r, lookup(err), "")
	case !same(secret, p.Cookie):
		l.refuse(w, r, &Error{Reason: NoCookie, Resource: p.Resource}, p.Link)
	case !same(answer.Get("state"), p.State):
		l.refuse(w, r, &Error{Reason: State, Resource: p.Resource}, p.Link)
	case p.Used:
		l.refuse(w, r, &Error{Reason: Used, Resource: p.Resource}, p.Link)
	default:
		l.finish(w, r, pool, subject, id, p, answer)
	}
}

func (l *Logins) finish(w http.ResponseWriter, r *http.Request, pool *auth.Pool, subject, id string, p *pending, answer url.Values) {
	ctx := context.WithoutCancel(r.Context()) // a browser that leaves takes nothing along
	mine, err := l.claim(ctx, subject, id, p)
	switch {
	case err != nil:
		l.refuse(w, r, failure(p.Resource, err), p.Link)
		return
	case !mine:
		l.refuse(w, r, &Error{Reason: Used, Resource: p.Resource}, p.Link)
		return
	}
	tok, err := pool.Source(subject, p.Resource).FinishLogin(ctx, p.Kept, answer)
	if tok == nil {
		l.refuse(w, r, failure(p.Resource, err), p.Link)
		return
	}
	l.tell(ctx, Event{Type: Finished, Resource: p.Resource, Scopes: tok.Scopes, Took: time.Since(time.UnixMilli(p.Begun)), Err: err})
	to := p.Return
	if to == "" {
		to = l.at("/done", nil) // without the code in the address
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// lookup is the error for what was not found.
func lookup(err error) *Error {
	if errors.Is(err, errUnknown) {
		return &Error{Reason: Unknown}
	}
	return failure("", err)
}

// refuse tells the person and the program.
func (l *Logins) refuse(w http.ResponseWriter, r *http.Request, problem *Error, link string) {
	l.tell(r.Context(), Event{Type: Refused, Resource: problem.Resource, Err: problem})
	o := outcomeOf(problem)
	if link != "" && problem.Reason != Used {
		o.Again = l.at("/start", url.Values{"login": {link}})
	}
	l.show(w, r, o)
}

// cookieName has a part of the login's id: a browser can have several under way.
func (l *Logins) cookieName(id string) string {
	if l.secure {
		return "__Host-mcplogin-" + id[:10]
	}
	return "mcplogin-" + id[:10]
}

// cookie is what shows that the same browser comes back. Lax, since it comes back
// from another site.
func (l *Logins) cookie(id, value string) *http.Cookie {
	return &http.Cookie{
		Name: l.cookieName(id), Value: value, Path: "/", MaxAge: int(life / time.Second),
		Secure: l.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// owner is whose cookie it is, as only who knows the subject can tell.
func owner(secret, subject string) string {
	sum := sha256.Sum256([]byte(secret + "\x00" + subject))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
