package finder

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth/discovery"
)

const itself = "https://mcp.example"

// legacy is a web with a server of MCP 2025-03-26, all of whose metadata places answer p.
func (w *web) legacy(p page) {
	for _, at := range []string{atMCP, atRoot, atLegacy, itself + "/.well-known/openid-configuration"} {
		w.set(at, p)
	}
}

// settle asks as a caller that retries would, for ten seconds.
func settle(ask func() (*Place, error)) (p *Place, err error) {
	for range 20 {
		if p, err = ask(); err == nil {
			return p, nil
		}
		time.Sleep(time.Second / 2)
	}
	return nil, err
}

// A server of MCP 2025-03-26 is its own authorization server, at the default endpoints if it
// has no metadata. It says so by 404, or by whatever its gateway answers.
//
//compat:finding no metadata at all, as with servers of MCP 2025-03-26
//compat:default the MCP server's own origin, at the default endpoints
//compat:attack TestFailureIsNotLegacy
func TestLegacyServer(t *testing.T) {
	for _, tt := range []struct {
		name   string
		places page
		token  string // where the token endpoint is if the origin has metadata
		found  bool
	}{
		{"404", page{status: 404}, "", true},
		{"500", page{status: 500}, "", true},
		{"502", page{status: 502}, "", true},
		{"503", page{status: 503}, "", true},
		{"404 and metadata", page{status: 404}, itself + "/oauth/token", true},
		{"502 and metadata", page{status: 502}, itself + "/oauth/token", true},
		{"come back later", page{status: 503, retry: "5"}, "", false},
		{"nobody there", page{fail: errRefused}, "", false},
		{"too many requests", page{status: 429}, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *web) {
				w.legacy(tt.places)
				if tt.token != "" {
					w.set(atLegacy, page{body: `{"issuer":"https://mcp.example","token_endpoint":"https://mcp.example/oauth/token"}`})
				}
				f := w.finder(Config{})
				p, err := settle(func() (*Place, error) { return f.Find(t.Context(), query()) })
				if !tt.found {
					if de := asError[*discovery.Error](t, err); !de.Retryable() {
						t.Error(err)
					}
					return
				}
				if tt.token == "" {
					wantIssuer(t, p, err, itself)
					reference, err := (&discovery.Client{HTTPClient: (&web{}).finder(Config{}).Client(mcp)}).Legacy(t.Context(), mcp)
					if err != nil || p.Server.TokenEndpoint != reference.TokenEndpoint || p.Server.AuthorizationEndpoint == "" || !p.Server.SupportsPKCE() {
						t.Errorf("%+v, want %+v", p.Server, reference)
					}
				} else if wantIssuer(t, p, err, itself); p.Server.TokenEndpoint != tt.token {
					t.Errorf("token endpoint %s", p.Server.TokenEndpoint)
				}
				// The credential that it gives is renewed there, with or without this memory.
				w.requested()
				if _, err := f.Issuer(t.Context(), of(p.Server.Issuer)); err != nil {
					t.Error(err) // at once: what was found out about the server stays
				}
				if guess := tt.token == "" && tt.places.status != 404; !guess {
					wantRequests(t, w)
				}
				for _, f := range []*Finder{f, w.finder(Config{})} {
					p, err := settle(func() (*Place, error) { return f.Issuer(t.Context(), of(p.Server.Issuer)) })
					wantIssuer(t, p, err, p.Server.Issuer)
				}
				time.Sleep(2 * serverMetadata)
				p, err = f.Issuer(t.Context(), of(p.Server.Issuer))
				wantIssuer(t, p, err, p.Server.Issuer)
			})
		})
	}
}

