package auth_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/internal/shown"
)

// canaryAnswers are answers, good and bad, that hold a secret wherever a server
// could put one.
func canaryAnswers(s string) map[string]func() *http.Response {
	const js = "application/json"
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
	add("token for no header", 200, js, `{"access_token":"a `+s+`","token_type":"Bearer"}`)
	add("token type with a proof", 200, js, `{"access_token":"`+s+`","token_type":"hmac `+s+`"}`)
	add("refusal with a token", 400, js, `{"error":"invalid_grant","error_description":"`+s+` for `+secret("issued")+`","access_token":"`+secret("issued")+`"}`)
	add("refusal with 200", 200, js, `{"error":"invalid_grant","error_description":"`+s+`"}`)
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

// echo is what a server says that repeats every secret it was sent, and has. All
// of them are canaries from now on.
func (c *canary) echo(r *http.Request, disguise func(string) string) string {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Error(err)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		c.t.Error(err)
	}
	secrets := []string{secret("access"), strings.TrimPrefix(r.Header.Get("Authorization"), "Basic "), r.Header.Get("Proof")}
	for _, name := range []string{
		"refresh_token", "code", "code_verifier", "client_secret", "client_assertion", "assertion", "subject_token",
		"device_code", "one_time_password",
	} {
		secrets = append(secrets, form.Get(name))
	}
	var words []string
	for _, s := range secrets {
		if s != "" {
			words = append(words, disguise(s))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range words {
		said := []rune(shown.Text(strings.TrimLeft(w, "-")))
		c.echoed = append(c.echoed, string(said[:min(len(said), 16)]))
	}
	return strings.Join(words, " ")
}

func plainly(s string) string { return s }

// disguises are ways in which a server may repeat a secret.
var disguises = map[string]func(string) string{
	"plain":              plainly,
	"in a form":          url.QueryEscape,
	"every byte escaped": func(s string) string { return everyByte(s, "%%%02X") },
	"in small escapes":   func(s string) string { return everyByte(s, "%%%02x") },
	"escaped twice":      func(s string) string { return everyByte(s, "%%25%02x") },
	"in JSON in JSON":    func(s string) string { return everyByte(s, `\\u%04x`) },
	"in HTML":            func(s string) string { return everyByte(s, "&#%d;") },
	"in capitals":        strings.ToUpper,
	"in small letters":   strings.ToLower,
	"in hexadecimal":     func(s string) string { return hex.EncodeToString([]byte(s)) },
	"in base64":          func(s string) string { return base64.StdEncoding.EncodeToString([]byte("it:" + s)) },
	"in base64url":       func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
	"split unseen":       func(s string) string { return strings.Join(strings.Split(s, ""), `\u200b`) },
	"split by controls":  func(s string) string { return s[:4] + `\u0000` + s[4:8] + `\n` + s[8:] },
	"split by spaces":    func(s string) string { return strings.Join(strings.Split(s, ""), " ") },
	"cut off by the end": func(s string) string { return strings.Repeat("-", shown.Max-18) + s },
	"without its end":    func(s string) string { return s[:len(s)-2] },
}

func everyByte(s, format string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, format, s[i])
	}
	return b.String()
}

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

// canaryErrors are errors as a transport returns them, some dressed as errors
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

// ownWords are those of the program.
const ownWords = "the vault of the program is sealed"

// programErrors are errors as stores, grants and callbacks return them.
func programErrors() map[string]error {
	return map[string]error{
		"plain":    errors.New(ownWords),
		"text":     textError(ownWords),
		"EOF":      fmt.Errorf("%s: %w", ownWords, io.ErrUnexpectedEOF),
		"deadline": fmt.Errorf("%s: %w", ownWords, context.DeadlineExceeded),
		"canceled": fmt.Errorf("%s: %w", ownWords, context.Canceled),
		"joined":   errors.Join(errors.New(ownWords), io.EOF),
		"timeout":  timeoutError{ownWords},
		"conflict": fmt.Errorf("%s: %w", ownWords, auth.ErrConflict),
		"URL":      fmt.Errorf("asking: %w", &url.Error{Op: "Get", URL: "https://h/?key=" + secret("url"), Err: errors.New(secret("error"))}),
	}
}

// textError shows its text to %#v and %d too.
type textError string

func (e textError) Error() string { return string(e) }

type timeoutError struct{ text string }

func (e timeoutError) Error() string { return e.text }

func (e timeoutError) Timeout() bool { return true }

// service is a grant of the program that needs nobody.
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
