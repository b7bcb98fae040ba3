package finder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth/discovery"
)

func TestFind(t *testing.T) {
	bubble(t, func(t *testing.T, w *web) {
		f := w.finder(Config{})
		p, err := f.Find(t.Context(), query())
		wantIssuer(t, p, err, asOne)
		if p.Resource != mcp || !slices.Equal(p.Scopes, []string{"read", "write"}) {
			t.Errorf("resource %s, scopes %q", p.Resource, p.Scopes)
		}
		wantRequests(t, w, atMCP, asOne+wellKnown)
	})
}

// The resource indicator is what the metadata state, to the letter; a document for another
// resource is refused.
func TestFindResource(t *testing.T) {
	bubble(t, func(t *testing.T, w *web) {
		w.set(atMCP, page{body: `{"resource":"https://mcp.example/","authorization_servers":["https://one.example"]}`})
		f := w.finder(Config{})
		p, err := f.Find(t.Context(), query())
		wantIssuer(t, p, err, asOne)
		if p.Resource != "https://mcp.example/" {
			t.Errorf("resource %s", p.Resource)
		}
		w.set(atMCP, page{body: `{"resource":"https://other.example/","authorization_servers":["https://one.example"]}`})
		if p, err := w.finder(Config{}).Find(t.Context(), query()); !errors.Is(err, discovery.ErrResourceMismatch) {
			t.Errorf("found %s, %v", describe(p), err)
		}
	})
}

// Metadata are good for a minute for a login, for an hour for a refresh, and not at all if they
// are older than the token that was challenged.
func TestAges(t *testing.T) {
	bubble(t, func(t *testing.T, w *web) {
		f := w.finder(Config{})
		find := func(q Query) {
			t.Helper()
			p, err := f.Find(t.Context(), q)
			wantIssuer(t, p, err, asOne)
		}
		find(query())
		wantRequests(t, w, atMCP, asOne+wellKnown)
		time.Sleep(freshMetadata - 1)
		find(query())
		wantRequests(t, w)
		time.Sleep(time.Nanosecond)
		find(query())
		wantRequests(t, w, atMCP, asOne+wellKnown)

		challenged := of(asOne)
		challenged.Since = f.Now()
		find(challenged)
		wantRequests(t, w, atMCP, asOne+wellKnown)
		find(challenged) // another manager's, with a token that is as old
		wantRequests(t, w)

		time.Sleep(serverMetadata - 1)
		p, err := f.Issuer(t.Context(), of(asOne))
		wantIssuer(t, p, err, asOne)
		wantRequests(t, w)
		time.Sleep(time.Nanosecond)
		p, err = f.Issuer(t.Context(), of(asOne))
		wantIssuer(t, p, err, asOne)
		wantRequests(t, w, asOne+wellKnown)
	})
}

func TestConfiguredServer(t *testing.T) {
	bubble(t, func(t *testing.T, w *web) {
		srv := &discovery.AuthorizationServer{Issuer: asTwo, TokenEndpoint: asTwo + "/token"}
		f := w.finder(Config{Server: srv})
		for _, ask := range []func(context.Context, Query) (*Place, error){f.Find, f.Issuer} {
			if p, err := ask(t.Context(), of(asOne)); err != nil || p.Server != srv || p.Resource != mcp {
				t.Errorf("found %s, %v", describe(p), err)
			}
		}
		if err := f.Moved(t.Context(), of(asOne)); err != nil {
			t.Error(err)
		}
		wantRequests(t, w)

		// An issuer alone: its metadata are asked for, the resource is not.
		f = w.finder(Config{Server: &discovery.AuthorizationServer{Issuer: asTwo}})
		p, err := f.Find(t.Context(), query())
		wantIssuer(t, p, err, asTwo)
		wantRequests(t, w, asTwo+wellKnown)
		w.gone(asOne + wellKnown)
		if p, err := f.Issuer(t.Context(), of(asOne)); err != ErrMoved {
			t.Errorf("found %s, %v, want ErrMoved to the server configured now", describe(p), err)
		}
	})
}