// A server that fails for a moment is not taken for one of MCP 2025-03-26: a login at
// endpoints that it does not have helps nobody.
func TestFailureIsNotLegacy(t *testing.T) {
	bubble(t, func(t *testing.T, w *web) {
		f := w.finder(Config{})
		for range 3 { // outages that are short and far apart
			w.legacy(page{status: 503})
			for range 2 {
				if p, err := f.Find(t.Context(), query()); err == nil {
					t.Fatalf("found %s", describe(p))
				}
				time.Sleep(patience - 1)
			}
			time.Sleep(oneOutageGap)
		}
	})

	for name, q := range map[string]Query{
		"challenge with an address":        {Resource: mcp, Canonical: mcp, Metadata: atMCP},
		"credential of another server":     of(asOne),
		"had metadata before":              query(),
		"had them where a challenge led":   {Resource: mcp, Canonical: mcp, Metadata: itself + "/metadata"},
		"credential, and come back in 5 s": of(itself),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *web) {
				f := w.finder(Config{})
				failure := page{status: 503}
				switch name {
				case "had metadata before":
					if _, err := f.Find(t.Context(), q); err != nil {
						t.Fatal(err)
					}
				case "had them where a challenge led":
					w.set(q.Metadata, resourceDoc(asOne))
					if _, err := f.Find(t.Context(), q); err != nil {
						t.Fatal(err)
					}
					w.set(q.Metadata, failure)
					q.Metadata = ""
				case "credential, and come back in 5 s":
					failure.retry = "5"
				}
				time.Sleep(time.Hour)
				w.legacy(failure)
				if p, err := settle(func() (*Place, error) { return f.Find(t.Context(), q) }); err == nil {
					t.Errorf("found %s", describe(p))
				}
			})
		})
	}

	// Nor is a credential dropped, whose server has lost its metadata at the same time.
	bubble(t, func(t *testing.T, w *web) {
		w.gone(asOne + wellKnown)
		w.legacy(page{status: 503})
		f := w.finder(Config{})
		for range 10 {
			if _, err := f.Issuer(t.Context(), of(asOne)); err == nil || errors.Is(err, ErrMoved) {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
	})

	// The origin answers 404: it knows what it does not have, so the rest is a fault.
	bubble(t, func(t *testing.T, w *web) {
		w.set(atMCP, page{status: 500})
		f := w.finder(Config{})
		_, err := settle(func() (*Place, error) { return f.Find(t.Context(), query()) })
		if de := asError[*discovery.Error](t, err); de.StatusCode != 500 || de.URL != atMCP {
			t.Error(err)
		}
		// Its own credential shows better.
		p, err := settle(func() (*Place, error) { return f.Issuer(t.Context(), of(itself)) })
		wantIssuer(t, p, err, itself)
	})

	// A whole host was down, with its authorization server: nothing of the guess is left.
	bubble(t, func(t *testing.T, w *web) {
		w.legacy(page{status: 503})
		f := w.finder(Config{})
		p, err := settle(func() (*Place, error) { return f.Issuer(t.Context(), of(itself)) })
		wantIssuer(t, p, err, itself)
		w.set(atLegacy, page{body: `{"issuer":"https://mcp.example","token_endpoint":"https://mcp.example/oauth/token"}`})
		p, err = f.Issuer(t.Context(), of(itself))
		if wantIssuer(t, p, err, itself); p.Server.TokenEndpoint != itself+"/oauth/token" {
			t.Errorf("token endpoint %s", p.Server.TokenEndpoint)
		}
	})

	// It recovers: the guess is not kept.
	bubble(t, func(t *testing.T, w *web) {
		w.legacy(page{status: 502})
		f := w.finder(Config{})
		p, err := settle(func() (*Place, error) { return f.Find(t.Context(), query()) })
		wantIssuer(t, p, err, itself)
		time.Sleep(moveMetadata)
		w.list(asOne)
		p, err = f.Find(t.Context(), query())
		wantIssuer(t, p, err, asOne)
	})
}

// A URL with a mistake in it has no metadata, and its origin may have those of another server.
// The error then shows where the mistake is.
func TestFailedLegacyShowsWhereElseItLooked(t *testing.T) {
	bubble(t, func(t *testing.T, w *web) {
		w.legacy(page{status: 404})
		w.set(atLegacy, serverDoc(asOne))
		_, err := w.finder(Config{}).Find(t.Context(), query())
		if de := asError[*discovery.Error](t, err); !errors.Is(de, discovery.ErrIssuerMismatch) || len(de.Tried) != 3 {
			t.Errorf("tried %v", de.Tried)
		}
		for _, at := range []string{atMCP, atRoot} {
			if !strings.Contains(err.Error(), at+": no metadata document") {
				t.Errorf("%s is missing in %v", at, err)
			}
		}
	})
}
