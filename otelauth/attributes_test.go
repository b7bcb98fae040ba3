package otelauth_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/otelauth"
)

// traced returns a tracer and the attributes of the last span that it exported.
func traced(t *testing.T) (authtrace.Tracer, func() map[string]string) {
	t.Helper()
	spans := tracetest.NewInMemoryExporter()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	t.Cleanup(func() { _ = tp.Shutdown(context.Background()) })
	return otelauth.NewTracer(otelauth.WithTracerProvider(tp)), func() map[string]string {
		t.Helper()
		all := spans.GetSpans()
		if len(all) == 0 {
			t.Fatal("no span")
		}
		attrs := map[string]string{}
		for _, a := range all[len(all)-1].Attributes {
			attrs[string(a.Key)] = a.Value.String()
		}
		return attrs
	}
}

func TestURLs(t *testing.T) {
	tests := map[string]struct{ url, issuer, host, port string }{
		"plain":            {"https://as.example.com", "https://as.example.com", "as.example.com", ""},
		"path":             {"https://as.example.com/tenant%2F1/", "https://as.example.com/tenant%2F1/", "as.example.com", ""},
		"port":             {"https://as.example.com:8443", "https://as.example.com:8443", "as.example.com", "8443"},
		"IPv6":             {"http://[::1]:80/x", "http://[::1]:80/x", "::1", "80"},
		"query":            {"https://as.example.com/x?key=secret", "https://as.example.com/x", "as.example.com", ""},
		"fragment":         {"https://as.example.com/x#secret", "https://as.example.com/x", "as.example.com", ""},
		"user information": {"https://me:secret@as.example.com/x", "https://as.example.com/x", "as.example.com", ""},
		"no host":          {"secret", "", "", ""},
		"opaque":           {"mailto:secret", "", "", ""},
		"no URL":           {"https://%zz", "", "", ""},
		"none":             {"", "", "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tr, attrs := traced(t)
			ctx := tr.Start(t.Context(), t.Context(), authtrace.RefreshStart{Resource: tt.url, Issuer: tt.url})
			tr.End(ctx, authtrace.RefreshEnd{})
			for key, want := range map[string]string{
				"oauth.resource": tt.issuer, "oauth.issuer": tt.issuer, "server.address": tt.host, "server.port": tt.port,
			} {
				if got := attrs()[key]; got != want {
					t.Errorf("%s = %q, want %q", key, got, want)
				}
			}
		})
	}
}

func TestScopes(t *testing.T) {
	many := strings.Fields(strings.Repeat("s ", 40))
	tests := map[string]struct {
		scopes []string
		want   string
	}{
		"none":       {nil, ""},
		"some":       {[]string{"a", "b:c"}, `["a","b:c"]`},
		"too long":   {[]string{"a", strings.Repeat("x", 129)}, `["a"]`},
		"too many":   {many, `["` + strings.Join(many[:32], `","`) + `"]`},
		"not UTF-8":  {[]string{"a\xff", "b"}, `["b"]`},
		"not a word": {[]string{"", "a b", `a"b`, `a\b`, "é"}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tr, attrs := traced(t)
			tr.End(tr.Start(t.Context(), t.Context(), authtrace.RefreshStart{Scopes: tt.scopes}), authtrace.RefreshEnd{})
			if got := attrs()["oauth.scopes.required"]; got != tt.want {
				t.Errorf("scopes = %s, want %s", got, tt.want)
			}
		})
	}
}

// typed is an error that says whatever it likes of its type.
type typed string

func (t typed) Error() string     { return "an error" }
func (t typed) ErrorType() string { return string(t) }

func TestErrorType(t *testing.T) {
	tests := map[string]struct {
		err  error
		want string
	}{
		"none":                 {nil, ""},
		"token request":        {&auth.TokenError{Code: "invalid_grant"}, "invalid_grant"},
		"wrapped":              {fmt.Errorf("x: %w", &auth.ReauthorizationRequiredError{Err: &auth.TokenError{Code: "invalid_client"}}), "invalid_client"},
		"authorization":        {&auth.AuthorizationError{Code: "login_required"}, "login_required"},
		"registration":         {&registration.Error{Code: "invalid_client_metadata"}, "invalid_client_metadata"},
		"made up":              {&auth.TokenError{Code: "secret"}, "_OTHER"},
		"no answer":            {&auth.TokenError{Err: context.DeadlineExceeded}, "timeout"},
		"given up":             {&auth.AuthorizationError{Err: context.Canceled}, "canceled"},
		"no browser":           {&auth.AuthorizationError{Err: browser.ErrNoBrowser}, "no_browser"},
		"a type of its own":    {&auth.AuthorizationError{Err: typed("secret")}, "_OTHER"},
		"text that is no code": {fmt.Errorf("invalid_grant"), "_OTHER"},
		"in upper case":        {&auth.TokenError{Code: "INVALID_GRANT"}, "_OTHER"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tr, attrs := traced(t)
			tr.End(tr.Start(t.Context(), t.Context(), authtrace.RefreshStart{}), authtrace.RefreshEnd{Err: tt.err})
			if got := attrs()["error.type"]; got != tt.want {
				t.Errorf("error.type = %q, want %q", got, tt.want)
			}
		})
	}
}

// The span in a context that the tracer did not make is not its own.
func TestForeignContext(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	tr := otelauth.NewTracer(otelauth.WithTracerProvider(tp))
	ctx, span := tp.Tracer("program").Start(t.Context(), "call")
	failed := &auth.TokenError{Code: "invalid_grant"}
	tr.Point(ctx, authtrace.Attempt{Number: 2, Err: failed})
	tr.End(ctx, authtrace.RefreshEnd{Err: failed})
	tr.End(ctx, authtrace.AuthorizationEnd{Err: failed})
	tr.End(ctx, authtrace.StepUpEnd{Err: failed})
	tr.End(ctx, authtrace.DiscoveryEnd{Err: failed})
	tr.End(ctx, authtrace.RegistrationEnd{Err: failed})
	tr.End(ctx, authtrace.RevocationEnd{Err: failed})
	if n := len(spans.GetSpans()); n != 0 {
		t.Fatalf("%d spans ended, want none", n)
	}
	span.End()
	got := spans.GetSpans()[0]
	if len(got.Attributes) != 0 || len(got.Events) != 0 || got.Status.Code != 0 {
		t.Errorf("the caller's span was changed: %v %v %v", got.Attributes, got.Events, got.Status)
	}
	if names := spanNames(spans); !slices.Equal(names, []string{"call"}) {
		t.Errorf("spans %v, want call alone", names)
	}
}

func spanNames(e *tracetest.InMemoryExporter) (names []string) {
	for _, s := range e.GetSpans() {
		names = append(names, s.Name)
	}
	return names
}
