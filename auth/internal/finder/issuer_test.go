package finder

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth/discovery"
)

// A refresh token goes to the server that issued it, whatever the resource lists first.
func TestIssuer(t *testing.T) {
	bubble(t, func(t *testing.T, w *web) {
		w.list(asTwo, asOne)
		f := w.finder(Config{})
		p, err := f.Issuer(t.Context(), of(asOne))
		wantIssuer(t, p, err, asOne)
		if p.Resource != mcp {
			t.Errorf("resource %s", p.Resource)
		}
		wantRequests(t, w, asOne+wellKnown) // the resource is not asked

		// A credential that came without an indicator: what the resource's metadata say.
		w.set(atMCP, page{body: `{"resource":"https://mcp.example","authorization_servers":["https://one.example"]}`})
		q := of(asOne)
		q.CredentialResource = ""
		if p, err := f.Issuer(t.Context(), q); err != nil || p.Resource != "https://mcp.example" {
			t.Errorf("%+v, %v", p, err)
		}
		wantRequests(t, w, atMCP)

		p, err = f.Issuer(t.Context(), query()) // no credential: like a login
		wantIssuer(t, p, err, asOne)
	})
}

// Nobody guesses what a resource is called whose metadata cannot be read: a token for another
// name may be refused, and a rotating refresh token is spent.
func TestResourceWithoutAName(t *testing.T) {
	q := of(asOne)
	q.CredentialResource = ""
	for name, broken := range map[string]func(w *web){
		"resource fails": func(w *web) { w.set(atMCP, page{status: 503}) },
		"both are gone":  func(w *web) { w.set(atMCP, page{status: 503}); w.gone(asOne + wellKnown) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *web) {
				f := w.finder(Config{})
				p, err := f.Issuer(t.Context(), of(asOne)) // it is known
				wantIssuer(t, p, err, asOne)
				time.Sleep(2 * serverMetadata)
				broken(w)
				if p, err := settle(func() (*Place, error) { return f.Issuer(t.Context(), q) }); err == nil || errors.Is(err, ErrMoved) {
					t.Errorf("found %s, %v", describe(p), err)
				}
			})
		})
	}
}

// Old metadata are better than none, while the server fails and while it has lost them but the
// resource still lists it.
//
//compat:finding metadata that are down for a moment, or lost
//compat:default what was known is used
//compat:attack TestOldMetadataOfAServerThatWasLeft
func TestOldMetadata(t *testing.T) {
	for name, broken := range map[string]func(w *web){
		"server fails":                func(w *web) { w.set(asOne+wellKnown, page{status: 503}) },
		"server cannot be reached":    func(w *web) { w.set(asOne+wellKnown, page{fail: errRefused}) },
		"server is broken":            func(w *web) { w.set(asOne+wellKnown, page{body: "{"}) },
		"server has no metadata":      func(w *web) { w.gone(asOne + wellKnown) },
		"neither has the resource":    func(w *web) { w.gone(asOne + wellKnown); w.set(atMCP, page{status: 503}) },
		"and lists one more":          func(w *web) { w.gone(asOne + wellKnown); w.list(asTwo, asOne) },
		"and the resource is refused": func(w *web) { w.gone(asOne + wellKnown); w.set(atMCP, page{fail: errRefused}) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *web) {
				f := w.finder(Config{})
				p, err := f.Issuer(t.Context(), of(asOne))
				wantIssuer(t, p, err, asOne)
				time.Sleep(100 * time.Hour)
				broken(w)
				p, err = f.Issuer(t.Context(), of(asOne))
				wantIssuer(t, p, err, asOne)
				if p.Resource != mcp {
					t.Errorf("resource %s", p.Resource)
				}
				f.Forget(p.Server) // its endpoints answered 404
				if p, err := f.Issuer(t.Context(), of(asOne)); err == nil || errors.Is(err, ErrMoved) {
					t.Errorf("after Forget: found %s, %v", describe(p), err)
				}
			})
		})
	}
}

// But not when the resource has left that server.
func TestOldMetadataOfAServerThatWasLeft(t *testing.T) {
	bubble(t, func(t *testing.T, w *web) {
		f := w.finder(Config{})
		p, err := f.Issuer(t.Context(), of(asOne))
		wantIssuer(t, p, err, asOne)
		time.Sleep(2 * serverMetadata)
		w.gone(asOne + wellKnown)
		w.list(asTwo)
		if p, err := f.Issuer(t.Context(), of(asOne)); err != ErrMoved {
			t.Errorf("found %s, %v", describe(p), err)
		}
	})
}

