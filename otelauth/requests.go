package otelauth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/mcptokens/mcptokens/auth/authtrace"
)

// requestStart begins a client span of the semantic conventions for HTTP. It is
// named by the method alone, since the paths of authorization servers have no
// template.
func (t *tracer) requestStart(ctx context.Context, data authtrace.RequestStart) context.Context {
	method := semconv.HTTPRequestMethodKey.String(knownMethod(data.Method))
	m := append(newAttributes(5), method)
	a := append(newAttributes(5), method)
	a.text(semconv.URLFullKey, data.URL.String())
	if host := t.hosts.known(data.URL.Hostname()); host != "" {
		m.add(semconv.ServerAddress(host), semconv.ServerPort(port(data.URL)))
		a.host(data.URL)
		a.add(semconv.ServerPort(port(data.URL)))
	}
	if data.Resend > 0 {
		a.add(semconv.HTTPRequestResendCount(data.Resend))
	}
	ctx, _ = t.start(ctx, knownMethod(data.Method), a, m, trace.WithSpanKind(trace.SpanKindClient))
	return ctx
}

func (t *tracer) requestEnd(ctx context.Context, op *operation, data authtrace.RequestEnd) {
	m := op.measured
	a := newAttributes(2)
	if data.StatusCode != 0 {
		status := semconv.HTTPResponseStatusCode(data.StatusCode)
		m.add(status)
		a.add(status)
	}
	if why := requestFailure(op.measured, data); why != "" {
		m.add(semconv.ErrorTypeKey.String(why))
		a.add(semconv.ErrorTypeKey.String(why))
		op.span.SetStatus(codes.Error, "")
	}
	t.record(ctx, t.measure.request, time.Since(op.started), m)
	op.span.SetAttributes(t.kept(a)...)
	op.span.End()
}

// requestFailure is the error.type of a request; empty if it did not fail.
// Whether there is metadata at a well-known URL is asked, not presumed, so that
// a 404 is an answer to a GET; and who gave up has no error.
func requestFailure(start attributes, data authtrace.RequestEnd) string {
	switch {
	case errors.Is(data.Err, context.Canceled):
		return ""
	case data.Err != nil:
		return networkFailure(data.Err)
	case data.StatusCode == http.StatusNotFound && slices.Contains(start, semconv.HTTPRequestMethodGet):
		return ""
	case data.StatusCode >= 400:
		return strconv.Itoa(data.StatusCode)
	}
	return ""
}

// networkFailure puts an error in one of few words.
func networkFailure(err error) string {
	var (
		timeout  interface{ Timeout() bool }
		dns      *net.DNSError
		verify   *tls.CertificateVerificationError
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
		invalid  x509.CertificateInvalidError
		alert    tls.AlertError
		record   tls.RecordHeaderError
		op       *net.OpError
	)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.As(err, &dns):
		return "name_resolution"
	case errors.As(err, &verify), errors.As(err, &unknown), errors.As(err, &hostname), errors.As(err, &invalid),
		errors.As(err, &alert), errors.As(err, &record):
		return "tls"
	case errors.As(err, &op):
		return "connection"
	}
	return semconv.ErrorTypeOther.Value.AsString()
}

// knownMethod is a method of RFC 9110, else "_OTHER". Only these two are sent.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodPost:
		return method
	}
	return "_OTHER"
}

// port is the URL's, or that of its scheme.
func port(u *url.URL) int {
	switch {
	case u.Port() != "":
		p, _ := strconv.Atoi(u.Port()) // digits, says net/url
		return p
	case u.Scheme == "http":
		return 80
	}
	return 443
}
