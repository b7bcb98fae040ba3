package grant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// typeDeviceCode is the grant type of RFC 8628 section 3.4.
const typeDeviceCode = "urn:ietf:params:oauth:grant-type:device_code"

// Reasons why a device login cannot happen, found in
// [auth.AuthorizationError.Err].
var (
	// ErrNoDeviceEndpoint: the server's metadata has no
	// device_authorization_endpoint (RFC 8628 section 4).
	ErrNoDeviceEndpoint = errors.New("grant: the authorization server has no device_authorization_endpoint; use AuthorizationCode")
	// ErrDeviceResponse: the server's answer has something that must not be
	// shown to a user.
	ErrDeviceResponse = errors.New("grant: the device authorization response is malformed")
)

// DeviceCode gets tokens for the user, who logs in on another device: for
// programs that have no browser, such as those on a remote machine (RFC 8628).
// MCP does not require servers to support it.
type DeviceCode struct {
	// Prompt asks the user to log in. It should show p and return: polling
	// begins when it has. ctx ends when the login is over, which is the time to
	// stop showing p. An error ends the login. Required.
	Prompt func(ctx context.Context, p DevicePrompt) error
}

// DevicePrompt is what the user has to know (RFC 8628 section 3.3). With fmt,
// log/slog and encoding/json it shows no code: show its fields.
type DevicePrompt struct {
	// UserCode is what to enter at VerificationURI. It has no control
	// characters.
	UserCode string
	// VerificationURI is where to go, an https URL.
	VerificationURI string
	// VerificationURIComplete has the code in it, for a link or a QR code; show
	// the UserCode all the same, so that the user can compare. Empty when the
	// server has none.
	VerificationURIComplete string
	// Expires is when it is too late: when the codes expire or the manager
	// gives up ([auth.Config.AuthorizationTimeout]).
	Expires time.Time
}

// Format makes every fmt verb print the prompt without its codes.
func (p DevicePrompt) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.redacted()) }

// LogValue implements [slog.LogValuer] without the codes.
func (p DevicePrompt) LogValue() slog.Value { return slog.StringValue(p.redacted()) }

// MarshalJSON encodes what Format prints.
func (p DevicePrompt) MarshalJSON() ([]byte, error) { return json.Marshal(p.redacted()) }

func (p DevicePrompt) redacted() string {
	return "grant.DevicePrompt{" + httpx.ShownURL(p.VerificationURI) + "}"
}

// Type is "urn:ietf:params:oauth:grant-type:device_code".
func (DeviceCode) Type() string { return typeDeviceCode }

// Interactive is true.
func (DeviceCode) Interactive() bool { return true }

// Check is called by [auth.NewManager]. Its error is an *[auth.ConfigError].
func (g DeviceCode) Check() error {
	if g.Prompt == nil {
		return &auth.ConfigError{Field: "DeviceCode.Prompt", Problem: "is nil; set a function that shows the user where to log in"}
	}
	return nil
}

// Authorize implements [auth.Grant]. Errors: *[auth.ConfigError] without a
// Prompt; *[auth.AuthorizationError] when the user refused ("access_denied"),
// the time was up ("expired_token", with the last answer in Err if the server
// failed to give one), the prompt failed or the server does not do this; *[auth.TokenError]; and those of [auth.Flow.Client].
func (g DeviceCode) Authorize(ctx context.Context, f *auth.Flow) (*auth.Token, error) {
	if err := g.Check(); err != nil {
		return nil, err
	}
	fail := func(err error) error { return &auth.AuthorizationError{Issuer: f.Server.Issuer, Err: err} }
	if err := f.Server.Problem("device_authorization_endpoint"); err != nil {
		return nil, fail(err)
	}
	if f.Server.DeviceAuthorizationEndpoint == "" {
		return nil, fail(ErrNoDeviceEndpoint)
	}
	client, err := f.Client(ctx, registration.Metadata{GrantTypes: []string{typeDeviceCode, "refresh_token"}})
	if err != nil {
		return nil, err
	}
	d, err := authorizeDevice(ctx, f, client)
	if err != nil {
		return nil, err
	}
	prompt, err := makePrompt(ctx, f, d)
	if err != nil {
		return nil, fail(err)
	}
	ctx, answered := f.AwaitUser(ctx)
	tok, err := g.ask(ctx, prompt, poll{f: f, client: client, expires: prompt.Expires, interval: d.Interval}, d.DeviceCode)
	answered(err)
	return tok, err
}

// ask shows the prompt and polls until the user is done.
func (g DeviceCode) ask(ctx context.Context, prompt DevicePrompt, p poll, code string) (*auth.Token, error) {
	promptCtx, over := context.WithCancel(ctx)
	defer over()
	if err := g.Prompt(promptCtx, prompt); err != nil {
		return nil, &auth.AuthorizationError{Issuer: p.f.Server.Issuer, Err: err}
	}
	return p.run(ctx, url.Values{"grant_type": {typeDeviceCode}, "device_code": {code}})
}

// The times of RFC 8628 section 3.5.
const (
	// defaultInterval is how long to wait between polls if the server does not
	// say.
	defaultInterval = 5 * time.Second
	// slowDown is what slow_down adds to the interval, for good.
	slowDown = 5 * time.Second
	// maxBackOff is how long the wait may grow while polls get no answer: a
	// user who is done should not have to wait out an outage that is over.
	maxBackOff = time.Minute
)

// poll asks for the token until the user is done (RFC 8628 sections 3.4, 3.5).
type poll struct {
	f        *auth.Flow
	client   *auth.Client
	expires  time.Time
	interval time.Duration
	// unanswered is how many polls in a row got no answer, and last is what
	// came of the last one of them.
	unanswered int
	last       error
}

func (p *poll) run(ctx context.Context, form url.Values) (*auth.Token, error) {
	refused := func(code string, why error) error {
		return &auth.AuthorizationError{Issuer: p.f.Server.Issuer, Code: code, Err: why}
	}
	for wait := p.interval; ; {
		// The codes' lifetime runs on while a laptop sleeps: wall clock.
		if !p.expires.IsZero() && !time.Now().Round(0).Add(wait).Before(p.expires) {
			return nil, refused("expired_token", p.last)
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, &auth.AuthorizationError{Issuer: p.f.Server.Issuer, Err: err}
		}
		tok, err := p.f.ExchangeOnce(ctx, p.client, form)
		if err == nil {
			return tok, nil
		}
		var te *auth.TokenError
		if !errors.As(err, &te) {
			return nil, err
		}
		switch {
		case te.Code == "authorization_pending":
			p.unanswered, p.last = 0, nil
			wait = max(p.interval, te.RetryAfter)
		case te.Code == "slow_down":
			p.unanswered, p.last = 0, nil
			p.interval += slowDown
			wait = max(p.interval, te.RetryAfter)
		case te.Code == "access_denied", te.Code == "expired_token":
			return nil, refused(te.Code, nil)
		case ctx.Err() != nil: // the manager was closed, or everybody who waited has gone
			return nil, refused("", ctx.Err())
		case te.Retryable():
			p.unanswered++
			p.last = err
			wait = max(p.interval, te.RetryAfter, min(p.interval<<min(p.unanswered, 8), maxBackOff))
		default:
			return nil, err
		}
	}
}

// sleep waits for d, or for ctx to end and returns its error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
