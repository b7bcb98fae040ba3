package weblogin

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/grant"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// Config says how people log in. BaseURL, Store and Subject are required.
type Config struct {
	// BaseURL is what [Logins.Handler] is mounted at, as browsers see it, such as
	// "https://gateway.example/oauth". Below it are /start, /callback and /done. It
	// is https, or http on this machine. The redirect URI is BaseURL + "/callback",
	// see [Logins.RedirectURI].
	BaseURL string

	// Store keeps links and logins under way. All replicas need the same one; that of
	// [auth.Config].Store will do.
	Store auth.Store

	// Subject returns who sits at the browser, by the program's own session: the
	// subject of [auth.Pool.Source]. An error, or an empty subject, is nobody. The
	// error's text is logged.
	Subject func(r *http.Request) (string, error)

	// Page writes the pages in place of this package's plain one. The header of w
	// already forbids to store the page and, by a Content-Security-Policy, to load
	// anything; the request is without its query, which may hold a code. Default: a
	// plain page.
	Page func(w http.ResponseWriter, r *http.Request, o Outcome)

	// OnEvent hears what happens, in the goroutine of the request. Default: none.
	OnEvent func(ctx context.Context, e Event)
}

// Logins are the logins of a web application. It is the [auth.Grant] for the
// configurations of a pool, and has the handler that finishes what the grant
// begins. Make one with [New], and Close it after the pool.
type Logins struct {
	grant.AuthorizationCode
	cfg    Config
	base   *url.URL
	secure bool // browsers come by https
	sweep  sweeper
}

var _ auth.Grant = (*Logins)(nil)

// life is how long a link is good, and how long a person may take after that.
const life = 10 * time.Minute

// New returns logins for cfg. The error is an *[auth.ConfigError].
func New(cfg Config) (*Logins, error) {
	switch {
	case cfg.Store == nil:
		return nil, &auth.ConfigError{Field: "weblogin.Config.Store", Problem: "is nil; set the store that all replicas share"}
	case cfg.Subject == nil:
		return nil, &auth.ConfigError{Field: "weblogin.Config.Subject", Problem: "is nil; set a function that returns the user of a request's session, without which anybody could finish a login for anybody"}
	}
	base, err := httpx.CheckURL("weblogin.Config.BaseURL", strings.TrimSuffix(cfg.BaseURL, "/"))
	if err != nil || base.RawQuery != "" {
		return nil, &auth.ConfigError{Field: "weblogin.Config.BaseURL", Problem: "must be the https URL that Handler is mounted at, or http on this machine, without a query"}
	}
	l := &Logins{cfg: cfg, base: base, secure: base.Scheme == "https"}
	l.sweep.store = cfg.Store
	return l, nil
}

// Close stops removing what has expired, and waits for that.
func (l *Logins) Close() error {
	l.sweep.close()
	return nil
}

// Format makes every fmt verb print the logins without whose are under way.
func (l *Logins) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "weblogin.Logins{}") }

// RedirectURI is where authorization servers send browsers back. A client that is
// registered by hand needs it.
func (l *Logins) RedirectURI() string { return l.at("/callback", nil) }

func (l *Logins) at(path string, query url.Values) string {
	u := *l.base
	u.Path, u.RawPath = u.Path+path, ""
	u.RawQuery = query.Encode()
	return u.String()
}

type returnTo struct{}

// ReturnTo returns a context for calls that may need a login: after it the browser
// is sent to path, which is one of the program's own pages, such as "/accounts".
// Without it, a page says that the person can go back.
func ReturnTo(ctx context.Context, path string) context.Context {
	return context.WithValue(ctx, returnTo{}, path)
}

// Authorize implements [auth.Grant]: it makes a link, and returns it in an
// *[auth.LoginRequiredError].
func (l *Logins) Authorize(ctx context.Context, f *auth.Flow) (*auth.Token, error) {
	path, _ := ctx.Value(returnTo{}).(string)
	link, err := l.Link(ctx, f.Subject, f.MCPServer, path, f.Scopes...)
	if err != nil {
		return nil, err
	}
	return nil, link
}

// Link makes a link by which subject can connect to the MCP server at resource, for
// a button of the program's own page. It asks no server for anything. After the
// login the browser is sent to path; empty: to a page that says so. scopes are
// asked for beyond those of the configuration. Errors: *[auth.ConfigError] for a
// path that is none of the program's own; *[auth.StoreError].
func (l *Logins) Link(ctx context.Context, subject, resource, path string, scopes ...string) (*auth.LoginRequiredError, error) {
	if path != "" && !isLocal(path) {
		return nil, &auth.ConfigError{Field: "path", Problem: `must be a path of the program's own, which begins with one "/"; browsers would be sent elsewhere`}
	}
	id, expires := rand.Text(), time.Now().Add(life)
	err := l.keep(ctx, subject, id, expires, &pending{Resource: resource, Scopes: scopes, Return: path})
	if err != nil {
		return nil, err
	}
	l.tell(ctx, Event{Type: Linked, Resource: resource, Scopes: scopes})
	return &auth.LoginRequiredError{
		URL: l.at("/start", url.Values{"login": {id}}), Expires: expires.Round(0), Scopes: scopes, Resource: resource,
	}, nil
}

// isLocal reports whether browsers take path for one of this origin. They read
// "//host" and "/\host" as another one.
func isLocal(path string) bool {
	u, err := url.Parse(path)
	return err == nil && u.Scheme == "" && u.Host == "" && strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//") && !strings.ContainsAny(path, "\\\r\n\t")
}
