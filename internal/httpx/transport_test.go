package httpx

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/internal/errtext"
)

type timeoutError struct{}

func (timeoutError) Error() string   { return "canary" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

func TestTransportError(t *testing.T) {
	dial := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	tests := []struct {
		name      string
		err       error
		text      string
		retryable bool
	}{
		{"dial", dial, "failed (*errors.errorString)", true},
		{"cancelled", context.Canceled, "canceled", false},
		{"deadline", context.DeadlineExceeded, "timed out", true},
		{"cut off", io.ErrUnexpectedEOF, "connection closed before the whole answer arrived", true},
		{"closed", io.EOF, "connection closed before the whole answer arrived", true},
		{"redirect", errtext.Errorf(ErrRedirect, "somewhere"), "redirect not followed: somewhere", false},
		{"hostname", x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"other"}}, Host: "h"}, "the server's certificate is for another host name: check the URL", false},
		{"expired", x509.CertificateInvalidError{Reason: x509.Expired, Detail: "long ago"}, "the server's certificate has expired or is not valid yet, by this machine's clock", false},
		{"unknown kind of timeout", timeoutError{}, "timed out", true},
		{"quotes the server", errors.New("malformed HTTP response \"canary\""), "failed (*errors.errorString)", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := NewTransportError(&url.Error{Op: "Get", URL: "https://h/?canary", Err: tt.err})
			if e.Error() != tt.text || e.Retryable() != tt.retryable {
				t.Errorf("error %q, retryable %v, want %q, %v", e, e.Retryable(), tt.text, tt.retryable)
			}
			if e.Unwrap() != tt.err {
				t.Errorf("Unwrap = %v, want %v", e.Unwrap(), tt.err)
			}
		})
	}
}

// The kinds above are constructed; these are what net/http really returns.
func TestTransportErrorFromNetwork(t *testing.T) {
	t.Run("untrusted certificate", func(t *testing.T) {
		srv := httptest.NewUnstartedServer(http.NotFoundHandler())
		srv.Config.ErrorLog = log.New(io.Discard, "", 0)
		srv.StartTLS()
		defer srv.Close()
		_, err := NoRedirect(nil).Get(srv.URL)
		if e := NewTransportError(err); e.Retryable() || !strings.Contains(e.Error(), "certificate") {
			t.Errorf("error %q, retryable %v, want a permanent one about the certificate", e, e.Retryable())
		}
	})
	t.Run("not HTTP", func(t *testing.T) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "canary canary canary\r\n\r\n")
			_ = conn.Close()
		}()
		_, err = NoRedirect(nil).Get("http://" + ln.Addr().String())
		if e := NewTransportError(err); strings.Contains(e.Error(), "canary") || !e.Retryable() {
			t.Errorf("error %q, retryable %v, want a retryable one without the server's words", e, e.Retryable())
		}
		_ = ln.Close()
		<-done
	})
	t.Run("refused connection", func(t *testing.T) {
		_, err := NoRedirect(nil).Get("http://127.0.0.1:1/") // a port that no other process is given meanwhile
		if e := NewTransportError(err); !e.Retryable() || !strings.Contains(e.Error(), "connection refused") {
			t.Errorf("error %q, retryable %v, want a retryable one that says refused", e, e.Retryable())
		}
	})
}
