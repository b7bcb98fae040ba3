package discovery

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/internal/httpx"
)

func TestClientRequest(t *testing.T) {
	var got *http.Request
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"resource":"http://`+r.Host+`/mcp","authorization_servers":["http://localhost:1"]}`)
	}))
	defer srv.Close()

	var c Client // the zero value
	doc, err := c.ProtectedResource(t.Context(), srv.URL+"/mcp", "")
	if err != nil || len(doc.AuthorizationServers) != 1 {
		t.Fatalf("ProtectedResource = %+v, %v", doc, err)
	}
	if got.Method != http.MethodGet || got.Header.Get("Accept") != "application/json" {
		t.Errorf("request %s with Accept %q", got.Method, got.Header.Get("Accept"))
	}
	if got.Header.Get("Mcp-Protocol-Version") != "" || got.Header.Get("Authorization") != "" {
		t.Errorf("request with headers it should not have: %v", got.Header)
	}
}

func TestClientTellsTemporaryFromMissing(t *testing.T) {
	refused := &http.Client{Transport: &web{pages: map[string]page{
		asOAuth:  {err: errors.New("canary")},
		asOpenID: {status: 404},
	}}}
	_, err := (&Client{HTTPClient: refused}).AuthorizationServer(t.Context(), as)
	checkError(t, err, nil, true)
	if errors.Is(err, ErrNotFound) {
		t.Errorf("error = %v, want the failure, not ErrNotFound", err)
	}
}

func TestClientStopsWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w, c := newWeb(map[string]page{asOAuth: {err: context.Canceled}})
	cancel()
	_, err := c.AuthorizationServer(ctx, as)
	checkError(t, err, context.Canceled, false)
	w.requested(t, asOAuth)
}

func TestErrorText(t *testing.T) {
	tests := []struct {
		name string
		err  *Error
		want string
	}{
		{"no request", &Error{Op: "o", Err: ErrMalformed}, "discovery: o: malformed document"},
		{"status", &Error{Op: "o", URL: "https://h/x", StatusCode: 404, Err: ErrNotFound}, "discovery: o at https://h/x: no metadata document (HTTP status 404)"},
		{"document", &Error{Op: "o", URL: "https://h/x", StatusCode: 200, Err: ErrIssuerMismatch}, "discovery: o at https://h/x: issuer mismatch"},
		{"no cause", &Error{Op: "o", URL: "https://h/x", StatusCode: 503}, "discovery: o at https://h/x (HTTP status 503)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.err.Error(); got != tt.want {
				t.Errorf("Error() = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestErrorOfAnswer(t *testing.T) {
	const at = "https://meta.example.net/doc?token=canary"
	_, c := newWeb(map[string]page{at: {status: 503, header: map[string]string{"Retry-After": "7"}}})
	_, err := c.ProtectedResource(t.Context(), mcp, at)
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error = %v, want an *Error", err)
	}
	if e.URL != "https://meta.example.net/doc" || e.StatusCode != 503 || e.RetryAfter != 7*time.Second {
		t.Errorf("error = %+v, want the URL without query, the status and its Retry-After", e)
	}
}

func TestErrorRetryable(t *testing.T) {
	tests := []struct {
		name string
		err  Error
		want bool
	}{
		{"503", Error{StatusCode: 503}, true},
		{"500", Error{StatusCode: 500}, true},
		{"429", Error{StatusCode: 429}, true},
		{"408", Error{StatusCode: 408}, true},
		{"404", Error{StatusCode: 404, Err: ErrNotFound}, false},
		{"timeout", Error{Err: httpx.NewTransportError(context.DeadlineExceeded)}, true},
		{"cut off", Error{StatusCode: 200, Err: httpx.NewTransportError(io.ErrUnexpectedEOF)}, true},
		{"cancelled", Error{Err: httpx.NewTransportError(context.Canceled)}, false},
		{"mismatch", Error{StatusCode: 200, Err: ErrIssuerMismatch}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.err.Retryable(); got != tt.want {
				t.Errorf("Retryable = %v, want %v", got, tt.want)
			}
		})
	}
}
