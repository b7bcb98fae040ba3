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

	"github.com/mcptokens/mcptokens/internal/httpx"
)

// Client fetches metadata. The zero value is ready to use, and a Client can be used by
// several goroutines. It caches nothing.
type Client struct {
	// HTTPClient sends the requests; nil means a client with a timeout of 30 seconds. It is
	// not changed. Redirects are followed within an origin only, whatever it says.
	HTTPClient *http.Client
}

// firstOf requests the URLs in turn until accept takes a document.
//
// A document that is there but must not be used ends the search: to go on would let one
// location overrule another. Everything else goes on, and the most telling error is kept,
// so that a server which is down is not reported as one that has no metadata.
func (c *Client) firstOf(ctx context.Context, op string, urls []string, accept func(at string, body []byte) error) error {
	var kept *Error
	for _, at := range urls {
		err := c.get(ctx, op, at, accept)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || errors.Is(err, ErrIssuerMismatch) || errors.Is(err, ErrResourceMismatch) ||
			errors.Is(err, ErrInsecureURL) {
			return err
		}
		if kept == nil || err.rank() > kept.rank() {
			kept = err
		}
	}
	return kept
}

// rank orders errors by how much they tell: a temporary failure, then a document that is of
// no use, then none.
func (e *Error) rank() int {
	switch {
	case e.Temporary():
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
	failed := &Error{Op: op, URL: withoutQuery(at)}

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		failed.Err = fmt.Errorf("%w: not a URL", ErrInsecureURL)
		return failed
	}
	req.Header.Set("Accept", "application/json")
	resp, err := httpx.SameOriginRedirect(c.HTTPClient).Do(req)
	if err != nil {
		failed.Err = httpx.NewTransportError(err)
		return failed
	}
	defer resp.Body.Close()

	failed.Status = resp.StatusCode
	failed.RetryAfter = httpx.RetryAfter(resp.Header, time.Now())
	if failed.Err = read(resp, at, accept); failed.Err != nil {
		return failed
	}
	return nil
}

func read(resp *http.Response, at string, accept func(at string, body []byte) error) error {
	switch {
	case temporaryStatus(resp.StatusCode):
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
	if !httpx.IsJSON(resp.Header.Get("Content-Type")) && !bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
		// Sites that serve one page for every path say 200 for what they do not have. A
		// document that only lacks the right Content-Type, as file servers do, is read.
		return fmt.Errorf("%w: %w: a page instead of JSON", ErrNotFound, ErrMalformed)
	}
	return accept(at, body)
}

// checkNamed applies the URL policy to raw, which the server at base has named in field.
func checkNamed(field, raw string, base *url.URL) (*url.URL, error) {
	u, err := httpx.CheckURL(field, raw)
	if err != nil {
		return nil, err
	}
	if httpx.IsLocalName(u.Hostname()) && !httpx.IsLocalName(base.Hostname()) {
		return nil, fmt.Errorf("%w: %s is on this machine, but %s, which names it, is not: the server has to name a URL that others reach",
			ErrInsecureURL, field, httpx.Origin(base))
	}
	return u, nil
}

func withoutQuery(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return httpx.Origin(u) + u.EscapedPath()
}
