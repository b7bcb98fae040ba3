package otelauth_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/internal/shown"
)

// Names that a server chose come out of spans and metrics with visible characters only, and
// few, whatever was let in before.
func TestHostileNamesAreShownSafely(t *testing.T) {
	const unseen = "\u202e\u009b31m\u200b\ufeff\ufe0f\x1b]0;\a\r\n\U000e0041"
	for name, hostile := range map[string]string{
		"host":     "https://as" + unseen + ".example/path",
		"path":     "https://as.example/" + unseen,
		"far":      "https://as.example/" + strings.Repeat("p", 1<<20),
		"far host": "https://" + strings.Repeat("h", 1<<20) + "/",
		"text":     unseen + strings.Repeat("x", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, authtest.Config{}, authtest.Protection{}, func(t *testing.T, k *kit) {
				tracer, ctx := k.config().Tracer, t.Context()
				words := append(strings.Split(strings.Repeat("w", 1000), ""), hostile)
				host, _, _ := strings.Cut(strings.TrimPrefix(hostile, "https://"), "/")
				for _, o := range []struct {
					start authtrace.Start
					end   authtrace.End
				}{
					{authtrace.RefreshStart{Resource: hostile, Issuer: hostile, Scopes: words}, authtrace.RefreshEnd{Issuer: hostile, Grant: hostile, Scopes: words}},
					{authtrace.AuthorizationStart{Resource: hostile, Grant: hostile, Scopes: words}, authtrace.AuthorizationEnd{Issuer: hostile, Scopes: words}},
					{authtrace.UserStart{Issuer: hostile, Grant: hostile}, authtrace.UserEnd{}},
					{authtrace.ExchangeStart{Issuer: hostile, Grant: hostile}, authtrace.ExchangeEnd{}},
					{authtrace.DiscoveryStart{Resource: hostile, Issuer: hostile}, authtrace.DiscoveryEnd{Issuer: hostile}},
					{authtrace.RegistrationStart{Issuer: hostile}, authtrace.RegistrationEnd{ClientID: hostile}},
					{authtrace.RevocationStart{Issuer: hostile}, authtrace.RevocationEnd{}},
					{authtrace.StepUpStart{Resource: hostile, Operation: hostile, Required: words, Requested: words}, authtrace.StepUpEnd{Granted: words, Path: hostile}},
					{authtrace.RequestStart{Method: hostile, URL: &url.URL{Scheme: "https", Host: host, Path: "/" + hostile}}, authtrace.RequestEnd{StatusCode: 200}},
					{authtrace.WaitStart{For: authtrace.AwaitedRefresh, Resource: hostile}, authtrace.WaitEnd{For: authtrace.AwaitedRefresh}},
				} {
					tracer.End(tracer.Start(ctx, ctx, o.start), o.end)
				}
				o := newOutlet()
				k.heard(o)
				texts := 0
				for where, list := range o.said {
					for _, text := range list {
						texts++
						if !shown.Visible(text) || utf8.RuneCountInString(text) > 4*shown.Max {
							t.Errorf("%s: %d characters: %.200q", where, utf8.RuneCountInString(text), text)
						}
					}
				}
				if texts < 20 {
					t.Error(fmt.Sprint(texts, " texts came out: nothing is tested"))
				}
			})
		})
	}
}
