package httpx

import (
	"net/http"
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
