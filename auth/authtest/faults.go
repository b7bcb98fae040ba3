package authtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Fault is one way for a request to go wrong. The functions of this package which return one make
// them; the zero Fault is no fault. A Fault may be used any number of times.
type Fault struct {
	name string
	do   func(*exchange)
}

// String returns the fault as it was written, such as "Status(503)": a name for a subtest.
func (f Fault) String() string {
	if f.do == nil {
		return "no fault"
	}
	return f.name
}

func (f Fault) apply(x *exchange) {
	if f.do == nil {
		x.pass()
		return
	}
	f.do(x)
}

// Faults returns one fault of every kind, with parameters that suit a test on a real network, for
// tests which have to hold whatever goes wrong.
func Faults() []Fault {
	return []Fault{
		Status(500),
		Status(404),
		RetryAfter(429, time.Second),
		RetryAfterDate(503, time.Second),
		ResetBefore(),
		ResetAfter(),
		Delay(20 * time.Millisecond),
		DelayAfter(20 * time.Millisecond),
		Garbage(),
		HTML(),
		HTMLStatus(502),
		HugeBody(),
		WrongContentType(),
		Truncated(),
		OAuthError("invalid_request", 400),
		ExpiredAtOnce(),
		Redirect("http://127.0.0.1:9/elsewhere"),
	}
}

// Status answers with a status and a line of text, instead of processing the request.
func Status(code int) Fault {
	return Fault{fmt.Sprintf("Status(%d)", code), func(x *exchange) { plainStatus(x.w, code) }}
}

// RetryAfter answers with a status, 429 or 503 as a rule, and a Retry-After header in its seconds
// form (RFC 9110 section 10.2.3), rounded up.
func RetryAfter(code int, d time.Duration) Fault {
	return Fault{fmt.Sprintf("RetryAfter(%d,%s)", code, d), func(x *exchange) {
		x.w.Header().Set("Retry-After", strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10))
		plainStatus(x.w, code)
	}}
}

// RetryAfterDate is [RetryAfter] in the header's date form: d from the request, rounded up to a
// whole second.
func RetryAfterDate(code int, d time.Duration) Fault {
	return Fault{fmt.Sprintf("RetryAfterDate(%d,%s)", code, d), func(x *exchange) {
		at := time.Now().Add(d + time.Second - 1).UTC()
		x.w.Header().Set("Retry-After", at.Format(http.TimeFormat))
		plainStatus(x.w, code)
	}}
}

// ResetBefore reads the request, does not process it, and resets the connection.
func ResetBefore() Fault {
	return Fault{"ResetBefore()", func(x *exchange) { x.cut() }}
}

// ResetAfter processes the request, so that a refresh token is spent, and resets the connection
// without an answer: to the client it looks like [ResetBefore].
func ResetAfter() Fault {
	return Fault{"ResetAfter()", func(x *exchange) {
		x.process()
		x.cut()
	}}
}

// Delay waits, then processes the request and answers. A request whose client leaves meanwhile is
// not processed.
func Delay(d time.Duration) Fault {
	return Fault{fmt.Sprintf("Delay(%s)", d), func(x *exchange) {
		if !pause(x.r.Context(), d) {
			x.cut()
			return
		}
		x.pass()
	}}
}

// DelayAfter processes the request, waits, then answers. A client that leaves meanwhile has lost
// the answer.
func DelayAfter(d time.Duration) Fault {
	return Fault{fmt.Sprintf("DelayAfter(%s)", d), func(x *exchange) {
		a := x.process()
		if !pause(x.r.Context(), d) {
			x.cut()
			return
		}
		x.send(a)
	}}
}

// Garbage answers 200 with something that claims to be JSON and is not, instead of processing the
// request.
func Garbage() Fault {
	return Fault{"Garbage()", func(x *exchange) {
		x.w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(x.w, "\x00\x01 {]not json")
	}}
}

// HTML answers 200 with a web page, as captive portals and single-page applications do, instead of
// processing the request.
func HTML() Fault {
	return Fault{"HTML()", func(x *exchange) { htmlStatus(x.w, http.StatusOK) }}
}

