package browser

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/internal/errtext"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// Headless answers for a user that nobody has to ask: it sends the
// authorization request itself and follows redirects until one leads to the
// redirect URI, which it never requests. That works with servers that approve
// without showing a page, such as those of conformance suites and of
// development set-ups. The zero value is ready for use.
//
// It sends no credentials, keeps cookies for the one login only, and visits
// https URLs and, from a loopback server, loopback ones. Like the manager's own
// requests, those of its login follow no public MCP server into a private
// network; see [auth.Network].
type Headless struct {
	// Client sends the requests; its Jar and CheckRedirect are not used.
	// Default: a client with a timeout of 30 seconds.
	Client *http.Client

	// RedirectURI to name in the authorization request. Nothing has to listen
	// there. Default: the first preferred redirect URI, else
	// "http://127.0.0.1:33418/callback".
	RedirectURI string

	// MaxRedirects is how many redirects to follow. Default: 10.
	MaxRedirects int
}

var _ auth.UserAgent = Headless{}

const (
	defaultRedirectURI  = "http://127.0.0.1:33418/callback"
	defaultMaxRedirects = 10
)

// Start implements auth.UserAgent. It takes nothing. A field that makes no
// sense is an *[auth.ConfigError].
func (h Headless) Start(_ context.Context, preferred []string) (auth.UserAgentSession, error) {
	if h.MaxRedirects < 0 {
		return nil, &auth.ConfigError{Field: "Headless.MaxRedirects", Problem: "is negative; leave it zero for 10"}
	}
	raw, redirect := chooseRedirectURI(h.RedirectURI, preferred)
	if redirect == nil {
		return nil, &auth.ConfigError{Field: "Headless.RedirectURI", Problem: "is not an absolute URI without fragment; use one such as " + defaultRedirectURI}
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, fail("browser: no cookie jar", err)
	}
	client := &http.Client{Timeout: 30 * time.Second}
	if h.Client != nil {
		client.Transport, client.Timeout = h.Client.Transport, h.Client.Timeout
	}
	client.Jar = jar
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &headlessSession{
		client: client, redirectURI: raw, redirect: redirect,
		maxRedirects: cmp.Or(h.MaxRedirects, defaultMaxRedirects),
	}, nil
}

// chooseRedirectURI returns the redirect URI that is set, or else the first of
// preferred that is one, or the default. The URL is nil if what is set is none.
func chooseRedirectURI(set string, preferred []string) (string, *url.URL) {
	if set != "" {
		return set, parseAbsolute(set)
	}
	for _, raw := range preferred {
		if u := parseAbsolute(raw); u != nil {
			return raw, u
		}
	}
	return defaultRedirectURI, parseAbsolute(defaultRedirectURI)
}

// parseAbsolute parses a redirect URI; nil if it is none.
func parseAbsolute(raw string) *url.URL {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" || u.Opaque != "" || strings.Contains(raw, "#") {
		return nil
	}
	return u
}

type headlessSession struct {
	client       *http.Client
	redirectURI  string
	redirect     *url.URL
	maxRedirects int
}

func (s *headlessSession) RedirectURI() string { return s.redirectURI }

// Finish implements auth.UserAgentSession. There is nobody to tell.
func (s *headlessSession) Finish(error) {}

// Visit implements auth.UserAgentSession.
func (s *headlessSession) Visit(ctx context.Context, authorizationURL, state string) (url.Values, error) {
	if state == "" {
		return nil, errNoState()
	}
	at, err := httpx.CheckURLFor(ctx, "authorization URL", authorizationURL)
	if err != nil {
		return nil, fail("browser: "+err.Error(), err)
	}
	first := at
	client := httpx.Guarded(ctx, s.client, authorizationURL)
	for range s.maxRedirects + 1 {
		next, err := hop(ctx, client, at)
		if err != nil {
			return nil, err
		}
		if s.arrived(next) {
			answer := readAnswer(next.RawQuery)
			if !carries(answer, state) {
				return nil, fail("browser: the redirect does not carry the state of this login")
			}
			if name := repeated(answer); name != "" {
				return nil, errRepeated(name)
			}
			return answer, nil
		}
		next.Fragment, next.RawFragment = "", ""
		if at, err = httpx.CheckURLFor(ctx, "redirect of the authorization server", next.String()); err != nil {
			return nil, fail("browser: "+err.Error(), err)
		}
		// A server elsewhere has no business making requests on this machine.
		if httpx.IsForeignLoopback(ctx, at, first) {
			return nil, fail("browser: the authorization server redirected to a loopback address that is not the redirect URI")
		}
	}
	return nil, fail(fmt.Sprintf("browser: no answer after %d redirects: see Headless.MaxRedirects", s.maxRedirects))
}

// hop requests one URL and returns where it redirects to.
func hop(ctx context.Context, client *http.Client, at *url.URL) (*url.URL, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, fail("browser: authorization request: bad URL", err)
	}
	resp, err := client.Do(req)
	if errors.Is(err, httpx.ErrPrivateAddress) {
		return nil, fail("browser: the authorization request led from a public server to an address that is not public; if that is right, set Config.Network.Private to include its host", err)
	}
	if err != nil {
		return nil, fail("browser: authorization request: "+errtext.Describe(err), err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		next, err := resp.Location()
		if err != nil {
			return nil, fail(fmt.Sprintf("browser: the authorization server answered %d without a usable Location", resp.StatusCode))
		}
		return next, nil
	case http.StatusOK:
		return nil, fail(ErrPageShown.Error()+": it showed a page instead of redirecting; use browser.Loopback", ErrPageShown)
	}
	return nil, fail(fmt.Sprintf("browser: the authorization server answered %d to the authorization request", resp.StatusCode))
}

// arrived reports whether u is the redirect URI, with an answer in its query.
func (s *headlessSession) arrived(u *url.URL) bool {
	return u.Scheme == s.redirect.Scheme && u.Host == s.redirect.Host && u.EscapedPath() == s.redirect.EscapedPath()
}
