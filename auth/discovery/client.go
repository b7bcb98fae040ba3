package discovery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/mcptokens/mcptokens/auth/internal/wire"
	"github.com/mcptokens/mcptokens/internal/errtext"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// Client fetches metadata. The zero value is ready to use, and a Client can be used by
// several goroutines. It caches nothing.
type Client struct {
	// HTTPClient sends the requests; nil means a client with a timeout of 30 seconds. It is
	// not changed. Redirects are followed within an origin only, whatever it says.
	HTTPClient *http.Client

	// Network says which hosts are excepted from the rules for URLs: that they are https, and
	// that servers elsewhere name none on this machine. Default: nil, none.
	Network Network
}

// Network is the program's word about hosts that are not on the Internet; auth.Config.Network
// becomes one.
type Network interface {
	// PlainHTTP reports whether u's host may be spoken to in plain HTTP.
	PlainHTTP(u *url.URL) bool
	// Private reports whether u's host may be reached although its address is not public.
	Private(u *url.URL) bool
}

// place is one address to look at. If problem is set it is not requested: the
// address itself is no good.
type place struct {
	url     string
	problem error
}

func places(urls []string) []place {
	all := make([]place, len(urls))
	for i, u := range urls {
		all[i].url = u
	}
	return all
}

// firstOf looks at the places in turn until accept takes a document, and returns how many it
// has looked at.
//
// An issuer mismatch ends the search: to go on would let one location overrule another.
// Everything else goes on. The error that says most is returned, so that a server which is down
// is not reported as one that has no metadata; it lists every place with its outcome.
func (c *Client) firstOf(ctx context.Context, op string, all []place, accept func(at string, body []byte) error) (int, error) {
	var kept *Error
	var tried []Attempt
	for i, p := range all {
		err := &Error{Op: op, URL: httpx.ShownURL(p.url), Err: p.problem}
		if p.problem == nil {
			err = c.get(ctx, op, p.url, accept)
		}
		if err == nil {
			return i + 1, nil
		}
		tried = append(tried, Attempt{URL: err.URL, StatusCode: err.StatusCode, Err: err.Err})
		if kept == nil || err.rank() > kept.rank() {
			kept = err
		}
		if ctx.Err() != nil || errors.Is(err, ErrIssuerMismatch) {
			kept = err
			break
		}
	}
	kept.Tried = tried
	return len(tried), kept
}

// rank orders errors by how much they tell: a temporary failure, then a document that must not
// be used, then one that is of no use, then none.
func (e *Error) rank() int {
	switch {
	case e.Retryable():
		return 3
	case errors.Is(e.Err, ErrResourceMismatch), errors.Is(e.Err, ErrInsecureURL):
		return 2
	case !errors.Is(e.Err, ErrNotFound):
		return 1
	default:
		return 0
	}
}

// get requests one document. It returns *Error rather than error because firstOf compares
// them; nil means that accept took the document.
func (c *Client) get(ctx context.Context, op, at string, accept func(at string, body []byte) error) *Error {
	failed := &Error{Op: op, URL: httpx.ShownURL(at)}

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		failed.Err = fmt.Errorf("%w: not a URL", ErrInsecureURL)
		return failed
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", httpx.UserAgent)
	resp, err := httpx.SameOriginRedirect(c.HTTPClient).Do(req)
	if err != nil {
		failed.Err = httpx.NewTransportError(err)
		return failed
	}
	defer resp.Body.Close()

	failed.StatusCode = resp.StatusCode
	failed.RetryAfter = httpx.RetryAfter(resp.Header, time.Now())
	if failed.Err = read(resp, at, accept); failed.Err != nil {
		return failed
	}
	return nil
}

func read(resp *http.Response, at string, accept func(at string, body []byte) error) error {
	switch {
	case retryableStatus(resp.StatusCode):
		return errors.New("the server cannot answer now")
	case resp.StatusCode != http.StatusOK:
		// Reading a short body to its end lets the next request reuse the connection.
		_, _ = io.CopyN(io.Discard, resp.Body, 4096)
		return ErrNotFound
	}
	body, err := httpx.ReadBody(resp.Body)
	if err != nil {
		return err
	}
	if wire.IsPage(body) || !httpx.IsJSON(resp.Header.Get("Content-Type")) && !looksLikeObject(body) {
		// Sites that serve one page for every path say 200 for what they do not have. A
		// document that only lacks the right Content-Type, as file servers do, is read.
		return fmt.Errorf("%w: %w: a page instead of JSON", ErrNotFound, ErrMalformed)
	}
	return accept(at, body)
}

// maxNamed is how many bytes a URL that a server names may have: it is kept, requested and opened.
const maxNamed = 8 << 10

// checkNamed applies the URL policy to raw, which the server at base has named in field.
func (c *Client) checkNamed(field, raw string, base *url.URL) (*url.URL, error) {
	u, err := httpx.CheckURLIn(c.Network, field, raw)
	switch {
	case err != nil:
		return nil, err
	case len(raw) > maxNamed:
		return nil, errtext.Errorf(ErrInsecureURL, "%s has more than 8 KiB", field)
	}
	if httpx.IsLocalName(u.Hostname()) && !httpx.IsLocalName(base.Hostname()) && (c.Network == nil || !c.Network.Private(u)) {
		return nil, errtext.Errorf(ErrInsecureURL, "%s is on this machine, but %s, which names it, is not: the server has to name a URL that others reach; if that is right, set Config.Network.Private to include %q",
			field, httpx.Origin(base), u.Host)
	}
	return u, nil
}

// looksLikeObject reports whether a body begins as a JSON object does.
func looksLikeObject(body []byte) bool {
	body = bytes.TrimPrefix(bytes.TrimSpace(body), []byte("\xef\xbb\xbf"))
	return bytes.HasPrefix(bytes.TrimSpace(body), []byte("{"))
}

// readObject reads a metadata document; see package wire for what is read how.
func readObject(body []byte, deciding []string) (wire.Object, error) {
	o, err := wire.ReadObject(body, deciding...)
	if err != nil {
		return o, errtext.Errorf(ErrMalformed, "%s", err.Error())
	}
	return o, nil
}
