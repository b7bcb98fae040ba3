package otelauth_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"testing"

	"go.opentelemetry.io/otel/codes"

	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/authtrace"
)

// What fails a request is in few words, and a document that is not there has
// failed nobody.
func TestRequestSpans(t *testing.T) {
	tests := map[string]struct {
		method string
		end    authtrace.RequestEnd
		typ    string
	}{
		"success":                 {"POST", authtrace.RequestEnd{StatusCode: 200}, ""},
		"redirect":                {"GET", authtrace.RequestEnd{StatusCode: 302}, ""},
		"no such document":        {"GET", authtrace.RequestEnd{StatusCode: 404}, ""},
		"no such endpoint":        {"POST", authtrace.RequestEnd{StatusCode: 404}, "404"},
		"refused":                 {"POST", authtrace.RequestEnd{StatusCode: 400}, "400"},
		"broken":                  {"GET", authtrace.RequestEnd{StatusCode: 500}, "500"},
		"answer that breaks off":  {"POST", authtrace.RequestEnd{StatusCode: 200, Err: errors.New("secret")}, "_OTHER"},
		"no answer":               {"POST", authtrace.RequestEnd{Err: errors.New("secret")}, "_OTHER"},
		"gave up":                 {"POST", authtrace.RequestEnd{Err: fmt.Errorf("x: %w", context.Canceled)}, ""},
		"timeout":                 {"POST", authtrace.RequestEnd{Err: fmt.Errorf("x: %w", context.DeadlineExceeded)}, "timeout"},
		"timeout of the network":  {"POST", authtrace.RequestEnd{Err: &net.OpError{Op: "read", Err: &net.DNSError{IsTimeout: true}}}, "timeout"},
		"unknown name":            {"POST", authtrace.RequestEnd{Err: &net.OpError{Op: "dial", Err: &net.DNSError{IsNotFound: true}}}, "name_resolution"},
		"refused connection":      {"POST", authtrace.RequestEnd{Err: &net.OpError{Op: "dial", Err: errors.New("secret")}}, "connection"},
		"unknown authority":       {"POST", authtrace.RequestEnd{Err: &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}}, "tls"},
		"method that nobody uses": {"BREW", authtrace.RequestEnd{StatusCode: 200}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
				tr := k.config().Tracer
				ctx := tr.Start(t.Context(), context.Background(), authtrace.RequestStart{Method: tt.method, URL: &url.URL{Scheme: "https", Host: "as.example.com", Path: "/x"}})
				tr.End(ctx, tt.end)
				want := tt.method
				if want == "BREW" {
					want = "_OTHER"
				}
				s := k.span(want)
				if got := value(s.Attributes, "error.type").AsString(); got != tt.typ {
					t.Errorf("error.type %q, want %q", got, tt.typ)
				}
				if failed := s.Status.Code == codes.Error; failed != (tt.typ != "") || s.Status.Description != "" {
					t.Errorf("status %v", s.Status)
				}
				if got := value(s.Attributes, "http.response.status_code").AsInt64(); got != int64(tt.end.StatusCode) {
					t.Errorf("status code %d", got)
				}
				if got := value(s.Attributes, "server.port").AsInt64(); got != 443 {
					t.Errorf("port %d, want that of https", got)
				}
			})
		})
	}
}
