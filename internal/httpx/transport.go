package httpx

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"

	"github.com/mcptokens/mcptokens/internal/errtext"
)

// TransportError is a request that got no complete answer. Its text is safe to show: it has
// neither the URL, whose query may be secret, nor anything the server sent.
type TransportError struct {
	// Err is the cause, without the *url.Error that net/http puts around it. Unlike Error,
	// its own text may quote the server.
	Err error `json:"-"`
}

// NewTransportError wraps an error of http.Client.Do or of reading a response body.
func NewTransportError(err error) *TransportError {
	if already, ok := err.(*TransportError); ok {
		return already
	}
	var urlErr *url.Error
	if errors.As(err, &urlErr) {
		err = urlErr.Err
	}
	return &TransportError{Err: err}
}

// Error describes the cause without quoting it; net/http has errors that
// repeat what the server sent ("malformed HTTP response %q").
func (e *TransportError) Error() string { return errtext.Describe(e.Err) }

// Unwrap returns the cause.
func (e *TransportError) Unwrap() error { return e.Err }

// Retryable reports whether the same request may succeed later. It may, except when the
// caller gave up, the server's certificate is not trusted, or a redirect or an address was
// refused.
func (e *TransportError) Retryable() bool {
	return !errors.Is(e.Err, context.Canceled) && !errors.Is(e.Err, ErrRedirect) &&
		!errors.Is(e.Err, ErrPrivateAddress) && !errors.Is(e.Err, ErrUnseenAddress) && !isCertificateError(e.Err)
}

func isCertificateError(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		invalid      x509.CertificateInvalidError
	)
	return errors.As(err, &verification) || errors.As(err, &authority) ||
		errors.As(err, &hostname) || errors.As(err, &invalid)
}

// Unreachable reports whether there was no connection to send a request on: the host is not
// known, nobody listens there, the port has plain HTTP instead of TLS, or a proxy cannot be
// reached or refuses to connect.
func Unreachable(err error) bool {
	var (
		op  *net.OpError
		dns *net.DNSError
	)
	return errors.As(err, &dns) || errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect") ||
		errors.Is(err, http.ErrSchemeMismatch) || errtext.IsProxyRefused(err)
}
