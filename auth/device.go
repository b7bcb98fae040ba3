package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/mcptokens/mcptokens/internal/errtext"
)

var errNoDeviceCode = errtext.New("the device authorization response lacks device_code, user_code or verification_uri")

// DeviceAuthorization is the answer to a device authorization request (RFC 8628
// section 3.2). It redacts itself.
type DeviceAuthorization struct {
	// DeviceCode is for the token request, and a secret.
	DeviceCode string
	// UserCode is what the user enters at VerificationURI, or finds entered at
	// VerificationURIComplete, which may be empty. Nothing of this has been
	// validated.
	UserCode, VerificationURI, VerificationURIComplete string
	// Expiry is when both codes die, in wall clock time; zero: the server did
	// not say.
	Expiry time.Time
	// Interval is how long to wait at least between token requests; zero: the
	// server did not say.
	Interval time.Duration
}

// Format makes every fmt verb print the answer without its codes.
func (d DeviceAuthorization) Format(s fmt.State, _ rune) { redact(s, "auth.DeviceAuthorization{}") }

// LogValue implements [slog.LogValuer] without the codes.
func (d DeviceAuthorization) LogValue() slog.Value {
	return slog.StringValue("auth.DeviceAuthorization{}")
}

// AuthorizeDevice asks the server's device authorization endpoint for codes (RFC
// 8628 section 3.1), with the flow's scopes and resource indicator,
// authenticated as c, and retries what can be retried. Errors: *[TokenError].
func (f *Flow) AuthorizeDevice(ctx context.Context, c *Client) (d *DeviceAuthorization, err error) {
	form := url.Values{"resource": {f.Resource}}
	if len(f.Scopes) > 0 {
		form.Set("scope", joinScopes(f.Scopes))
	}
	err = f.try(ctx, func(ctx context.Context) error {
		resp, sent, err := f.m.postForm(ctx, f.Server, c, f.Server.DeviceAuthorizationEndpoint, form, "")
		return readAnswer(newTokenError(f.Server, f.m.cfg.Grant.Type()), resp, sent, err, func(body []byte) (err error) {
			d, err = parseDeviceResponse(body, time.Now())
			return err
		})
	})
	return d, err
}

func parseDeviceResponse(body []byte, now time.Time) (*DeviceAuthorization, error) {
	var r struct {
		DeviceCode              string          `json:"device_code"`
		UserCode                string          `json:"user_code"`
		VerificationURI         string          `json:"verification_uri"`
		VerificationURIComplete string          `json:"verification_uri_complete"`
		ExpiresIn               json.RawMessage `json:"expires_in"`
		Interval                json.RawMessage `json:"interval"`
	}
	if !looksLikeJSON(body) {
		return nil, errNotJSON
	}
	if json.Unmarshal(body, &r) != nil || r.DeviceCode == "" || r.UserCode == "" || r.VerificationURI == "" {
		return nil, errNoDeviceCode
	}
	d := &DeviceAuthorization{
		DeviceCode: r.DeviceCode, UserCode: r.UserCode,
		VerificationURI: r.VerificationURI, VerificationURIComplete: r.VerificationURIComplete,
		Interval: parseExpiresIn(r.Interval),
	}
	if life := parseExpiresIn(r.ExpiresIn); life > 0 {
		d.Expiry = now.Round(0).Add(life)
	}
	return d, nil
}
