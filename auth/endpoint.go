package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mcptokens/mcptokens/auth/internal/acting"
	"github.com/mcptokens/mcptokens/auth/internal/finder"
	"github.com/mcptokens/mcptokens/auth/internal/late"
	"github.com/mcptokens/mcptokens/auth/internal/lifecycle"
	"github.com/mcptokens/mcptokens/auth/internal/nonces"
	"github.com/mcptokens/mcptokens/auth/internal/wire"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// endpoint sends requests to authorization servers.
type endpoint struct {
	finder *finder.Finder
	// open goes anywhere: it is for servers that the program named.
	open   *http.Client
	habits atomic.Pointer[habits] // of servers; nil: none are known
	// answer is how long the answer to a request that spends something is waited
	// for.
	answer time.Duration
}

// holder holds a credential.
type holder interface {
	// proofKey returns what tokens are bound to; nil: nothing.
	proofKey() (*binding, error)
	// secrets are those of the credential.
	secrets() []string
}

// token sends one token request and reads the answer (RFC 6749
// sections 3.2 and 5). scopes are those requested: a response without scope
// granted them. have is what there is already. It never retries.
func (e *endpoint) token(ctx context.Context, resource string, srv *Server, c *Client, form url.Values, scopes []string, have holder) (tok *Token, err error) {
	fail := newTokenError(srv, form.Get("grant_type"))
	key, err := have.proofKey()
	if err != nil {
		fail.Err, fail.class = err, lifecycle.Ours
		return nil, fail
	}
	sentAt := time.Now() // the lifetime counts from here: the answer may be late
	resp, s, err := e.proving(srv, c, func(c *Client) (*http.Response, sent, error) {
		return e.postBound(ctx, e.finder.Client(resource), srv, c, form, key)
	})
	err = readAnswer(fail, s, have.secrets, resp, err, func(contentType string, body []byte) (err error) {
		tok, err = readToken(contentType, body, scopes, sentAt)
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
		e.finder.Forget(srv) // its endpoints may have moved
	}
	return nil, err
}

func newTokenError(srv *Server, grantType string) *TokenError {
	issuer := srv.Issuer
	if issuer == "" {
		issuer = shownURL(srv.TokenEndpoint)
	}
	return &TokenError{Issuer: issuer, GrantType: grantType, class: lifecycle.RefusedRequest}
}

// postBound posts a token request with a proof of key (nil: without one). A
// server that wants its nonce in the proof says so and gets the same request
// again, once (RFC 9449 section 8): it has not looked at the rest.
func (e *endpoint) postBound(ctx context.Context, hc *http.Client, srv *Server, c *Client, form url.Values, key *binding) (resp *http.Response, s sent, err error) {
	if key == nil {
		return e.post(ctx, hc, srv, c, srv.TokenEndpoint, form, nil)
	}
	prove := func(at string) (string, error) { return key.proof(ctx, http.MethodPost, at, "") }
	for again := true; ; again = false {
		resp, s, err = e.post(ctx, hc, srv, c, srv.TokenEndpoint, form, prove)
		if err != nil {
			return nil, s, err
		}
		given := key.nonces.Observe(nonces.At(srv.TokenEndpoint, false), resp.Header)
		if !again || !given || (resp.StatusCode != http.StatusBadRequest && resp.StatusCode != http.StatusUnauthorized) {
			return resp, s, nil
		}
		body, err := httpx.ReadBody(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return nil, s, fmt.Errorf("%w: %w", errUnreadable, err)
		}
		if wire.ReadRefusal(body).Code != "use_dpop_nonce" {
			resp.Body = io.NopCloser(bytes.NewReader(body))
			return resp, s, nil
		}
	}
}

// post posts an authenticated form by hc, which need not refuse redirects. prove makes a DPoP proof for a URL;
// nil: none is sent. s is what was sent; when there is no response it says only
// whether the server may have got it all the same.
//
// A redirect with 307 or 308 within the origin is followed once, with all that
// authenticates the request made again. To another origin nothing is sent.
func (e *endpoint) post(ctx context.Context, hc *http.Client, srv *Server, c *Client, endpoint string, form url.Values, prove func(at string) (string, error)) (*http.Response, sent, error) {
	if endpoint == "" {
		return nil, sent{}, &ConfigError{"Config.Server", "has no endpoint for this request"}
	}
	resp, s, err := e.postTo(ctx, hc, srv, c, endpoint, endpoint, form, prove)
	if err != nil {
		return nil, s, err
	}
	if to := httpx.Onward(resp); to != nil {
		drain(resp.Body)
		return e.postTo(ctx, hc, srv, c, endpoint, to.String(), form, prove)
	}
	return resp, s, nil
}

// postTo sends what is for endpoint to the URL at.
func (e *endpoint) postTo(ctx context.Context, hc *http.Client, srv *Server, c *Client, endpoint, at string, form url.Values, prove func(at string) (string, error)) (resp *http.Response, s sent, err error) {
	if _, err := httpx.CheckURLIn(e.finder.Network(), "endpoint", at); err != nil {
		return nil, sent{}, fmt.Errorf("%w: %w", errTokenRequest, err)
	}
	body := make(url.Values, len(form)+3)
	for k, v := range form {
		body[k] = v
	}
	values := []string{"application/x-www-form-urlencoded", "application/json", httpx.UserAgent}
	header := http.Header{"Content-Type": values[:1:1], "Accept": values[1:2:2], "User-Agent": values[2:]}
	if prove != nil {
		proof, err := prove(at)
		if err != nil {
			return nil, sent{}, fmt.Errorf("%w: %w", errTokenRequest, err)
		}
		header.Set("DPoP", proof)
	}
	proves := chooseClientAuth(c, srv)
	err = proves.Authenticate(ctx, &ClientAuthRequest{
		ClientID: c.ID, ClientSecret: c.Secret, Issuer: srv.Issuer, Endpoint: endpoint, Subject: acting.From(ctx).Subject, Header: header, Form: body,
	})
	if err != nil {
		return nil, sent{}, fmt.Errorf("%w: %w", errTokenRequest, err)
	}
	// An authorization request that is pushed names the client, whatever its
	// header says (RFC 9126 section 2.1).
	if id := form.Get("client_id"); id != "" {
		body.Set("client_id", id)
	}
	x := new(exchange)
	grant := form.Get("grant_type")
	spends := grant == "refresh_token" || grant == "authorization_code"
	reqCtx := ctx
	x.client = *httpx.NoRedirect(hc)
	if spends {
		x.client.Timeout = 0 // it would end the wait
		reqCtx = x.late.Begin(ctx, e.answer)
		defer func() {
			if err != nil {
				x.late.End()
			}
		}()
	}
	req, err := http.NewRequestWithContext(reqCtx, http.MethodPost, at, strings.NewReader(body.Encode()))
	if err != nil {
		return nil, sent{}, errTokenRequest // err has the whole URL
	}
	x.watch(ctx, req, spends)
	req.Header = header
	resp, err = x.client.Do(req)
	if err != nil {
		if errors.Is(err, context.Canceled) && reqCtx.Err() != nil {
			err = context.Cause(reqCtx) // some transports say only that it ended
		}
		// Some transports read the body before they dial. Plain text in place of TLS may be
		// somebody's who wrote it later.
		unsent := httpx.Unreachable(err) && !errors.Is(err, http.ErrSchemeMismatch)
		return nil, sent{whole: x.whole.Load() && !unsent}, httpx.NewTransportError(err)
	}
	resp.Request = req // not every RoundTripper sets it
	if spends {
		x.answer.ReadCloser, x.answer.request = resp.Body, &x.late
		resp.Body = &x.answer
	}
	return resp, sent{whole: true, form: body, header: header, client: c.Secret, proves: proves}, nil
}

// exchange watches a request go out, and come back. Whatever that needs is here, in
// one piece of memory.
type exchange struct {
	client http.Client
	body   watchedBody
	whole  atomic.Bool // the server may have got all of it
	// The rest is for a request that spends something.
	late   late.Request
	answer patientBody
}

// watch notes whether all of req was sent. One that spends something is not sent
// after ctx's time, which a context alone does not ensure: its timer fires some
// time after a process was suspended, or a laptop slept, and by then another
// process may have rotated. Nor is it sent once the lock is lost under which it is
// made. The check comes as late as it can, when the connection stands and takes
// the body; from then on the answer is waited for.
func (x *exchange) watch(ctx context.Context, req *http.Request, spends bool) {
	x.body = watchedBody{ReadCloser: req.Body, left: req.ContentLength, whole: &x.whole}
	if spends {
		x.body.late, x.body.by = &x.late, guardedBy(ctx)
		x.body.end = time.Now().Add(time.Hour)
		if end, ok := ctx.Deadline(); ok {
			x.body.end = end
		}
	}
	open, fresh := req.GetBody, x.body
	req.Body = &x.body
	req.GetBody = func() (io.ReadCloser, error) { // nothing of the first was sent
		x.whole.Store(false)
		again := fresh
		var err error
		again.ReadCloser, err = open()
		return &again, err
	}
}

type watchedBody struct {
	io.ReadCloser
	left  int64
	whole *atomic.Bool
	end   time.Time
	late  *late.Request // nil: may be sent at any time
	by    *tx           // whose lock it needs; nil: none
}

func (b *watchedBody) Read(p []byte) (int, error) {
	if b.late != nil && b.left > 0 { // else it may be on its way
		if isOver(b.end) || b.by != nil && b.by.lost() {
			return 0, errOverdue
		}
		b.late.Sent()
	}
	n, err := b.ReadCloser.Read(p)
	if n == 0 { // also for a RoundTripper that drains what the transport has read
		return n, err
	}
	if b.left -= int64(n); b.left <= 0 {
		b.whole.Store(true)
	}
	return n, err
}

// patientBody ends the request when its answer was read.
type patientBody struct {
	io.ReadCloser
	request *late.Request
}

func (b *patientBody) Close() error {
	defer b.request.End()
	return b.ReadCloser.Close()
}

// overdue reports whether ctx's time is over, by the wall clock too: that goes
// on while a laptop sleeps, and so does a lease in Redis.
func overdue(ctx context.Context) bool {
	end, ok := ctx.Deadline()
	return ok && isOver(end)
}

func isOver(end time.Time) bool {
	now := time.Now()
	return now.After(end) || now.Round(0).After(end.Round(0))
}
