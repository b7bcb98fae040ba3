package browser

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/internal/errtext"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// Loopback opens the user's browser and receives the redirect on the loopback
// interface (RFC 8252 section 7.3). The zero value is ready for use.
//
// It listens on 127.0.0.1 only, from Start to Finish, and answers nothing but
// the redirect. The page that the user sees at the end waits for the outcome,
// so it never says "signed in" when the token request failed.
type Loopback struct {
	// Port to listen on. Default 0: the port of the preferred redirect URI if
	// it is free, else one that the system chooses. Set it for a server that
	// compares the whole redirect URI and not, as RFC 8252 section 7.3 demands,
	// all but the port.
	Port int

	// Path of the redirect URI. Default: that of the preferred redirect URI,
	// else "/callback".
	Path string

	// Host in the redirect URI: "127.0.0.1" or "localhost". Default: that of
	// the preferred redirect URI, else "127.0.0.1". RFC 8252 section 8.3 advises
	// against "localhost"; it is for servers that take nothing else.
	Host string

	// Open opens a URL in the user's browser. It runs beside the login, so it
	// may block, but not for longer than the login. Default: OpenURL of
	// github.com/cli/browser, which gives the launcher this program's standard
	// output; a program whose standard output is a protocol of its own sets
	// browser.Stdout there, or Open here.
	Open func(url string) error

	// Prompt is told the URL before Open is called, so that a user without a
	// browser can open it by hand. With a Prompt it is no error when Open fails.
	// Default: none. For a login without a browser of the program's own, set
	// Prompt and an Open that returns nil.
	Prompt func(url string)

	// Timeout is how long to wait for the user. Default: 5 minutes.
	Timeout time.Duration
}

var _ auth.UserAgent = Loopback{}

const (
	defaultPath    = "/callback"
	defaultTimeout = 5 * time.Minute
	loopbackIP     = "127.0.0.1"
	loopbackName   = "localhost"
)

// address is what a redirect URI says about the listener.
type address struct {
	host, path string
	port       int
}

// Start listens. Of preferred it uses the first URI that agrees with the
// fields set and whose port is free. If all ports are taken it keeps the host
// and path of the first and lets the system choose the port, which a server
// has to accept for a loopback URI (RFC 8252 section 7.3).
//
// A field that makes no sense is an *[auth.ConfigError]; a Port in use is an
// error that wraps the system's.
func (l Loopback) Start(ctx context.Context, preferred []string) (auth.UserAgentSession, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	var failed error
	for _, a := range l.candidates(preferred) {
		ln, err := lc.Listen(ctx, "tcp4", net.JoinHostPort(loopbackIP, strconv.Itoa(a.port)))
		if err == nil {
			a.port = ln.Addr().(*net.TCPAddr).Port
			return l.newSession(ln, a), nil
		}
		failed = err
	}
	if l.Port != 0 {
		return nil, fail(fmt.Sprintf("browser: Loopback.Port %d cannot be listened on, choose another or leave it 0: %s",
			l.Port, errtext.Describe(failed)), failed)
	}
	return nil, fail("browser: no redirect can be received on "+loopbackIP+": "+errtext.Describe(failed), failed)
}

func (l Loopback) check() error {
	switch {
	case l.Port < 0 || l.Port > 65535:
		return &auth.ConfigError{Field: "Loopback.Port", Problem: "is out of range; use 1 to 65535, or 0 for a free port"}
	case l.Path != "" && !plainPath(l.Path):
		return &auth.ConfigError{Field: "Loopback.Path",
			Problem: "must begin with / and have no query, fragment, escapes or dot segments; leave it empty for " + defaultPath}
	case l.Host != "" && l.Host != loopbackIP && l.Host != loopbackName:
		return &auth.ConfigError{Field: "Loopback.Host", Problem: "must be " + loopbackIP + " or " + loopbackName}
	case l.Timeout < 0:
		return &auth.ConfigError{Field: "Loopback.Timeout", Problem: "is negative; leave it zero for " + defaultTimeout.String()}
	}
	return nil
}

// candidates returns the addresses to try, best first, and at least one.
func (l Loopback) candidates(preferred []string) []address {
	var out []address
	for _, raw := range preferred {
		if a, ok := parseRedirectURI(raw); ok && l.agrees(a) {
			a.port = cmp.Or(l.Port, a.port)
			out = append(out, a)
		}
	}
	fallback := address{host: cmp.Or(l.Host, loopbackIP), path: cmp.Or(l.Path, defaultPath), port: l.Port}
	if len(out) == 0 {
		return []address{fallback}
	}
	fallback.host, fallback.path = out[0].host, out[0].path
	return append(out, fallback)
}

// agrees reports whether a says nothing else than the fields that are set. A
// preferred URI without a port agrees with any.
func (l Loopback) agrees(a address) bool {
	return (l.Host == "" || l.Host == a.host) &&
		(l.Path == "" || l.Path == a.path) &&
		(l.Port == 0 || a.port == 0 || l.Port == a.port)
}

// parseRedirectURI reads a redirect URI that a Loopback could serve.
func parseRedirectURI(raw string) (address, bool) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.ForceQuery ||
		strings.Contains(raw, "#") || !plainPath(u.EscapedPath()) {
		return address{}, false
	}
	a := address{host: u.Hostname(), path: u.Path}
	if a.host != loopbackIP && a.host != loopbackName {
		return address{}, false
	}
	if p := u.Port(); p != "" {
		if a.port, err = strconv.Atoi(p); err != nil || a.port < 1 || a.port > 65535 {
			return address{}, false
		}
	}
	return a, true
}

// plainPath keeps to paths that come back from a browser as they were written.
func plainPath(p string) bool {
	if !strings.HasPrefix(p, "/") || httpx.HasDotSegment(p) {
		return false
	}
	return strings.IndexFunc(p, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/", r)
	}) < 0
}
