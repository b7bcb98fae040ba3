package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mcptokens/mcptokens/internal/errtext"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// Causes of a [TokenError] whose answer was no token response.
var (
	errNotJSON      = errtext.New("the answer is not JSON")
	errMalformed    = errtext.New("the answer is JSON but no token response of RFC 6749 section 5.1")
	errNoAccess     = errtext.New("the token response has no access_token")
	errNoTokenType  = errtext.New("the token response has no token_type")
	errBadAccess    = errtext.New("the token response has an access_token with characters that no header can carry")
	errManyScopes   = errtext.New("the token response has more than 64 KiB of scopes")
	errTokenType    = errtext.New("the token response has a token_type other than Bearer and DPoP")
	errUnreadable   = errtext.New("the answer broke off or is larger than 1 MiB")
	errUnbound      = errtext.New("the token is bound to a key; set Config.DPoP")
	errTokenRequest = errtext.New("the request could not be built")
)

// tokenEndpoint sends one token request and reads the answer (RFC 6749
// sections 3.2 and 5). scopes are those requested: a response without scope
// granted them. It never retries and never follows a redirect.
func (m *Manager) tokenEndpoint(ctx context.Context, srv *Server, c *Client, form url.Values, scopes []string) (tok *Token, err error) {
	fail := newTokenError(srv, form.Get("grant_type"))
	key, err := m.proofKey()
	if err != nil {
		fail.Err = err
		return nil, fail
	}
	resp, sent, err := m.postBound(ctx, srv, c, form, key)
	err = readAnswer(fail, resp, sent, err, func(body []byte) (err error) {
		tok, err = parseTokenResponse(body, time.Now(), scopes)
		switch {
		case err == nil && tok.TokenType == "DPoP" && key == nil:
			tok, err = nil, errUnbound
		case err == nil:
			tok.binding = key
		}
		return err
	})
	if err == nil {
		return tok, nil
	}
	var te *TokenError
	if errors.As(err, &te) && (te.StatusCode == http.StatusNotFound || te.StatusCode == http.StatusGone) {
		m.forgetServer(srv) // its endpoints may have moved
	}
	return tok, err
}

func newTokenError(srv *Server, grantType string) *TokenError {
	issuer := srv.Issuer
	if issuer == "" {
		issuer = shownURL(srv.TokenEndpoint)
	}
	return &TokenError{Issuer: issuer, GrantType: grantType, class: classPermanent}
}

// readAnswer reads the answer to a posted form: parse gets the body of a 2xx
// one. Its error is fail, completed and classified; resp, sent and err are what
// posting returned.
func readAnswer(fail *TokenError, resp *http.Response, sent bool, err error, parse func(body []byte) error) error {
	if err != nil {
		fail.Err = err
		var cfg *ConfigError
		switch {
		case errors.As(err, &cfg), errors.Is(err, errTokenRequest):
		case errors.Is(err, errOverdue):
			fail.class = classTransient
		case sent:
			fail.class = classAmbiguous
		case httpx.NewTransportError(err).Temporary():
			fail.class = classTransient
		}
		return fail
	}
	defer resp.Body.Close()
	fail.StatusCode = resp.StatusCode
	body, err := httpx.ReadBody(resp.Body)
	if err != nil {
		fail.Err = errors.Join(errUnreadable, err)
		fail.class = statusClass(resp.StatusCode, classAmbiguous)
		fail.RetryAfter = retryAfter(resp.Header)
		return fail
	}
	if resp.StatusCode/100 == 2 {
		if err := parse(body); err != nil {
			fail.Err = err
			switch {
			case errors.Is(err, errNoAccess) && errorCode(body) != "":
				// Some servers, GitHub's among them, refuse with 200.
				fail.Code, fail.class = errorCode(body), classPermanent
				if fail.Code == "temporarily_unavailable" || fail.Code == "server_error" {
					fail.class = classThrottled
				}
			case errors.Is(err, errNotJSON):
				fail.class = classTransient // a proxy's or a maintenance page
			case !errors.Is(err, errUnbound): // which the next answer would be too
				fail.class = classAmbiguous // the server did something
			}
			return fail
		}
		return nil
	}
	fail.RetryAfter = retryAfter(resp.Header)
	fail.Code = errorCode(body)
	fail.class = statusClass(resp.StatusCode, classPermanent)
	switch fail.Code {
	case "":
		if bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) {
			fail.class = max(fail.class, classTransient) // a page of some proxy's
		}
	case "temporarily_unavailable", "server_error":
		fail.class = classThrottled
	case "use_dpop_nonce":
		fail.class = classTransient // it has not looked at anything else
	default:
		if resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests {
			fail.class = classPermanent
		}
	}
	return fail
}