// Of several servers the first is taken that can be used, the one in use before the others.
//
//compat:finding several `authorization_servers`, the first of them dead
//compat:default the next is used, unless the client is bound to one
//compat:attack TestBoundClient
func TestSeveralServers(t *testing.T) {
	page503 := page{status: 503}
	tests := []struct {
		name   string
		list   []string
		broken map[string]page
		q      Query
		want   string
	}{
		{"the first", []string{asOne, asTwo}, nil, query(), asOne},
		{"the one in use", []string{asOne, asTwo}, nil, of(asTwo), asTwo},
		{"one in use that is left", []string{asOne, asTwo}, nil, of(asThree), asOne},
		{"no metadata", []string{asOne, asTwo}, map[string]page{asOne: {status: 404}}, query(), asTwo},
		{"down", []string{asOne, asTwo}, map[string]page{asOne: page503}, query(), asTwo},
		{"refuses connections", []string{asOne, asTwo}, map[string]page{asOne: {fail: errRefused}}, query(), asTwo},
		{"hangs", []string{asOne, asTwo}, map[string]page{asOne: {delay: time.Hour}}, query(), asTwo},
		{"two hang", []string{asOne, asTwo, asThree}, map[string]page{asOne: {delay: time.Hour}, asTwo: {delay: time.Hour}}, query(), asThree},
		{"another issuer", []string{asOne, asTwo}, map[string]page{asOne: serverDoc(asThree)}, query(), asTwo},
		{"unencrypted", []string{asOne, asTwo}, map[string]page{asOne: {body: `{"issuer":"https://one.example","token_endpoint":"http://one.example/t"}`}}, query(), asTwo},
		{"query in the issuer", []string{asOne + "?a", asTwo}, nil, query(), asTwo},
		{"in order", []string{asThree, asOne, asTwo}, map[string]page{asThree: page503}, query(), asOne},
		{"the one in use is dead", []string{asThree, asOne, asTwo}, map[string]page{asTwo: page503}, of(asTwo), asThree},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *web) {
				w.list(tt.list...)
				for as, p := range tt.broken {
					w.set(as+wellKnown, p)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second) // less than one may take by itself
				defer cancel()
				p, err := w.finder(Config{}).Find(ctx, tt.q)
				wantIssuer(t, p, err, tt.want)
			})
		})
	}
}

// When none can be used the error names all of them, is what each is, and is temporary if one
// of them is.
func TestNoServerCanBeUsed(t *testing.T) {
	bubble(t, func(t *testing.T, w *web) {
		w.list(asOne+"?key=secret", asTwo, asThree)
		w.gone(asTwo + wellKnown)
		w.set(asThree+wellKnown, down)
		_, err := w.finder(Config{}).Find(t.Context(), query())
		for _, want := range []string{asOne + ": ", asTwo + ": ", asThree + ": ", "503"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v does not say %s", err, want)
			}
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("error %v shows a query", err)
		}
		if !errors.Is(err, discovery.ErrInsecureURL) || !errors.Is(err, discovery.ErrNotFound) {
			t.Errorf("error %v is not what each is", err)
		}
		if de := asError[*discovery.Error](t, err); !de.Retryable() || de.RetryAfter != time.Minute {
			t.Errorf("%+v, want the temporary one first", de)
		}
	})

	t.Run("one hundred", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *web) {
			var issuers []string
			for i := range 100 {
				issuers = append(issuers, fmt.Sprintf("https://as%d.example", i))
			}
			w.list(issuers...)
			if _, err := w.finder(Config{}).Find(t.Context(), query()); err == nil {
				t.Error("no error")
			}
			hosts := map[string]bool{}
			for _, u := range w.requested() {
				hosts[strings.Split(u, "/")[2]] = true
			}
			if len(hosts) != 1+maxTried {
				t.Errorf("%d hosts were asked", len(hosts))
			}
		})
	})

	// The caller has gone: nobody else is asked.
	t.Run("left", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *web) {
			w.list(asOne, asTwo)
			w.set(asOne+wellKnown, page{delay: time.Hour})
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			if _, err := w.finder(Config{}).Find(ctx, query()); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			wantRequests(t, w, atMCP, asOne+wellKnown)
		})
	})
}

// The server in use may fail for a moment: what is known of it is used for a while, before
// another one is.
func TestServerInUseFailsForAMoment(t *testing.T) {
	bubble(t, func(t *testing.T, w *web) {
		w.list(asTwo, asOne)
		f := w.finder(Config{})
		p, err := f.Find(t.Context(), of(asOne))
		wantIssuer(t, p, err, asOne)
		w.set(asOne+wellKnown, page{status: 503})
		time.Sleep(serverMetadata - time.Second)
		p, err = f.Find(t.Context(), of(asOne))
		wantIssuer(t, p, err, asOne)
		time.Sleep(time.Minute)
		p, err = f.Find(t.Context(), of(asOne))
		wantIssuer(t, p, err, asTwo)
	})
}

