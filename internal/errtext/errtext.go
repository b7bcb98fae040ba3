// Package errtext says what went wrong on the way to a server without
// repeating text that came from outside: an error of a custom RoundTripper, a
// proxy or a server may quote a token, so only errors of known kinds are put
// in words.
package errtext

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

// Safe is implemented by errors whose text this module wrote itself and knows
// to hold no secret.
type Safe interface {
	error
	SafeText() string
}

// Error is a [Safe] error.
type Error struct {
	text string
	is   error
}

// New returns a sentinel with a fixed text.
func New(text string) error { return &Error{text: text} }

// Errorf returns an error whose whole text is safe: the text of the sentinel
// is, a colon, and what format and args make. It unwraps to is.
func Errorf(is error, format string, args ...any) error {
	return &Error{text: is.Error() + ": " + fmt.Sprintf(format, args...), is: is}
}

// Error implements error; the text holds no secret.
func (e *Error) Error() string { return e.text }

// Unwrap returns the sentinel that the error was made from, if any.
func (e *Error) Unwrap() error { return e.is }

// SafeText implements [Safe].
func (e *Error) SafeText() string { return e.text }

// Describe returns a short text for err that holds nothing but our own words,
// or the words of the operating system for an error number.
func Describe(err error) string {
	var (
		safe    Safe
		errno   syscall.Errno
		dns     *net.DNSError
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		verify  *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		timeout interface{ Timeout() bool }
	)
	switch {
	case err == nil:
		return "no error"
	case errors.As(err, &safe):
		return safe.SafeText()
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "timed out"
	case errors.As(err, &dns):
		if dns.IsNotFound {
			return "no such host"
		}
		return "host name lookup failed"
	case errors.As(err, &errno):
		return errno.Error()
	case errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &invalid), errors.As(err, &verify):
		return "the server's certificate is not valid for this connection"
	case errors.As(err, &record):
		return "the server does not speak TLS on this port"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timed out"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "connection closed before the whole answer arrived"
	case errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		return "connection closed"
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return fmt.Sprintf("failed (%T)", err)
		}
		err = inner
	}
}