// statusClass classifies a status that is not 2xx; rest is the class of all
// that says nothing about itself.
func statusClass(status int, rest retryClass) retryClass {
	switch {
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		return classThrottled
	case status >= 500, status == http.StatusRequestTimeout:
		return classTransient
	}
	return rest
}

// postBound posts a token request with a proof of key (nil: without one). A
// server that wants its nonce in the proof says so and gets the same request
// again, once (RFC 9449 section 8): it has not looked at the rest.
func (m *Manager) postBound(ctx context.Context, srv *Server, c *Client, form url.Values, key *binding) (resp *http.Response, sent bool, err error) {
	if key == nil {
		return m.postForm(ctx, srv, c, srv.TokenEndpoint, form, "")
	}
	for again := true; ; again = false {
		proof, err := key.proof(ctx, http.MethodPost, srv.TokenEndpoint, "")
		if err != nil {
			return nil, false, errors.Join(err, errTokenRequest)
		}
		resp, sent, err = m.postForm(ctx, srv, c, srv.TokenEndpoint, form, proof)
		if err != nil {
			return nil, sent, err
		}
		given := key.observe(verifierAt(srv.TokenEndpoint, false), resp.Header)
		if !again || !given || (resp.StatusCode != http.StatusBadRequest && resp.StatusCode != http.StatusUnauthorized) {
			return resp, sent, nil
		}
		body, err := httpx.ReadBody(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return nil, true, errors.Join(errUnreadable, err)
		}
		if errorCode(body) != "use_dpop_nonce" {
			resp.Body = io.NopCloser(bytes.NewReader(body))
			return resp, sent, nil
		}
	}
}

// postForm posts an authenticated form. sent reports, when there is no
// response, whether the server may have got the whole request all the same.
func (m *Manager) postForm(ctx context.Context, srv *Server, c *Client, endpoint string, form url.Values, proof string) (resp *http.Response, sent bool, err error) {
	return m.postFormBy(ctx, m.poster(), srv, c, endpoint, form, proof)
}

// postFormBy is postForm by hc, for servers that the resource did not name.
func (m *Manager) postFormBy(ctx context.Context, hc *http.Client, srv *Server, c *Client, endpoint string, form url.Values, proof string) (resp *http.Response, sent bool, err error) {
	if endpoint == "" {
		return nil, false, &ConfigError{"Config.Server", "has no endpoint for this request"}
	}
	if _, err := httpx.CheckURL("endpoint", endpoint); err != nil {
		return nil, false, errors.Join(err, errTokenRequest)
	}
	body := make(url.Values, len(form)+3)
	for k, v := range form {
		body[k] = v
	}
	types := []string{"application/x-www-form-urlencoded", "application/json"}
	header := http.Header{"Content-Type": types[:1:1], "Accept": types[1:]}
	if proof != "" {
		header.Set("DPoP", proof)
	}
	err = chooseClientAuth(c, srv).Authenticate(ctx, &ClientAuthRequest{
		ClientID: c.ID, ClientSecret: c.Secret, Issuer: srv.Issuer, Endpoint: endpoint, Header: header, Form: body,
	})
	if err != nil {
		return nil, false, errors.Join(err, errTokenRequest)
	}
	var written struct {
		atomic.Bool
		trace httptrace.ClientTrace
	}
	written.trace.WroteRequest = func(i httptrace.WroteRequestInfo) {
		if i.Err == nil {
			written.Store(true)
		}
	}
	traceCtx := httptrace.WithClientTrace(ctx, &written.trace)
	req, err := http.NewRequestWithContext(traceCtx, http.MethodPost, endpoint, strings.NewReader(body.Encode()))
	if err != nil {
		return nil, false, errors.Join(err, errTokenRequest)
	}
	if form.Get("grant_type") == "refresh_token" {
		punctual(ctx, req)
	}
	req.Header = header
	resp, err = hc.Do(req)
	if err != nil {
		return nil, written.Load(), err
	}
	return resp, true, nil
}

