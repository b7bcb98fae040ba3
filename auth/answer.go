package auth

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/mcptokens/mcptokens/auth/internal/lifecycle"
	"github.com/mcptokens/mcptokens/auth/internal/wire"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// Causes of a [TokenError] whose answer was no token response.
var (
	errUnreadable   = errors.New("the answer cannot be read")
	errUnbound      = errors.New("the token is bound to a key; set Config.DPoP")
	errTokenRequest = errors.New("the request could not be built")
)

// readAnswer reads the answer to a posted form: parse gets the content type and
// the body of a 2xx one. Its error is fail, completed and classified; resp, s
// and err are what posting returned. known are secrets that the server knows
// besides those that were sent.
func readAnswer(fail *TokenError, s sent, known func() []string, resp *http.Response, err error, parse func(contentType string, body []byte) error) error {
	if err != nil {
		fail.Err = err
		fail.class = unansweredClass(fail.GrantType, s.whole, err)
		return fail
	}
	defer resp.Body.Close()
	fail.StatusCode, fail.RetryAfter = resp.StatusCode, retryAfter(resp.Header)
	if fail.redirected(resp, s, known) {
		return fail
	}
	body, err := httpx.ReadBody(resp.Body)
	if err != nil {
		fail.Err = fmt.Errorf("%w: %w", errUnreadable, err)
		fail.class = lifecycle.Transient
		if resp.StatusCode < 500 && spends(fail.GrantType) {
			fail.class = lifecycle.Ambiguous
		}
		return fail
	}
	if resp.StatusCode/100 == 2 {
		err := parse(resp.Header.Get("Content-Type"), body)
		if err == nil {
			return nil
		}
		var refused *wire.RefusedError // some servers, GitHub's among them, refuse with 200
		if !errors.As(err, &refused) {
			return understand(fail, body, err)
		}
	}
	fail.refused(wire.ReadRefusal(body, append(s.secrets(), known()...)...))
	fail.advise(s)
	return fail
}

// redirected completes and classifies e for an answer that is a redirect. The
// request was not processed, and what is wrong is an address.
func (e *TokenError) redirected(resp *http.Response, s sent, known func() []string) bool {
	err := httpx.Redirected(resp, func(text string) string { return wire.Shown(text, append(s.secrets(), known()...)...) })
	if err == nil {
		return false
	}
	e.Err = fmt.Errorf("%w: the server's metadata, or Config.Server, has to name the final URL", err)
	e.class = lifecycle.Ours
	return true
}

// unansweredClass classifies a request that got no answer.
func unansweredClass(grantType string, sent bool, err error) lifecycle.Class {
	var cfg *ConfigError
	switch {
	case errors.As(err, &cfg), errors.Is(err, errTokenRequest):
		return lifecycle.Ours
	case errors.Is(err, errOverdue):
		return lifecycle.Transient
	case sent && spends(grantType):
		return lifecycle.Ambiguous
	case sent, httpx.NewTransportError(err).Retryable():
		return lifecycle.Transient
	}
	return lifecycle.Ours
}

// understand completes fail for a 2xx answer that could not be used because of
// err. A server that understood the request is not asked again [invariant 14]; a
// page comes from a proxy and is no answer of the server.
func understand(fail *TokenError, body []byte, err error) error {
	switch {
	case errors.Is(err, wire.ErrPage):
		fail.class = lifecycle.Transient // a proxy's or a maintenance page
	case errors.Is(err, wire.ErrNotObject) && !startsAsJSON(body):
		fail.class = lifecycle.Transient // what said that is not a token endpoint
	default:
		fail.class = lifecycle.RefusedRequest
	}
	fail.Err = err
	return fail
}

// startsAsJSON tells a server's broken answer from something else.
func startsAsJSON(body []byte) bool {
	text := strings.TrimSpace(string(body[:min(len(body), 64)]))
	return strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[")
}

// refused completes and classifies e for what the server said.
func (e *TokenError) refused(r wire.Refusal) {
	e.Code, e.Description, e.URI = r.Code, r.Description, r.URI
	e.class = statusClass(e.StatusCode)
	switch r.Code {
	case "temporarily_unavailable", "server_error":
		e.class = lifecycle.Throttled
		return
	case "use_dpop_nonce":
		e.class = lifecycle.Transient // it has not looked at anything else
		return
	}
	if e.class != lifecycle.RefusedRequest && (r.Code == "" || e.StatusCode >= 500 || e.StatusCode == http.StatusTooManyRequests) {
		return
	}
	switch {
	case r.Page:
		e.class = lifecycle.Transient // a proxy's page
	case r.Code != "":
		e.class = lifecycle.RefusedRequest
	case r.Named && e.StatusCode != http.StatusNotFound:
		e.class, e.named = lifecycle.RefusedRequest, true
	default:
		e.class, e.unclear = lifecycle.Ours, mayRefuse(e.StatusCode, r)
	}
}

// mayRefuse reports the statuses by which servers refuse without a code. A 404 is one
// if it says something: else the endpoint has moved, or is away.
func mayRefuse(status int, r wire.Refusal) bool {
	return status == http.StatusBadRequest || status == http.StatusUnauthorized || status == http.StatusNotFound && r.Named
}

// spends reports whether a request of a grant type has something in it that is
// good for one use: a refresh token that may rotate, or a code.
func spends(grantType string) bool {
	switch grantType {
	case "client_credentials", "urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:token-exchange":
		return false
	}
	return true
}

// statusClass classifies a status that is not 2xx by itself.
func statusClass(status int) lifecycle.Class {
	switch {
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		return lifecycle.Throttled
	case status >= 500, status == http.StatusRequestTimeout:
		return lifecycle.Transient
	}
	return lifecycle.RefusedRequest
}

// readToken reads the body of a 2xx answer to a request that was sent at sent.
func readToken(contentType string, body []byte, requested []string, sent time.Time) (*Token, error) {
	a, err := wire.ReadToken(contentType, body, requested, sent)
	if err != nil {
		return nil, err
	}
	if a.TokenType == wire.NotAccess { // of a token exchange, and no token to present
		return nil, &wire.Error{Member: "token_type", Problem: "says that this is no access token", Is: wire.ErrTokenType}
	}
	t := &Token{AccessToken: a.AccessToken, TokenType: a.TokenType, RefreshToken: a.RefreshToken, Expiry: a.Expiry, Scopes: a.Scopes, Extra: a.Extra}
	return t.seal(), nil
}

// readObject accepts the body of a 2xx answer that is for a grant to read: a
// JSON object that refuses nothing.
func readObject(body []byte) error {
	o, err := wire.ReadObject(body, "error")
	if err != nil {
		return err
	}
	if r := wire.ReadRefusal(body); r.Code != "" && !o.Has("access_token") && o.Has("error") {
		return &wire.RefusedError{Refusal: r}
	}
	return nil
}

// drain reads a little of a body that nobody wants, so that the connection can
// be used again, and closes it.
func drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, 64<<10)
	_ = body.Close()
}

func orElse(s, other string) string {
	if s != "" {
		return s
	}
	return other
}
