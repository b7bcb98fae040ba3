package registration

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestClientRedactsItself(t *testing.T) {
	c := Client{
		ClientID: "shown", ClientSecret: "canary-secret", TokenEndpointAuthMethod: "client_secret_basic",
		RegistrationAccessToken: "canary-token", RegistrationClientURI: "https://as.example.com/register?canary",
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t"} {
		for _, arg := range []any{c, &c, []Client{c}, struct{ C *Client }{&c}.C} {
			if got := fmt.Sprintf(verb, arg); strings.Contains(got, "canary") || !strings.Contains(got, "shown") {
				t.Errorf("Sprintf(%q, %T) = %s", verb, arg, got)
			}
		}
	}
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var b bytes.Buffer
		slog.New(handler(&b)).Info("registered", "client", c, "pointer", &c)
		if got := b.String(); strings.Contains(got, "canary") || !strings.Contains(got, "shown") {
			t.Errorf("%s log: %s", name, got)
		}
	}
}