// HTMLStatus answers with a status and a web page, as gateways do, instead of processing the request.
func HTMLStatus(code int) Fault {
	return Fault{fmt.Sprintf("HTMLStatus(%d)", code), func(x *exchange) { htmlStatus(x.w, code) }}
}

// HugeBody answers 200 with 10 MiB of valid JSON, instead of processing the request.
func HugeBody() Fault {
	return Fault{"HugeBody()", func(x *exchange) {
		x.w.Header().Set("Content-Type", "application/json")
		_, err := io.WriteString(x.w, `{"padding":"`)
		for chunk, n := strings.Repeat("x", 64<<10), 0; err == nil && n < 160; n++ {
			_, err = io.WriteString(x.w, chunk)
		}
		_, _ = io.WriteString(x.w, `"}`)
	}}
}

// WrongContentType processes the request and sends the right answer as text/plain.
func WrongContentType() Fault {
	return Fault{"WrongContentType()", func(x *exchange) {
		a := x.process()
		a.header.Set("Content-Type", "text/plain; charset=utf-8")
		x.send(a)
	}}
}

// Truncated processes the request and sends half of the answer's body under the Content-Length of
// the whole.
func Truncated() Fault {
	return Fault{"Truncated()", func(x *exchange) {
		a := x.process()
		a.writeTo(x.w, len(a.body)/2) // net/http closes the connection of a handler that wrote too little
	}}
}

// OAuthError answers with an error code, instead of processing the request: as JSON (RFC 6749
// section 5.2), by redirect at the authorization endpoint (section 4.1.2.1, status is not used), or
// as a challenge at a resource (RFC 6750 section 3).
func OAuthError(code string, status int) Fault {
	return Fault{fmt.Sprintf("OAuthError(%s,%d)", code, status), func(x *exchange) {
		switch {
		case x.endpoint == AuthorizeEndpoint:
			x.srv.refuseAuthorization(x.w, x.r, code)
		case x.res != nil && x.endpoint == ResourceEndpoint:
			x.res.challenge(x.w, x.r, status, code, x.res.protection.Scopes)
		default:
			(&oauthError{status: status, code: code}).write(x.w)
		}
	}}
}

// Answer answers with exactly this, instead of processing the request: an error without a code, a
// token response that grants nothing, a page of your own. [Faults] has none: what it means depends
// on what is answered.
func Answer(status int, contentType, body string) Fault {
	return Fault{fmt.Sprintf("Answer(%d,%s,%q)", status, contentType, body), func(x *exchange) {
		x.w.Header().Set("Content-Type", contentType)
		x.w.WriteHeader(status)
		_, _ = io.WriteString(x.w, body)
	}}
}

// ExpiredAtOnce processes a token request and sends the right answer, but the access token in it is
// dead at the resources already. Elsewhere it is no fault.
func ExpiredAtOnce() Fault {
	return Fault{"ExpiredAtOnce()", func(x *exchange) {
		if x.endpoint != TokenEndpoint {
			x.pass()
			return
		}
		a := x.process()
		var t tokenResponse
		if json.Unmarshal(a.body, &t) == nil {
			x.srv.RevokeAccess(t.AccessToken)
		}
		x.send(a)
	}}
}

// Redirect answers 307, which makes a client that follows it send the same request, body included,
// to another place.
func Redirect(to string) Fault {
	return Fault{fmt.Sprintf("Redirect(%s)", to), func(x *exchange) {
		http.Redirect(x.w, x.r, to, http.StatusTemporaryRedirect)
	}}
}

func plainStatus(w http.ResponseWriter, code int) {
	http.Error(w, http.StatusText(code), code)
}

func htmlStatus(w http.ResponseWriter, code int) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = fmt.Fprintf(w, "<!doctype html><title>%d</title><h1>Something is between you and the server</h1>", code)
}

// pause waits for d. It reports false if the client left, or the server was closed, before.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// cut ends the connection without an answer: on TCP with a reset, so that nobody takes it for an
// orderly end.
func (x *exchange) cut() {
	conn, _, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // net/http's own way to do it
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
