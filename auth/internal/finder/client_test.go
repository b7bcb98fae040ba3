package finder

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/internal/dnstest"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// Whatever a server on the Internet names, by a name that resolves to this machine, nobody here
// is connected to (RFC 9728 section 7.7).
func TestPublicResourceDoesNotLeadHere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var connected atomic.Int32
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			connected.Add(1)
			_ = c.Close()
		}
	})
	defer accepting.Wait()
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	here := "https://as.test:" + port
	dnstest.Serve(t, map[string][]string{"mcp.test": {"8.8.8.8"}, "as.test": {"127.0.0.1"}})
	q := Query{Resource: "https://mcp.test/mcp", Canonical: "https://mcp.test/mcp"}

	// Where mcp.test is, the network of the machine says: here it is always somebody else.
	stranger := httptest.NewUnstartedServer(http.NotFoundHandler())
	stranger.Config.ErrorLog = log.New(io.Discard, "", 0)
	stranger.StartTLS()
	defer stranger.Close()
	outside := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == "8.8.8.8:443" {
			address = stranger.Listener.Addr().String()
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}}

	f := New(Config{})
	challenged, issued := q, q
	challenged.Metadata = here + "/metadata"
	issued.Issuer = here
	_, findErr := New(Config{HTTPClient: outside, Plain: outside}).Find(t.Context(), challenged)
	_, issuerErr := f.Issuer(t.Context(), issued)
	_, getErr := f.Client(q.Resource).Get(here)
	_, postErr := f.Poster(q.Resource).Post(here, "text/plain", nil)
	for i, err := range []error{findErr, issuerErr, getErr, postErr} {
		if !errors.Is(err, httpx.ErrPrivateAddress) {
			t.Errorf("%d: error %v", i, err)
		}
	}
	if n := connected.Load(); n != 0 {
		t.Errorf("%d connections to this machine", n)
	}

	// What the user named may be here.
	for name, cfg := range map[string]Config{
		"configured server": {Server: &discovery.AuthorizationServer{Issuer: here}},
		"client's issuer":   {ClientID: "app", ClientIssuer: here},
	} {
		if _, err := New(cfg).Issuer(t.Context(), issued); err == nil || errors.Is(err, httpx.ErrPrivateAddress) {
			t.Errorf("%s: error %v, want that of a server which hangs up", name, err)
		}
	}
	if connected.Load() == 0 {
		t.Error("no connection to what the user named")
	}
}

// What was found in a private network is not shared with a resource on the Internet.
func TestGuardedAndFreeDoNotShare(t *testing.T) {
	f := New(Config{})
	public, private := Query{Resource: "https://mcp.example/mcp"}, Query{Resource: "https://10.0.0.1/mcp"}
	if f.issuerKey(public, asOne) == f.issuerKey(private, asOne) {
		t.Error("one key for both")
	}
	if f.issuerKey(public, asOne) != f.issuerKey(Query{Resource: "https://other.example/mcp"}, asOne+"/") {
		t.Error("two keys for one")
	}
}

// A guarded client is traced; Poster never follows a redirect, guarded or not.
func TestClients(t *testing.T) {
	redirects := roundTripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 307, Header: http.Header{"Location": {"https://elsewhere.example/"}}, Body: http.NoBody, Request: r}, nil
	})
	traced := 0
	cfg := Config{TraceClient: func(c *http.Client) *http.Client {
		traced++
		if c.Transport == nil {
			t.Error("a client without its guard")
		}
		return &http.Client{Transport: redirects}
	}}
	for name, f := range map[string]*Finder{
		"guarded": New(cfg),
		"free": New(Config{
			HTTPClient: &http.Client{Transport: redirects}, Plain: &http.Client{Transport: redirects}, Network: httpx.NewPolicy(nil, nil, true),
		}),
		"wrapped": New(Config{Wrap: func(http.RoundTripper) http.RoundTripper { return redirects }}),
	} {
		home := mcp
		if name == "free" {
			home = "http://127.0.0.1:1/mcp" // which leads anywhere
		}
		resp, err := f.Poster(home).Post("https://as.example/token", "text/plain", nil)
		if err != nil || resp.StatusCode != 307 {
			t.Errorf("%s: %v, %v", name, resp, err)
			continue
		}
		_ = resp.Body.Close()
	}
	if traced == 0 {
		t.Error("the guarded client is not traced")
	}
}

// What the program puts around the transport is there once, and the guard below it stays.
func TestWrap(t *testing.T) {
	dnstest.Serve(t, map[string][]string{"mcp.test": {"8.8.8.8"}, "as.test": {"10.0.0.1"}})
	made, asked := 0, 0
	f := New(Config{Wrap: func(base http.RoundTripper) http.RoundTripper {
		made++
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			asked++
			return base.RoundTrip(r)
		})
	}})
	for range 3 {
		if _, err := f.Client("https://mcp.test/mcp").Get("https://as.test"); !errors.Is(err, httpx.ErrPrivateAddress) {
			t.Errorf("error %v", err)
		}
	}
	if made != 1 || asked != 3 {
		t.Errorf("%d wrappers, %d requests, want 1 and 3", made, asked)
	}
}

// The issuer that the program named may be anywhere; what its metadata name may not, nor may
// what the resource says.
func TestNamedServerFreesItsOwnHost(t *testing.T) {
	dnstest.Serve(t, map[string][]string{"mcp.test": {"8.8.8.8"}, "as.test": {"127.0.0.1"}, "other.test": {"127.0.0.1"}})
	here := httptest.NewServer(http.NotFoundHandler())
	defer here.Close()
	port := here.URL[strings.LastIndex(here.URL, ":"):]
	as, other := "http://as.test"+port, "http://other.test"+port
	for name, cfg := range map[string]Config{
		"issuer":            {Server: &discovery.AuthorizationServer{Issuer: as}},
		"token endpoint":    {Server: &discovery.AuthorizationServer{TokenEndpoint: as + "/token"}},
		"client's issuer":   {ClientID: "app", ClientIssuer: as},
		"all of a server's": {Server: &discovery.AuthorizationServer{Issuer: "https://public.test", TokenEndpoint: "https://public.test", DeviceAuthorizationEndpoint: as}},
	} {
		f := New(cfg)
		for _, c := range []*http.Client{f.Client("https://mcp.test/mcp"), f.Poster("https://mcp.test/mcp")} {
			resp, err := c.Get(as + "/anything")
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			_ = resp.Body.Close()
			if _, err := c.Get(other); !errors.Is(err, httpx.ErrPrivateAddress) {
				t.Errorf("%s: another host: %v", name, err)
			}
		}
	}
}

// A guarded poster gets the redirect and does not follow it.
func TestGuardedPosterFollowsNoRedirect(t *testing.T) {
	dnstest.Serve(t, map[string][]string{"mcp.test": {"8.8.8.8"}, "as.test": {"127.0.0.1"}})
	followed := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			followed++
			return
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer srv.Close()
	hosts, err := httpx.ParseHosts([]string{"as.test"})
	if err != nil {
		t.Fatal(err)
	}
	f := New(Config{Network: httpx.NewPolicy(nil, hosts, false)})
	resp, err := f.Poster("https://mcp.test/mcp").Post("http://as.test"+srv.URL[strings.LastIndex(srv.URL, ":"):], "text/plain", strings.NewReader("secret"))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusTemporaryRedirect || followed != 0 {
		t.Errorf("status %d, followed %d times", resp.StatusCode, followed)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
