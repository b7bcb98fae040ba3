package browser

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
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
// It listens from Start to Finish, on 127.0.0.1 unless Bind says otherwise, and
// answers two addresses: the one that it opens and that of the redirect. The
// page that the user sees at the end waits for the outcome, so it never says
// "signed in" when the token request failed.
//
// Where no browser can be opened, such as over SSH, and the program runs in a
// terminal, the user reads there what to open, and can paste the address of the
// page that the browser ended on; see Ask.
type Loopback struct {
	// Port to listen on. Default 0: the port of the preferred redirect URI if
	// it is free, else one that the system chooses. Set it for a server that
	// compares the whole redirect URI and not, as RFC 8252 section 7.3 demands,
	// all but the port.
	Port int

	// Ports, in place of Port: the first that is free is used, and no other.
	// Register a redirect URI with each of them.
	Ports []int

	// Bind is the IP address to listen on. Default: "127.0.0.1". In a container
	// use "0.0.0.0", with Port, and publish that port on the loopback interface
	// of the host (docker run -p 127.0.0.1:8000:8000). Everybody who reaches the
	// address can then send answers; without the state of the login they are
	// refused. The redirect URI does not change.
	Bind string

	// Path of the redirect URI. Default: that of the preferred redirect URI,
	// else "/callback".
	Path string

	// Host in the redirect URI: "127.0.0.1" or "localhost". Default: that of
	// the preferred redirect URI, else "127.0.0.1". RFC 8252 section 8.3 advises
	// against "localhost"; it is for servers that take nothing else.
	Host string

	// Open opens a URL in the user's browser. The URL is a page of this Loopback
	// that redirects to the authorization URL, once: arguments of a program can
	// be read by every user of the machine. Open runs beside the login, so it
	// may block, but not for longer than the login. Default: the system's
	// launcher, or $BROWSER; none over an SSH connection without a display.
	Open func(url string) error

	// Prompt is given the authorization URL before Open is called, so that a
	// program can show it in its own way. With a Prompt it is no error when Open
	// fails. Default: none. For a login that the program shows in its own way,
	// set Prompt and an Open that returns nil.
	Prompt func(url string)

	// Ask asks the user for the answer, beside the listener, when Open failed.
	// It returns what the user pasted: the address that the browser ended on, or
	// the code alone. It is called again, with the reason, until that can be used
	// or the login ends; then ctx is done and it has to return. Its error ends
	// the login. Default: the terminal, if standard input and standard error are
	// one and NoTerminal is not set; without a Prompt it shows the URL as well.
	Ask func(ctx context.Context, q Question) (string, error)

	// NoTerminal leaves the terminal alone, for programs that draw on it.
	NoTerminal bool

	// Page is how the pages look that the browser shows.
	Page Page

	// Texts are the words on the pages and on the terminal. Default: English.
	Texts Texts

	// Timeout is how long to wait for the user. Default: 5 minutes.
	Timeout time.Duration

	terminal func() *terminal // for tests; nil: the standard one
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
// and path of the first and takes one of Port or Ports; if neither is set the
// system chooses the port, which a server has to accept for a loopback URI
// (RFC 8252 section 7.3). A field that makes no sense is an *[auth.ConfigError].
func (l Loopback) Start(ctx context.Context, preferred []string) (auth.UserAgentSession, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	var failed error
	for _, a := range l.candidates(preferred) {
		ln, err := lc.Listen(ctx, l.network(), net.JoinHostPort(cmp.Or(l.Bind, loopbackIP), strconv.Itoa(a.port)))
		if err == nil {
			a.port = ln.Addr().(*net.TCPAddr).Port
			return l.newSession(ln, a), nil
		}
		failed = err
	}
	return nil, l.cannotListen(failed)
}

func (l Loopback) network() string {
	if strings.Contains(l.Bind, ":") {
		return "tcp" // "::" takes IPv4 too
	}
	return "tcp4"
}

// ports are the ports that may be used; 0: any.
func (l Loopback) ports() []int {
	if len(l.Ports) > 0 {
		return l.Ports
	}
	return []int{l.Port}
}

// cannotListen says what to do when no port is free.
func (l Loopback) cannotListen(err error) error {
	at := cmp.Or(l.Bind, loopbackIP)
	switch ports := l.ports(); {
	case ports[0] == 0:
		return fail("browser: the answer of the browser cannot be received on "+at+": "+errtext.Describe(err), err)
	case len(ports) == 1:
		return fail(fmt.Sprintf("browser: port %d of %s cannot be listened on (%s): end the program that has it, which may be another sign-in, or set another Loopback.Port that is registered",
			ports[0], at, errtext.Describe(err)), err)
	default:
		return fail(fmt.Sprintf("browser: none of the ports %s of %s can be listened on (%s): end a program that has one, which may be another sign-in, or add a port that is registered to Loopback.Ports",
			strings.Trim(fmt.Sprint(ports), "[]"), at, errtext.Describe(err)), err)
	}
}

func (l Loopback) check() error {
	switch {
	case l.Port < 0 || l.Port > 65535:
		return &auth.ConfigError{Field: "Loopback.Port", Problem: "is out of range; use 1 to 65535, or 0 for a free port"}
	case l.Port != 0 && len(l.Ports) > 0:
		return &auth.ConfigError{Field: "Loopback.Ports", Problem: "is set as well as Port; set one of them"}
	case slices.ContainsFunc(l.Ports, func(p int) bool { return p < 1 || p > 65535 }):
		return &auth.ConfigError{Field: "Loopback.Ports", Problem: "has a port that is out of range; use 1 to 65535"}
	case l.Bind != "" && !isIP(l.Bind):
		return &auth.ConfigError{Field: "Loopback.Bind", Problem: "is no IP address; use one such as 0.0.0.0, without a port, or leave it empty for " + loopbackIP}
	case l.Path != "" && !plainPath(l.Path):
		return &auth.ConfigError{Field: "Loopback.Path",
			Problem: "must begin with / and have no query, fragment, escapes or dot segments; leave it empty for " + defaultPath}
	case l.Host != "" && l.Host != loopbackIP && l.Host != loopbackName:
		return &auth.ConfigError{Field: "Loopback.Host", Problem: "must be " + loopbackIP + " or " + loopbackName}
	case l.Timeout < 0:
		return &auth.ConfigError{Field: "Loopback.Timeout", Problem: "is negative; leave it zero for " + defaultTimeout.String()}
	}
	return l.Page.check()
}

func isIP(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// candidates returns the addresses to try, best first, and at least one.
func (l Loopback) candidates(preferred []string) []address {
	var out []address
	add := func(a address, ports ...int) {
		for _, a.port = range ports {
			out = append(out, a)
		}
	}
	for _, raw := range preferred {
		a, ok := parseRedirectURI(raw)
		switch {
		case !ok || !l.agrees(a):
		case a.port == 0:
			add(a, l.ports()...)
		default:
			add(a, a.port)
		}
	}
	fallback := address{host: cmp.Or(l.Host, loopbackIP), path: cmp.Or(l.Path, defaultPath)}
	if len(out) > 0 {
		fallback.host, fallback.path = out[0].host, out[0].path
	}
	add(fallback, l.ports()...)
	return out
}

// agrees reports whether a says nothing else than the fields that are set. A
// preferred URI without a port agrees with any.
func (l Loopback) agrees(a address) bool {
	ports := l.ports()
	return (l.Host == "" || l.Host == a.host) &&
		(l.Path == "" || l.Path == a.path) &&
		(ports[0] == 0 || a.port == 0 || slices.Contains(ports, a.port))
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
