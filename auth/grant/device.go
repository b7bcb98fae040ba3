package grant

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/internal/wire"
	"github.com/mcptokens/mcptokens/internal/httpx"
	"github.com/mcptokens/mcptokens/internal/shown"
)

// deviceRequest is what errors call the request for codes.
const deviceRequest = "device authorization request"

// authorizeDevice asks the server for codes (RFC 8628 section 3.1).
func authorizeDevice(ctx context.Context, f *auth.Flow, c *auth.Client) (*wire.DeviceAnswer, error) {
	form := url.Values{}
	if f.Resource != "" {
		form.Set("resource", f.Resource)
	}
	if len(f.Scopes) > 0 {
		form.Set("scope", strings.Join(f.Scopes, " "))
	}
	add(form, f.Requests.Device)
	body, err := f.Post(ctx, auth.Post{Endpoint: f.Server.DeviceAuthorizationEndpoint, Client: c, Form: form, Name: deviceRequest})
	if err != nil {
		return nil, err
	}
	d, err := wire.ReadDevice(body, time.Now())
	if err != nil {
		return nil, unusable(f.Server, deviceRequest, err)
	}
	if d.Interval == 0 {
		d.Interval = defaultInterval
	}
	return &d, nil
}

// makePrompt validates what is about to be shown to a person: a server that
// nobody trusts yet must not write escape sequences to a terminal, or have a
// link opened that leads to a program.
func makePrompt(ctx context.Context, f *auth.Flow, d *wire.DeviceAnswer) (DevicePrompt, error) {
	p := DevicePrompt{UserCode: d.UserCode, VerificationURI: d.VerificationURI, Expires: d.Expiry}
	if len(p.UserCode) > 64 || !shown.Visible(p.UserCode) {
		return p, fmt.Errorf("%w: user_code is too long or has characters that cannot be seen", ErrDeviceResponse)
	}
	if err := f.CheckURL("verification_uri", p.VerificationURI); err != nil {
		return p, fmt.Errorf("%w: %w", ErrDeviceResponse, err)
	}
	if len(p.VerificationURI) > maxShownURI {
		return p, fmt.Errorf("%w: verification_uri is too long to be shown", ErrDeviceResponse)
	}
	if err := f.CheckURL("verification_uri_complete", d.VerificationURIComplete); err == nil && len(d.VerificationURIComplete) <= maxShownURI {
		p.VerificationURIComplete = d.VerificationURIComplete // else the user can do without
	}
	if deadline, ok := ctx.Deadline(); ok && (p.Expires.IsZero() || deadline.Before(p.Expires)) {
		p.Expires = deadline.Round(0)
	}
	return p, nil
}

// maxShownURI is how many bytes an address may have that a person is to see, and
// maybe to type.
const maxShownURI = 2 << 10

// unusable is a 2xx answer of srv to a request of this name that is not what was
// asked for. The next one would not be either.
func unusable(srv *auth.Server, name string, err error) error {
	e := &auth.TokenError{Issuer: srv.Issuer, GrantType: name, StatusCode: 200, Err: err}
	if e.Issuer == "" {
		e.Issuer = httpx.ShownURL(srv.TokenEndpoint)
	}
	return e
}
