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

type phrase struct{}

func (phrase) Error() string { return "Forbidden" }

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
		"nil":                {nil, "no error"},
		"our own":            {New("auth: no token"), "auth: no token"},
		"our own, of a kind": {Errorf(New("kind"), "cause"), "kind: cause"},
		"permanent":          {Permanent("ours"), "ours"},
		"canceled":           {context.Canceled, "canceled"},
		"deadline":           {context.DeadlineExceeded, "timed out"},
		"socket deadline":    {os.ErrDeadlineExceeded, "timed out"},
		"timeout":            {slow{true}, "timed out"},
		"not a timeout":      {slow{false}, "failed (errtext.slow)"},
		"no such host":       {&net.DNSError{Name: secret, Err: secret, IsNotFound: true}, "no such host"},
		"lookup failed":      {&net.DNSError{Name: secret, Err: secret}, "host name lookup failed"},
		"lookup timed out":   {&net.DNSError{Name: secret, Err: secret, IsTimeout: true}, "host name lookup failed"},
		"refused":            {&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, syscall.ECONNREFUSED.Error()},
		"unknown CA":         {x509.UnknownAuthorityError{Cert: cert}, "the server's certificate is from an authority that is not trusted here: if it is yours, add it to the RootCAs of the transport's TLSClientConfig"},
		"other host":         {x509.HostnameError{Certificate: cert, Host: secret}, "the server's certificate is for another host name: check the URL"},
		"expired":            {x509.CertificateInvalidError{Cert: cert, Reason: x509.Expired, Detail: secret}, "the server's certificate has expired or is not valid yet, by this machine's clock"},
		"other usage":        {x509.CertificateInvalidError{Cert: cert, Reason: x509.IncompatibleUsage, Detail: secret}, badCert},
		"dead proxy":         {&net.OpError{Op: "proxyconnect", Err: &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}}, "the proxy cannot be reached: " + syscall.ECONNREFUSED.Error()},
		"unknown proxy":      {&net.OpError{Op: "proxyconnect", Err: &net.DNSError{Name: secret, Err: secret, IsNotFound: true}}, "the proxy cannot be reached: no such host"},
		"proxy refuses":      {errors.New("Forbidden"), "the proxy refused to connect to the server (HTTP status 403)"},
		"proxy wants login":  {errors.New("Proxy Authentication Required"), "the proxy refused to connect to the server (HTTP status 407): put the proxy's user and password into its URL"},
		"a kind of its own":  {foreign{phrase{}}, "failed (errtext.phrase)"},
		"other remote error": {&net.OpError{Op: "remote error", Err: errors.New(secret)}, "failed (*errors.errorString)"},
		"verification":       {&tls.CertificateVerificationError{Err: errors.New(secret)}, badCert},
		"no TLS":             {tls.RecordHeaderError{Msg: secret}, "the server does not speak TLS on this port"},
		"EOF":                {io.EOF, "connection closed before the whole answer arrived"},
		"cut":                {io.ErrUnexpectedEOF, "connection closed before the whole answer arrived"},
		"closed":             {net.ErrClosed, "connection closed"},
		"closed pipe":        {io.ErrClosedPipe, "connection closed"},
		"unknown":            {errors.New(secret), "failed (*errors.errorString)"},
		"innermost type":     {fmt.Errorf("%w", &os.PathError{Path: secret, Err: foreign{}}), "failed (errtext.foreign)"},
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

func TestText(t *testing.T) {
	long := strings.Repeat("ä", 400)
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"nil":              {nil, "no error"},
		"plain":            {errors.New("no such user: Zoë 東京"), "no such user: Zoë 東京"},
		"wrapped":          {fmt.Errorf("login: %w", io.EOF), "login: EOF"},
		"lines":            {errors.Join(errors.New("one"), errors.New("two")), `one\ntwo`},
		"terminal":         {errors.New("\x1b]0;title\a\u009b31m\x7f"), `\u001b]0;title\u0007\u009b31m\u007f`},
		"bidirectional":    {errors.New("a\u202eb\u2066c\u200f"), `a\u202eb\u2066c\u200f`},
		"zero width":       {errors.New("a\u200bb\u200dc\ufeff"), `a\u200bb\u200dc\ufeff`},
		"other spaces":     {errors.New("a\u00a0b\u2028c"), `a\u00a0b\u2028c`},
		"no UTF-8":         {errors.New("a\xff\ufffd"), "a\\xff\ufffd"},
		"backslashes":      {errors.New(`C:\new`), `C:\new`},
		"long":             {errors.New(long), long[:2*299] + "…"},
		"net/http":         {&url.Error{Op: "Get", URL: "https://h/?key=" + secret, Err: errors.New(secret)}, "failed (*errors.errorString)"},
		"net/http, inside": {fmt.Errorf("asking: %w", &url.Error{Op: "Get", URL: "https://h/?key=" + secret, Err: io.EOF}), "asking: connection closed before the whole answer arrived"},
	} {
		t.Run(name, func(t *testing.T) {
			got := Text(tc.err)
			if got != tc.want {
				t.Errorf("Text = %q, want %q", got, tc.want)
			}
			if again := Text(errors.New(got)); again != got {
				t.Errorf("as a cause it is %q, was %q", again, got)
			}
		})
	}
}
