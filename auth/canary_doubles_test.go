package auth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/mcptokens/mcptokens/auth"
)

// canaryAnswers are answers, good and bad, that hold secrets wherever a server
// could put one.
func canaryAnswers() map[string]func() *http.Response {
	const js = "application/json"
	s := secret("body")
	list := make(map[string]func() *http.Response)
	add := func(name string, status int, contentType, body string) {
		list[name] = func() *http.Response {
			resp := answer(status, contentType, body)
			resp.Status = fmt.Sprintf("%d %s", status, secret("reason"))
			resp.Header.Set("X-Debug", secret("header"))
			resp.Header.Set("WWW-Authenticate", `Bearer realm="`+secret("realm")+`", error_description="`+s+`"`)
			return resp
		}
	}
	add("error", 400, js, `{"error":"invalid_request","error_description":"`+s+`","error_uri":"https://h/`+s+`","x":"`+s+`"}`)
	add("refused grant", 400, js, `{"error":"invalid_grant","error_description":"`+s+`"}`)
	add("refused client", 401, js, `{"error":"invalid_client","error_description":"`+s+`"}`)
	add("busy", 400, js, `{"error":"temporarily_unavailable","error_description":"`+s+`"}`)
	add("error code", 400, js, `{"error":"`+s+`"}`)
	add("error code in small letters", 400, js, `{"error":"`+strings.ToLower(strings.ReplaceAll(s, "5", "x"))+`_"}`)
	add("error of the wrong type", 400, js, `{"error":["`+s+`"]}`)
	add("page", 500, "text/html", "<h1>"+s)
	add("page instead of an answer", 200, "text/html", "<h1>"+s)
	add("garbage", 200, js, `{"access_token":"`+s+`",`)
	add("wrong types", 200, js, `{"access_token":{"`+s+`":1},"token_type":"Bearer","issuer":["`+s+`"],"client_id":["`+s+`"]}`)
	add("no token", 200, js, `{"`+s+`":"`+s+`"}`)
	add("no token type", 200, js, `{"access_token":"`+s+`"}`)
	add("unknown token type", 200, js, `{"access_token":"`+s+`","token_type":"`+s+`"}`)
	add("redirect", 307, "text/plain", s)
	list["redirect elsewhere"] = func() *http.Response {
		resp := answer(302, "text/plain", s)
		resp.Header.Set("Location", "https://evil.example.com/"+s+"?"+s)
		return resp
	}
	list["redirect to nonsense"] = func() *http.Response {
		resp := answer(302, "text/plain", s)
		resp.Header.Set("Location", "http://h:"+s)
		return resp
	}
	list["retry later"] = func() *http.Response {
		resp := answer(503, "text/plain", s)
		resp.Header.Set("Retry-After", s)
		return resp
	}
	list["broken off"] = func() *http.Response {
		resp := answer(200, js, "")
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"`+s), failingReader{errors.New(s)}))
		return resp
	}
	return list
}

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

// canaryErrors are errors as custom code returns them, some dressed as errors
// whose text is known to be harmless.
func canaryErrors() map[string]error {
	s := secret("error")
	return map[string]error{
		"plain":    errors.New(s),
		"text":     textError(s),
		"EOF":      fmt.Errorf("%s: %w", s, io.ErrUnexpectedEOF),
		"deadline": fmt.Errorf("%s: %w", s, context.DeadlineExceeded),
		"canceled": fmt.Errorf("%s: %w", s, context.Canceled),
		"dial":     &net.OpError{Op: "dial", Net: s, Err: errors.New(s)},
		"DNS":      &net.DNSError{Err: s, Name: s, Server: s},
		"URL":      &url.Error{Op: "Get", URL: "https://h/?" + s, Err: errors.New(s)},
		"joined":   errors.Join(errors.New(s), io.EOF),
		"timeout":  timeoutError{s},
		"conflict": fmt.Errorf("%s: %w", s, auth.ErrConflict),
	}
}

// textError shows its text to %#v and %d too.
type textError string

func (e textError) Error() string { return string(e) }

type timeoutError struct{ text string }

func (e timeoutError) Error() string { return e.text }

func (e timeoutError) Timeout() bool { return true }

// service is a grant of one's own that needs nobody.
type service struct{ grantFunc }

func (service) Interactive() bool { return false }

// brokenAgent is a user agent that fails, or comes back with answer.
type brokenAgent struct {
	start, visit error
	answer       url.Values
}

func (b brokenAgent) Start(context.Context, []string) (auth.UserAgentSession, error) {
	if b.start != nil {
		return nil, b.start
	}
	return b, nil
}

func (b brokenAgent) RedirectURI() string { return callback }

func (b brokenAgent) Visit(context.Context, string, string) (url.Values, error) {
	return b.answer, b.visit
}

func (b brokenAgent) Finish(error) {}

// brokenKeys makes proof keys that fail.
type brokenKeys struct{ make, marshal, prove error }

func (b brokenKeys) New() (auth.ProofKey, error) { return b, b.make }

func (b brokenKeys) Load([]byte) (auth.ProofKey, error) { return b, b.make }

func (b brokenKeys) Marshal() ([]byte, error) { return []byte(secret("key")), b.marshal }

func (b brokenKeys) Proof(context.Context, auth.Proof) (string, error) {
	return secret("proof"), b.prove
}