// A client that was registered in advance belongs to one issuer and is shown to no other.
func TestBoundClient(t *testing.T) {
	configured := Config{ClientID: "app", ClientIssuer: asTwo}
	tests := []struct {
		name     string
		cfg      Config
		q        Query
		list     []string
		want     string
		expected string // of a MismatchError
	}{
		{"chosen", configured, query(), []string{asOne, asTwo}, asTwo, ""},
		{"goes before the one in use", configured, of(asOne), []string{asOne, asTwo}, asTwo, ""},
		{"not listed", configured, query(), []string{asOne}, "", asTwo},
		{"the first that gave it a token", Config{ClientID: "app"}, of(asTwo), []string{asOne, asTwo}, asTwo, ""},
		{"which is not listed", Config{ClientID: "app"}, of(asTwo), []string{asOne}, "", asTwo},
		{"no token yet", Config{ClientID: "app"}, query(), []string{asOne, asTwo}, asOne, ""},
		{"registered on demand", Config{}, of(asTwo), []string{asOne}, asOne, ""},
		{"registered on demand, chosen", Config{ClientIssuer: asTwo}, of(asOne), []string{asOne, asTwo}, asTwo, ""},
		{"registered on demand, not listed", Config{ClientIssuer: asTwo}, of(asOne), []string{asOne}, "", asTwo},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *web) {
				w.list(tt.list...)
				p, err := w.finder(tt.cfg).Find(t.Context(), tt.q)
				if tt.want != "" {
					wantIssuer(t, p, err, tt.want)
					return
				}
				if e := asError[*MismatchError](t, err); e.Expected != tt.expected || e.Actual != tt.list[0] {
					t.Errorf("%+v", e)
				}
				wantRequests(t, w, atMCP)
			})
		})
	}

	t.Run("dead", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *web) {
			w.list(asOne, asTwo)
			w.set(asTwo+wellKnown, down)
			_, err := w.finder(configured).Find(t.Context(), query())
			if de := asError[*discovery.Error](t, err); de.StatusCode != 503 {
				t.Error(err)
			}
			wantRequests(t, w, atMCP, asTwo+wellKnown, asTwo+"/.well-known/openid-configuration")
		})
	})

	t.Run("the resource is its own server", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *web) {
			w.gone(atMCP)
			_, err := w.finder(configured).Find(t.Context(), query())
			if e := asError[*MismatchError](t, err); e.Expected != asTwo || e.Actual != "https://mcp.example" {
				t.Errorf("%+v", e)
			}
		})
	})
}

// One slash at the end makes no other issuer; anything else does.
func TestSlashAtTheEnd(t *testing.T) {
	for _, tt := range []struct {
		listed, bound string
		same          bool
	}{
		{asOne, asOne + "/", true},
		{asOne + "/", asOne, true},
		{asOne + "/t", asOne + "/t/", true},
		{asOne + "/t/", asOne + "/t", true},
		{asOne + "/t", asOne, false},
		{asOne, asOne + "//", false},
		{asOne, "https://ONE.example", false},
		{asOne, asOne + ":443", false},
		{asOne, asOne + ":8443", false},
		{asOne + "/", asOne + "/?", false},
		{asOne, "http://one.example", false},
		{asOne, "https://one.example.", false},
		{asOne, "https://one.example.evil.example", false},
	} {
		t.Run(tt.listed+" "+tt.bound, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *web) {
				w.list(asTwo, tt.listed)
				at := asOne + wellKnown + strings.TrimSuffix(strings.TrimPrefix(tt.listed, asOne), "/")
				w.set(at, serverDoc(tt.listed))
				f := w.finder(Config{ClientID: "app", ClientIssuer: tt.bound})
				moved := f.Moved(t.Context(), of(tt.bound))
				p, err := f.Find(t.Context(), query())
				if tt.same {
					wantIssuer(t, p, err, tt.listed)
					if moved != nil {
						t.Error(moved)
					}
					// And so for the credential: from memory.
					w.requested()
					p, err := f.Issuer(t.Context(), of(tt.bound))
					wantIssuer(t, p, err, tt.listed)
					wantRequests(t, w)
					return
				}
				asError[*MismatchError](t, err)
				if moved != ErrMoved {
					t.Errorf("moved: %v", moved)
				}
			})
		})
	}
}

func TestTrace(t *testing.T) {
	bubble(t, func(t *testing.T, w *web) {
		var got []string
		f := w.finder(Config{Trace: func(ctx context.Context, resource, issuer string) (context.Context, func(string, error)) {
			return ctx, func(found string, err error) {
				got = append(got, fmt.Sprintf("%s %q: %q %v", resource, issuer, found, err != nil))
			}
		}})
		w.set(atMCP, page{status: 500})
		_, _ = f.Find(t.Context(), query())
		w.list(asOne)
		_, _ = f.Find(t.Context(), query())
		_, _ = f.Issuer(t.Context(), of(asOne)) // known
		_, _ = f.Issuer(t.Context(), of(asTwo))
		want := []string{
			mcp + ` "": "" true`,
			mcp + ` "": "https://one.example" false`,
			mcp + ` "https://two.example": "https://two.example" false`,
		}
		if !slices.Equal(got, want) {
			t.Errorf("traced %q, want %q", got, want)
		}
	})
}

// Scopes are there as soon as the resource was looked up, without a request.
func TestScopesAreRemembered(t *testing.T) {
	f := New(Config{})
	if s := f.Scopes("https://mcp.example.com/mcp"); s != nil {
		t.Errorf("%q before anything was looked up", s)
	}
	for i, scopes := range [][]string{{"a"}, {"b"}} {
		key := resourceKey{of: "https://mcp.example.com/mcp", at: strings.Repeat("m", i)}
		if _, err := f.resources.get(t.Context(), key.of, key, wanted{age: time.Minute}, func(context.Context) (*listed, error) { return &listed{scopes: scopes}, nil }); err != nil {
			t.Fatal(err)
		}
	}
	if s := f.Scopes("https://mcp.example.com/mcp"); !slices.Equal(s, []string{"b"}) {
		t.Errorf("%q, want those of the newest document", s)
	}
	if s := f.Scopes("https://other.example.com"); s != nil {
		t.Errorf("%q of another resource", s)
	}
}
