// Package errtext keeps the text of errors fit to be shown: to people, in logs and
// on terminals.
//
// Text that came from outside is made safe where it enters. What net/http, a proxy or
// a server says may quote a token or a URL with a key in it, so [Describe] puts errors
// of known kinds in words and quotes nothing. All that is left is the text of this
// module and of the program around it, its stores and its callbacks; [Text] shows it,
// cleaned and bounded.
package errtext

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"strings"
	"syscall"

	"github.com/mcptokens/mcptokens/internal/shown"
)

// Text returns the text of err, cleaned and bounded by [shown.Text]. What net/http has
// put around an error is put in words, as its text has the whole URL.
func Text(err error) string {
	if err == nil {
		return "no error"
	}
	text := err.Error()
	var from *url.Error
	if errors.As(err, &from) {
		text = strings.ReplaceAll(text, from.Error(), Describe(from))
	}
	return shown.Text(text)
}

// own is implemented by the errors of this module that come back from a call into
// net/http or another library. Their text quotes nobody, so Describe shows it.
type own interface {
	error
	own()
}

// Error is an error of this module's own.
type Error struct {
	text string
	is   error
}

// New returns a sentinel with a fixed text.
func New(text string) error { return &Error{text: text} }

// Errorf returns an error whose text is that of the sentinel is, a colon, and what
// format and args make. Strings among args may be a server's: they are cleaned and
// bounded. It unwraps to is.
func Errorf(is error, format string, args ...any) error {
	for i, arg := range args {
		if s, ok := arg.(string); ok {
			args[i] = shown.Text(s)
		}
	}
	return &Error{text: is.Error() + ": " + fmt.Sprintf(format, args...), is: is}
}

// Error implements error.
func (e *Error) Error() string { return e.text }

// Unwrap returns the sentinel that the error was made from, if any.
func (e *Error) Unwrap() error { return e.is }

func (*Error) own() {}

// Corrupt is what stores say of a record that is none any more.
var Corrupt = Permanent("store: the record is corrupt")

// Permanent returns a sentinel with a fixed text and a method Retryable that returns
// false: the same call fails again until a person does something.
func Permanent(text string) error { return &permanent{text} }

type permanent struct{ text string }

// Error implements error.
func (e *permanent) Error() string { return e.text }

// Retryable is false.
func (*permanent) Retryable() bool { return false }

func (*permanent) own() {}

// Describe returns a short text for err, which came back from net/http or another
// library. It has nothing but our own words, or those of the operating system for an
// error number.
func Describe(err error) string {
	var (
		ours    own
		errno   syscall.Errno
		dns     *net.DNSError
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		verify  *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		op      *net.OpError
		timeout interface{ Timeout() bool }
	)
	switch {
	case err == nil:
		return "no error"
	case errors.As(err, &ours):
		return ours.Error()
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "timed out"
	case errors.As(err, &op) && op.Op == "proxyconnect": // what net/http calls the way to a proxy
		return "the proxy cannot be reached: " + Describe(op.Err)
	case errors.As(err, &dns):
		if dns.IsNotFound {
			return "no such host"
		}
		return "host name lookup failed"
	case errors.As(err, &errno):
		return errno.Error()
	case errors.As(err, &unknown):
		return "the server's certificate is from an authority that is not trusted here: if it is yours, add it to the RootCAs of the transport's TLSClientConfig"
	case errors.As(err, &host):
		return "the server's certificate is for another host name: check the URL"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the server's certificate has expired or is not valid yet, by this machine's clock"
	case errors.As(err, &invalid), errors.As(err, &verify):
		return "the server's certificate is not valid for this connection"
	case errors.As(err, &op) && isAlert(op):
		return "the server ended the TLS handshake: " + strings.TrimPrefix(op.Err.Error(), "tls: ")
	case errors.Is(err, http.ErrSchemeMismatch):
		return "the server speaks plain HTTP on this port: check the URL's scheme and port"
	case errors.As(err, &record):
		return "the server does not speak TLS on this port"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timed out"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "connection closed before the whole answer arrived"
	case errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		return "connection closed"
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	if status := proxyStatus(err); status != 0 {
		return ProxyRefused(status).Error()
	}
	return fmt.Sprintf("failed (%T)", err)
}

// isAlert reports whether err is an alert of the other side, "certificate required" for instance.
// crypto/tls has a fixed text for each number (RFC 8446 section 6).
func isAlert(err *net.OpError) bool {
	return err.Op == "remote error" && err.Err != nil && reflect.TypeOf(err.Err).PkgPath() == "crypto/tls"
}

// ProxyRefused is the error for a proxy that answered CONNECT with a status other than 200.
func ProxyRefused(status int) error {
	text := fmt.Sprintf("the proxy refused to connect to the server (HTTP status %d)", status)
	if status == http.StatusProxyAuthRequired {
		text += ": put the proxy's user and password into its URL"
	}
	if status >= 500 {
		return New(text) // it tried
	}
	return &Error{text: text, is: errProxyRefused}
}

var errProxyRefused = errors.New("the proxy refused")

// IsProxyRefused reports whether a proxy did not want to connect to the server, which is
// not to say that it tried and failed.
func IsProxyRefused(err error) bool {
	if errors.Is(err, errProxyRefused) {
		return true
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err != nil && 0 < proxyStatus(err) && proxyStatus(err) < 500
}

// proxyStatus is the status of a proxy that refused CONNECT. All that net/http says of it is
// the reason phrase, in an error of no kind: one of the registered phrases is taken for that.
func proxyStatus(err error) int {
	if reflect.TypeOf(err) != reflect.TypeOf(errors.New("")) {
		return 0
	}
	for status := 300; status < 600; status++ {
		if text := http.StatusText(status); text != "" && text == err.Error() {
			return status
		}
	}
	return 0
}
