package registration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/mcptokens/mcptokens/auth/internal/wire"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// post sends a registration request. A redirect with 307 or 308 within the origin is followed
// once. The error is an *Error, also for a redirect that was not followed, unless endpoint is
// not a URL.
func (r Registrar) post(ctx context.Context, endpoint string, payload []byte) (*http.Response, error) {
	send := func(at string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, bytes.NewReader(payload))
		if err != nil {
			return nil, fmt.Errorf("client registration: %w: registration_endpoint is not a URL", httpx.ErrInsecureURL)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json")
		req.Header.Set("User-Agent", httpx.UserAgent)
		resp, err := httpx.NoRedirect(r.HTTPClient).Do(req)
		if err != nil {
			return nil, &Error{Err: httpx.NewTransportError(err)}
		}
		resp.Request = req // not every RoundTripper sets it
		return resp, nil
	}
	resp, err := send(endpoint)
	if err != nil {
		return nil, err
	}
	if to := httpx.Onward(resp); to != nil {
		discard(resp)
		if resp, err = send(to.String()); err != nil {
			return nil, err
		}
	}
	if err := httpx.Redirected(resp, func(text string) string { return wire.Shown(text) }); err != nil {
		discard(resp)
		return nil, &Error{StatusCode: resp.StatusCode, Err: err, Hint: hint("", resp.StatusCode)}
	}
	return resp, nil
}

// discard lets the next request use the connection.
func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	_ = resp.Body.Close()
}

// at says in an error of a registration where the client was to be registered.
func at(endpoint string, err error) {
	var e *Error
	if errors.As(err, &e) {
		e.URL = httpx.ShownURL(endpoint)
	}
}