// The server is gone: the resource says whether it has moved.
func TestIssuerIsGone(t *testing.T) {
	notFound := func(err error) bool { return errors.Is(err, discovery.ErrNotFound) }
	moved := func(err error) bool { return err == ErrMoved }
	mismatch := func(err error) bool { _, ok := errors.AsType[*MismatchError](err); return ok }
	fails := func(err error) bool { var de *discovery.Error; return errors.As(err, &de) && de.Retryable() }
	tests := []struct {
		name  string
		cfg   Config
		set   func(w *web)
		is    func(error) bool
		asked []string // after the issuer's places
	}{
		{"still listed", Config{}, func(w *web) {}, notFound, []string{atMCP}},
		{"still listed with others", Config{}, func(w *web) { w.list(asTwo, asOne) }, notFound, []string{atMCP}},
		{"left", Config{}, func(w *web) { w.list(asTwo) }, moved, []string{atMCP}},
		{"left for one that is dead", Config{}, func(w *web) { w.list(asTwo); w.gone(asTwo + wellKnown) }, moved, []string{atMCP}},
		{"left, client bound", Config{ClientID: "app"}, func(w *web) { w.list(asTwo) }, mismatch, []string{atMCP}},
		{"left, client bound to the new one", Config{ClientID: "app", ClientIssuer: asTwo}, func(w *web) { w.list(asTwo) }, moved, []string{atMCP}},
		{"resource fails", Config{}, func(w *web) { w.set(atMCP, down) }, fails, []string{atMCP, atRoot}},
		{"resource has no metadata", Config{}, func(w *web) { w.gone(atMCP) }, moved, []string{atMCP, atRoot, atLegacy}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *web) {
				w.gone(asOne + wellKnown)
				tt.set(w)
				p, err := w.finder(tt.cfg).Issuer(t.Context(), of(asOne))
				if p != nil || !tt.is(err) {
					t.Errorf("found %s, %v", describe(p), err)
				}
				if got := w.requested()[2:]; !slices.Equal(got, tt.asked) {
					t.Errorf("requested %q, want %q", got, tt.asked)
				}
			})
		})
	}
}

func TestMoved(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(w *web)
		want error
	}{
		{"no", func(w *web) {}, nil},
		{"one more", func(w *web) { w.list(asTwo, asOne) }, nil},
		{"yes", func(w *web) { w.list(asTwo) }, ErrMoved},
		{"to a dead one", func(w *web) { w.list(asTwo); w.gone(asTwo + wellKnown) }, ErrMoved},
		{"lists none", func(w *web) { w.set(atMCP, page{body: `{"resource":"https://mcp.example/mcp"}`}) }, nil},
		{"no metadata", func(w *web) { w.gone(atMCP) }, nil},
		{"fails", func(w *web) { w.set(atMCP, page{status: 503}) }, nil},
		{"nobody there", func(w *web) { w.set(atMCP, page{fail: errRefused}) }, nil},
		{"for another resource", func(w *web) {
			w.set(atMCP, page{body: `{"resource":"https://other.example","authorization_servers":["https://two.example"]}`})
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *web) {
				f := w.finder(Config{})
				p, err := f.Find(t.Context(), query())
				wantIssuer(t, p, err, asOne)
				q := of(asOne)
				q.Since = f.Now()
				tt.set(w)
				for range 2 { // the second time a minute after, by when a failure has lasted
					if err := f.Moved(t.Context(), q); err != tt.want {
						t.Errorf("Moved = %v, want %v", err, tt.want)
					}
					time.Sleep(time.Minute)
				}
			})
		})
	}
	bubble(t, func(t *testing.T, w *web) {
		w.list(asTwo)
		if err := w.finder(Config{}).Moved(t.Context(), query()); err != nil {
			t.Errorf("without a credential: %v", err)
		}
		wantRequests(t, w)
	})
}

// A list that was fetched before another process moved does not condemn the credential that
// this process has got from it.
func TestOldListDoesNotCondemn(t *testing.T) {
	bubble(t, func(t *testing.T, w *web) {
		f := w.finder(Config{})
		p, err := f.Find(t.Context(), query())
		wantIssuer(t, p, err, asOne)
		time.Sleep(moveMetadata)
		w.list(asTwo)
		q := of(asTwo) // adopted; in use since before the list
		if err := f.Moved(t.Context(), q); err != nil {
			t.Error(err)
		}
		// Many with a credential of the old one ask once.
		w.requested()
		for range 10 {
			if err := f.Moved(t.Context(), of(asOne)); err != ErrMoved {
				t.Error(err)
			}
		}
		wantRequests(t, w)
	})
}
