package errtext

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
)

// secret stands for what a server, a proxy or a RoundTripper might quote.
const secret = "planted-secret"

type foreign struct{ cause error }

func (f foreign) Error() string { return "POST failed with token " + secret }
func (f foreign) Unwrap() error { return f.cause }

type slow struct{ timeout bool }

func (slow) Error() string   { return "slow: " + secret }
func (s slow) Timeout() bool { return s.timeout }

func TestDescribe(t *testing.T) {
	const badCert = "the server's certificate is not valid for this connection"
	cert := &x509.Certificate{DNSNames: []string{secret}}
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"nil":              {nil, "no error"},
		"our own":          {New("auth: no token"), "auth: no token"},
		"our own, wrapped": {ours{io.EOF}, "ours: connection closed"},
		"canceled":         {context.Canceled, "canceled"},
		"deadline":         {context.DeadlineExceeded, "timed out"},
		"socket deadline":  {os.ErrDeadlineExceeded, "timed out"},
		"timeout":          {slow{true}, "timed out"},
		"not a timeout":    {slow{false}, "failed (errtext.slow)"},
		"no such host":     {&net.DNSError{Name: secret, Err: secret, IsNotFound: true}, "no such host"},
		"lookup failed":    {&net.DNSError{Name: secret, Err: secret}, "host name lookup failed"},
		"lookup timed out": {&net.DNSError{Name: secret, Err: secret, IsTimeout: true}, "host name lookup failed"},
		"refused":          {&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, syscall.ECONNREFUSED.Error()},
		"unknown CA":       {x509.UnknownAuthorityError{Cert: cert}, badCert},
		"other host":       {x509.HostnameError{Certificate: cert, Host: secret}, badCert},
		"expired":          {x509.CertificateInvalidError{Cert: cert, Reason: x509.Expired, Detail: secret}, badCert},
		"verification":     {&tls.CertificateVerificationError{Err: errors.New(secret)}, badCert},
		"no TLS":           {tls.RecordHeaderError{Msg: secret}, "the server does not speak TLS on this port"},
		"EOF":              {io.EOF, "connection closed before the whole answer arrived"},
		"cut":              {io.ErrUnexpectedEOF, "connection closed before the whole answer arrived"},
		"closed":           {net.ErrClosed, "connection closed"},
		"closed pipe":      {io.ErrClosedPipe, "connection closed"},
		"unknown":          {errors.New(secret), "failed (*errors.errorString)"},
		"innermost type":   {fmt.Errorf("%w", &os.PathError{Path: secret, Err: foreign{}}), "failed (errtext.foreign)"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, err := range wrappings(tc.err) {
				got := Describe(err)
				if got != tc.want {
					t.Errorf("Describe(%T) = %q, want %q", err, got, tc.want)
				}
				if strings.Contains(got, secret) {
					t.Errorf("Describe(%T) quotes the error: %q", err, got)
				}
			}
		})
	}
}

// wrappings is err as it comes, as an http.Client returns it, and inside an
// error of unknown kind.
func wrappings(err error) []error {
	if err == nil {
		return []error{nil}
	}
	return []error{err, &url.Error{Op: "Post", URL: "https://as.example/?token=" + secret, Err: err}, foreign{err}}
}

// Our own errors say more than the kind of their cause.
type ours struct{ cause error }

func (o ours) Error() string    { return "ours: connection closed" }
func (o ours) SafeText() string { return o.Error() }
func (o ours) Unwrap() error    { return o.cause }

func TestSentinelsAreDistinct(t *testing.T) {
	a, b := New("same"), New("same")
	if errors.Is(a, b) || !errors.Is(fmt.Errorf("x: %w", a), a) {
		t.Error("sentinels have to be compared by identity")
	}
	if a.Error() != "same" {
		t.Errorf("Error = %q", a.Error())
	}
}

// An error that wraps several is none of the known kinds unless one of them is.
func TestDescribeJoined(t *testing.T) {
	if got := Describe(errors.Join(errors.New(secret), io.EOF)); got != "connection closed before the whole answer arrived" {
		t.Errorf("Describe = %q", got)
	}
	if got := Describe(errors.Join(errors.New(secret))); got != "failed (*errors.joinError)" {
		t.Errorf("Describe = %q", got)
	}
}
