package httpx

import (
	"net/http"
	"net/url"
	"time"

	"github.com/mcptokens/mcptokens/internal/errtext"
)

// ErrRedirect says that a server answered with a redirect that is not followed.
var ErrRedirect = errtext.New("redirect not followed")

const (
	defaultTimeout = 30 * time.Second
	maxRedirects   = 5
)

// NoRedirect returns a shallow copy of c that never follows a redirect: the 3xx response is
// what the caller gets. Requests that carry credentials go through it, because net/http
// repeats the body of a 307 or 308 to wherever it points. A nil c means a client with a
// timeout of 30 seconds. c itself is not changed.
func NoRedirect(c *http.Client) *http.Client {
	cc := clone(c)
	cc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return cc
}

// SameOriginRedirect returns a shallow copy of c that follows up to five redirects, all of
// them within the origin of the first request, which rules out https to http as well. For
// others the request fails with an error that is ErrRedirect. A CheckRedirect that c has is
// asked afterwards. A nil c means a client with a timeout of 30 seconds. c itself is not
// changed.
func SameOriginRedirect(c *http.Client) *http.Client {
	cc := clone(c)
	inner := cc.CheckRedirect
	cc.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		switch {
		case !SameOrigin(req.URL, via[0].URL):
			return errtext.Errorf(ErrRedirect, "from %q to another origin, %q", Origin(via[0].URL), Origin(req.URL))
		case len(via) > maxRedirects:
			return errtext.Errorf(ErrRedirect, "more than %d in a row", maxRedirects)
		case inner != nil:
			return inner(req, via)
		}
		return nil
	}
	return cc
}

func clone(c *http.Client) *http.Client {
	if c == nil {
		return &http.Client{Timeout: defaultTimeout}
	}
	cc := *c
	return &cc
}

// Onward says where a POST that was answered with a redirect is to be sent again: with 307 or 308
// and within its origin (RFC 9110 sections 15.4.8 and 15.4.9), usually for a slash more. nil: the
// answer is no such redirect, and nothing of the request may go there; see Redirected.
func Onward(resp *http.Response) *url.URL {
	if resp.StatusCode != http.StatusTemporaryRedirect && resp.StatusCode != http.StatusPermanentRedirect {
		return nil
	}
	to, err := resp.Location()
	if err != nil || !SameOrigin(to, resp.Request.URL) || to.User != nil || to.Fragment != "" {
		return nil
	}
	return to
}

// Redirected returns the error for an answer that is a redirect and was not followed, nil for any
// other. It is ErrRedirect and says where the redirect led; show cleans that and takes the
// secrets out that were sent.
func Redirected(resp *http.Response, show func(string) string) error {
	if resp.StatusCode < 300 || resp.StatusCode > 399 || resp.StatusCode == http.StatusNotModified {
		return nil
	}
	from := show(shortURL(resp.Request.URL))
	to, err := resp.Location()
	switch {
	case err != nil:
		return errtext.Errorf(ErrRedirect, `"%s" redirects without saying where to`, from)
	case !SameOrigin(to, resp.Request.URL):
		return errtext.Errorf(ErrRedirect, `"%s" redirects to another origin, "%s", which gets no credentials`, from, show(Origin(to))) // its path may be anything
	case Onward(resp) == nil:
		return errtext.Errorf(ErrRedirect, `"%s" redirects to "%s", but not with 307 or 308, which keep the request`, from, show(shortURL(to)))
	}
	return errtext.Errorf(ErrRedirect, `"%s" redirects to "%s", the second redirect in a row`, from, show(shortURL(to)))
}

// shortURL leaves out what may hold secrets.
func shortURL(u *url.URL) string { return Origin(u) + u.EscapedPath() }
