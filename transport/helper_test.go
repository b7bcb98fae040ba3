package transport_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/transport"
)

const mcpURL = "https://mcp.example.com/mcp"

// source is an [auth.Source] by hand.
type source struct {
	token   func(ctx context.Context) (*auth.Token, error)
	resolve func(ctx context.Context, rejected *auth.Token, c auth.Challenge) (*auth.Token, error)

	mu         sync.Mutex
	challenges []auth.Challenge
	rejected   []*auth.Token
}

func (s *source) Token(ctx context.Context) (*auth.Token, error) { return s.token(ctx) }

func (s *source) Resolve(ctx context.Context, rejected *auth.Token, c auth.Challenge) (*auth.Token, error) {
	s.mu.Lock()
	s.challenges = append(s.challenges, c)
	s.rejected = append(s.rejected, rejected)
	s.mu.Unlock()
	return s.resolve(ctx, rejected, c)
}

// at gives a source a resource of its own, as *[auth.Manager] has one.
type at struct {
	*source
	resource string
}

func (a at) Resource() string { return a.resource }

// having is a source with one token, and another for whoever asks.
func having(first, next string) *source {
	return &source{
		token: func(context.Context) (*auth.Token, error) { return bearer(first), nil },
		resolve: func(context.Context, *auth.Token, auth.Challenge) (*auth.Token, error) {
			return bearer(next), nil
		},
	}
}

// failing is a source that answers every challenge with err.
func failing(err error) *source {
	s := having("old", "")
	s.resolve = func(context.Context, *auth.Token, auth.Challenge) (*auth.Token, error) { return nil, err }
	return s
}

func bearer(s string) *auth.Token { return &auth.Token{AccessToken: s} }

// sent is a request as it reached the base transport.
type sent struct {
	url, authorization, body string
	header                   http.Header
}

// server is a base transport that answers by itself. Like a real one it reads
// and closes every body.
type server struct {
	answer func(r *http.Request) (*http.Response, error)

	mu   sync.Mutex
	got  []sent
	resp []*http.Response
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		if err := r.Body.Close(); err != nil {
			return nil, err
		}
	}
	resp, err := s.answer(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, sent{r.URL.String(), r.Header.Get("Authorization"), string(body), r.Header})
	if resp != nil {
		resp.Request = r
		s.resp = append(s.resp, resp)
	}
	return resp, err
}

// accepting is a server that takes only the token named good; to others it
// answers with status and WWW-Authenticate value challenge.
func accepting(good string, status int, challenge string) *server {
	return &server{answer: func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("Authorization") == "Bearer "+good {
			return response(200, "hello"), nil
		}
		resp := response(status, "refused")
		if challenge != "" {
			resp.Header.Set("WWW-Authenticate", challenge)
		}
		return resp, nil
	}}
}

func response(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: &stream{Reader: bytes.NewReader([]byte(body))},
	}
}

// stream is a body that knows how often it was closed, and whether it was read
// to its end.
type stream struct {
	io.Reader

	mu     sync.Mutex
	closed int
	end    bool
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed > 0 {
		return 0, errors.New("read after close")
	}
	s.end = s.end || err == io.EOF
	return n, err
}

func (s *stream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
	return nil
}

func (s *stream) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed > 0
}

func (s *stream) drained() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end
}

// post makes a request whose body cannot be made again.
func post(t *testing.T, url, body string) (*http.Request, *stream) {
	t.Helper()
	s := &stream{Reader: bytes.NewReader([]byte(body))}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, s)
	if err != nil {
		t.Fatal(err)
	}
	return req, s
}

// send sends req through rt and returns the status and the body.
func send(t *testing.T, rt *transport.RoundTripper, req *http.Request) (int, string) {
	t.Helper()
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatalf("RoundTrip: %v", err)
	}
	defer resp.Body.Close()
	if resp.Request != req {
		t.Errorf("Response.Request is not the caller's request")
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("reading the response: %v", err)
	}
	return resp.StatusCode, string(body)
}