// punctual keeps req from being sent after ctx's time, which a context alone does
// not: its timer fires some time after a process was suspended, or a laptop
// slept, and by then somebody else may have rotated. The check comes as late as
// it can, when the connection stands and takes the body.
func punctual(ctx context.Context, req *http.Request) {
	end, ok := ctx.Deadline()
	if !ok {
		return
	}
	open := req.GetBody
	req.Body = &punctualBody{req.Body, end}
	req.GetBody = func() (io.ReadCloser, error) {
		body, err := open()
		return &punctualBody{body, end}, err
	}
}

type punctualBody struct {
	io.ReadCloser
	end time.Time
}

func (b *punctualBody) Read(p []byte) (int, error) {
	if isOver(b.end) {
		return 0, errOverdue
	}
	return b.ReadCloser.Read(p)
}

// tokenResponse is RFC 6749 section 5.1. expires_in is read leniently: some
// servers send it as a string or a fraction.
type tokenResponse struct {
	AccessToken  *string         `json:"access_token"`
	TokenType    *string         `json:"token_type"`
	RefreshToken string          `json:"refresh_token"`
	ExpiresIn    json.RawMessage `json:"expires_in"`
	Scope        *string         `json:"scope"`
}

// parseTokenResponse reads the body of a 2xx answer that arrived at now.
func parseTokenResponse(body []byte, now time.Time, requested []string) (*Token, error) {
	if !looksLikeJSON(body) {
		return nil, errNotJSON
	}
	var r tokenResponse
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, errMalformed
	}
	switch {
	case r.AccessToken == nil || *r.AccessToken == "":
		return nil, errNoAccess
	case !presentable(*r.AccessToken):
		return nil, errBadAccess
	case r.Scope != nil && len(*r.Scope) > maxScopeBytes:
		return nil, errManyScopes
	case r.TokenType == nil || *r.TokenType == "":
		return nil, errNoTokenType
	}
	t := &Token{
		AccessToken:  *r.AccessToken,
		TokenType:    canonicalTokenType(*r.TokenType),
		RefreshToken: r.RefreshToken,
		Scopes:       requested, // RFC 6749 section 5.1: omitted if identical
	}
	if t.TokenType != "Bearer" && t.TokenType != "DPoP" {
		return nil, errTokenType // RFC 6749 section 7.1: not to be used
	}
	if r.Scope != nil && *r.Scope != "" {
		t.Scopes = splitScopes(*r.Scope)
	}
	if life := parseExpiresIn(r.ExpiresIn); life > 0 {
		t.Expiry = now.Round(0).Add(life)
	}
	return t.seal(), nil
}

// looksLikeJSON tells an answer of the server's from a page of a proxy's.
func looksLikeJSON(body []byte) bool {
	trimmed := bytes.TrimLeft(body[:min(len(body), 64)], " \t\r\n")
	return len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[')
}

// maxLifetime keeps a wild expires_in within what a time.Time can do.
const maxLifetime = 10 * 365 * 24 * time.Hour

// parseExpiresIn reads a lifetime in seconds: a number, also with a fraction,
// or either as a string. 0 means that the lifetime is unknown: nothing usable
// was sent, or a lifetime that is over already, which taken literally would
// mean a token request for every call.
func parseExpiresIn(raw json.RawMessage) time.Duration {
	s := strings.Trim(strings.TrimSpace(string(raw)), `"`)
	secs, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if (err != nil && !errors.Is(err, strconv.ErrRange)) || math.IsNaN(secs) || secs <= 0 {
		return 0
	}
	if secs >= maxLifetime.Seconds() {
		return maxLifetime
	}
	return time.Duration(secs * float64(time.Second))
}

// errorCode returns the error member of an error response (RFC 6749 section
// 5.2), if it is a plain word.
func errorCode(body []byte) string {
	var r struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &r) != nil {
		return ""
	}
	return httpx.ErrorCode(r.Error)
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
