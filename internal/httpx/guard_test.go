package httpx

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/mcptokens/mcptokens/internal/dnstest"
)

// site is a TLS server on this machine with a certificate for example.com and 127.0.0.1, and
// a transport that trusts it.
func site(t *testing.T) (port string, open *http.Transport) {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/huge" {
			w.Header().Set("X-Huge", strings.Repeat("a", 2<<20))
		}
		_, _ = io.Copy(w, r.Body)
		_, _ = io.WriteString(w, "at "+r.Host)
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // a client that does not trust it is what some tests are about
	srv.StartTLS()
	t.Cleanup(srv.Close)
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	open = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Port(), open
}

// guardedBy is a client with the transport that follows the word of home.
func guardedBy(p *Policy, home string, transport http.RoundTripper, named ...string) *http.Client {
	return (&Guard{policy: p}).Client(NewHome(home), &http.Client{Transport: transport}, Origins(named...)...)
}

func policy(t *testing.T, private, plain []string) *Policy {
	t.Helper()
	a, err := ParseHosts(private)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ParseHosts(plain)
	if err != nil {
		t.Fatal(err)
	}
	return NewPolicy(a, b, false)
}

// wantRefused checks that an error says that nobody was asked, for good, and what to set.
func wantRefused(t *testing.T, err, kind error, setting string) {
	t.Helper()
	var te *TransportError
	if !errors.Is(err, kind) || !errors.As(error(NewTransportError(err)), &te) || te.Retryable() || !strings.Contains(te.Error(), setting) {
		t.Fatalf("error %v, want %v with %s", err, kind, setting)
	}
}

// wantAnswer checks that a request got to the site.
func wantAnswer(t *testing.T, resp *http.Response, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || !strings.HasPrefix(string(body), "hello at ") {
		t.Fatalf("answer %q, %v", body, err)
	}
}

// A server on the Internet does not lead to this machine's network by any name or address; one
// that is shown to be there does, and so does what the program named.
//
//compat:network a public MCP server whose authorization server has a private address
//compat:default refused, unless its certificate shows that it is that name's
//compat:setting Config.Network.Private
//compat:attack same
func TestGuard(t *testing.T) {
	port, open := site(t)
	tests := []struct {
		name, home, target, issuer string
		addrs                      map[string][]string
		private                    []string
		refused                    bool
	}{
		{name: "a name that resolves to loopback", home: "https://mcp.test/mcp", target: "https://example.com:" + port,
			addrs: map[string][]string{"example.com": {"127.0.0.1"}, "mcp.test": {"8.8.8.8"}}, refused: true},
		{name: "loopback by number", home: "https://mcp.test/mcp", target: "https://127.0.0.1:" + port,
			addrs: map[string][]string{"mcp.test": {"8.8.8.8"}}, refused: true},
		{name: "a private address by number", home: "https://8.8.8.8/mcp", target: "https://10.0.0.1", refused: true},
		{name: "the cloud's metadata", home: "https://8.8.8.8/mcp", target: "https://169.254.169.254", refused: true},
		{name: "mapped into IPv6", home: "https://8.8.8.8/mcp", target: "https://[::ffff:10.0.0.1]", refused: true},
		{name: "translated into IPv6", home: "https://8.8.8.8/mcp", target: "https://[::ffff:0:7f00:1]:" + port, refused: true},
		{name: "the server itself, which is here", home: "https://example.com:" + port + "/mcp", target: "https://example.com:" + port,
			addrs: map[string][]string{"example.com": {"127.0.0.1"}}},
		{name: "another host, as the server is here", home: "https://example.com:" + port + "/mcp", target: "https://127.0.0.1:" + port,
			addrs: map[string][]string{"example.com": {"127.0.0.1"}}},
		// Its owner lets the name point here, but nobody here answers to it.
		{name: "a server that only says it is here", home: "https://evil.test:" + port + "/mcp", target: "https://example.com:" + port,
			addrs: map[string][]string{"evil.test": {"127.0.0.1"}, "example.com": {"127.0.0.1"}}, refused: true},
		{name: "the issuer that the user named", home: "https://mcp.test/mcp", target: "https://example.com:" + port, issuer: "https://example.com:" + port + "/tenant",
			addrs: map[string][]string{"example.com": {"127.0.0.1"}, "mcp.test": {"8.8.8.8"}}},
		{name: "another port of that issuer's host", home: "https://mcp.test/mcp", target: "https://example.com:" + port, issuer: "https://example.com",
			addrs: map[string][]string{"example.com": {"127.0.0.1"}, "mcp.test": {"8.8.8.8"}}, refused: true},
		{name: "a host that the program allows", home: "https://mcp.test/mcp", target: "https://example.com:" + port, private: []string{"example.com"},
			addrs: map[string][]string{"example.com": {"127.0.0.1"}, "mcp.test": {"8.8.8.8"}}},
		{name: "a network that the program allows", home: "https://mcp.test/mcp", target: "https://example.com:" + port, private: []string{"127.0.0.0/8"},
			addrs: map[string][]string{"example.com": {"127.0.0.1"}, "mcp.test": {"8.8.8.8"}}},
		{name: "another host than the program allows", home: "https://mcp.test/mcp", target: "https://example.com:" + port, private: []string{"as.test", "example.com:1", "10.0.0.0/8"},
			addrs: map[string][]string{"example.com": {"127.0.0.1"}, "mcp.test": {"8.8.8.8"}}, refused: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dnstest.Serve(t, tt.addrs)
			c := guardedBy(policy(t, tt.private, nil), tt.home, open, tt.issuer)
			for range 2 { // what was learnt stands
				resp, err := c.Post(tt.target, "text/plain", strings.NewReader("hello "))
				if tt.refused {
					wantRefused(t, err, ErrPrivateAddress, "set Config.Network.Private to include ")
					continue
				}
				wantAnswer(t, resp, err)
			}
		})
	}
}

// The guard is in front of whatever dialer the program's transport has.
func TestGuardOnTransportsOfTheProgram(t *testing.T) {
	port, open := site(t)
	here := net.JoinHostPort("127.0.0.1", port)
	dialed := func(then dialFunc) (*[]string, dialFunc) {
		var to []string
		return &to, func(ctx context.Context, network, address string) (net.Conn, error) {
			to = append(to, address)
			return then(ctx, network, address)
		}
	}
	direct := new(net.Dialer).DialContext
	// tunnel stands for SOCKS: whatever is asked for, it leads to the site.
	tunnel := func(ctx context.Context, network, _ string) (net.Conn, error) { return direct(ctx, network, here) }
	encrypted := func(then dialFunc) dialFunc {
		return func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := then(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return tls.Client(conn, &tls.Config{RootCAs: open.TLSClientConfig.RootCAs, ServerName: "example.com"}), nil
		}
	}
	tests := []struct {
		name    string
		set     func(t *http.Transport, dial dialFunc)
		dial    dialFunc
		addr    string // of example.com
		private []string
		want    string // what the dialer is asked for; empty: nothing
		err     error
	}{
		{name: "DialContext, a private address", set: setDialContext, dial: tunnel, addr: "10.0.0.1", err: ErrPrivateAddress},
		{name: "DialContext, a public one", set: setDialContext, dial: tunnel, addr: "8.8.8.8", want: "8.8.8.8:" + port},
		{name: "DialContext, a name unknown here", set: setDialContext, dial: tunnel, err: ErrUnseenAddress},
		{name: "DialContext, that name allowed", set: setDialContext, dial: tunnel, private: []string{"example.com"}, want: "example.com:" + port},
		{name: "Dial, a private address", set: setDial, dial: tunnel, addr: "10.0.0.1", err: ErrPrivateAddress},
		{name: "Dial, a public one", set: setDial, dial: tunnel, addr: "8.8.8.8", want: "8.8.8.8:" + port},
		{name: "DialTLSContext, a private address", set: setDialTLSContext, dial: encrypted(direct), addr: "127.0.0.1", err: ErrPrivateAddress},
		{name: "DialTLSContext, rebinding", set: setDialTLSContext, dial: encrypted(tunnel), addr: "8.8.8.8", want: "example.com:" + port, err: ErrPrivateAddress},
		{name: "DialTLSContext, an address that cannot be seen", set: setDialTLSContext, dial: piped, addr: "8.8.8.8", want: "example.com:" + port, err: ErrUnseenAddress},
		{name: "DialTLSContext, allowed", set: setDialTLSContext, dial: encrypted(direct), addr: "127.0.0.1", private: []string{"127.0.0.1"}, want: "example.com:" + port},
		{name: "DialTLS, a private address", set: setDialTLS, dial: encrypted(direct), addr: "127.0.0.1", err: ErrPrivateAddress},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			names := map[string][]string{"mcp.test": {"8.8.4.4"}}
			if tt.addr != "" {
				names["example.com"] = []string{tt.addr}
			}
			dnstest.Serve(t, names)
			transport := open.Clone()
			asked, dial := dialed(tt.dial)
			tt.set(transport, dial)
			resp, err := guardedBy(policy(t, tt.private, nil), "http://mcp.test/mcp", transport).Post("https://example.com:"+port, "text/plain", strings.NewReader("hello "))
			if tt.err != nil {
				wantRefused(t, err, tt.err, "Config.Network.Private")
			} else {
				wantAnswer(t, resp, err)
			}
			if got := strings.Join(*asked, " "); got != tt.want {
				t.Errorf("the dialer was asked for %q, want %q", got, tt.want)
			}
		})
	}
}

func setDialContext(t *http.Transport, dial dialFunc)    { t.DialContext = dial }
func setDialTLSContext(t *http.Transport, dial dialFunc) { t.DialTLSContext = dial }
func setDial(t *http.Transport, dial dialFunc) {
	//lint:ignore SA1019 programs use it
	t.Dial = func(network, address string) (net.Conn, error) {
		return dial(context.Background(), network, address)
	}
}
func setDialTLS(t *http.Transport, dial dialFunc) {
	//lint:ignore SA1019 programs use it
	t.DialTLS = func(network, address string) (net.Conn, error) {
		return dial(context.Background(), network, address)
	}
}

func piped(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	_ = server.Close()
	return client, nil
}

// roundTripper is a transport that does not show its dialer.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A transport that does not show its dialer serves what the program named. Where a server's
// word leads, the error says what to set.
func TestGuardOnOpaqueTransports(t *testing.T) {
	for _, tt := range []struct {
		name, home, target string
		policy             *Policy
		refused            bool
	}{
		{name: "elsewhere", home: "https://mcp.test/mcp", target: "https://as.test/token", refused: true},
		{name: "a private address", home: "https://mcp.test/mcp", target: "https://10.0.0.1", refused: true},
		{name: "the home", home: "https://mcp.test/mcp", target: "https://mcp.test/.well-known/x"},
		{name: "what the program named", home: "https://mcp.test/mcp", target: "https://named.test/token"},
		{name: "what it allowed", home: "https://mcp.test/mcp", target: "https://as.test/token", policy: policy(t, []string{"as.test"}, nil)},
		{name: "another than it allowed", home: "https://mcp.test/mcp", target: "https://as.test/token", policy: policy(t, []string{"bs.test"}, nil), refused: true},
		{name: "from loopback", home: "http://127.0.0.1:1/mcp", target: "https://as.test/token"},
		{name: "from a private address", home: "https://10.0.0.1/mcp", target: "https://as.test/token"},
		{name: "any address", home: "https://mcp.test/mcp", target: "https://as.test/token", policy: NewPolicy(nil, nil, true)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := 0
			opaque := roundTripper(func(r *http.Request) (*http.Response, error) {
				asked++
				return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("hello at ")), Request: r}, nil
			})
			resp, err := guardedBy(tt.policy, tt.home, opaque, "https://named.test").Post(tt.target, "text/plain", strings.NewReader("x"))
			if tt.refused {
				wantRefused(t, err, ErrUnseenAddress, "Config.Network.AnyAddress")
				wantRefused(t, err, ErrUnseenAddress, "httpx.roundTripper")
			} else {
				wantAnswer(t, resp, err)
			}
			if (asked == 0) != tt.refused {
				t.Errorf("%d requests", asked)
			}
		})
	}
}

// A name that is public when somebody looks and private when it is dialled is judged by what is
// dialled.
func TestGuardRebinding(t *testing.T) {
	port, open := site(t)
	dnstest.Serve(t, map[string][]string{"example.com": {"8.8.8.8", "127.0.0.1"}, "mcp.test": {"8.8.8.8"}})
	if got, err := net.DefaultResolver.LookupHost(t.Context(), "example.com"); err != nil || got[0] != "8.8.8.8" {
		t.Fatalf("LookupHost = %v, %v", got, err)
	}
	_, err := guardedBy(nil, "https://mcp.test/mcp", open).Get("https://example.com:" + port)
	if !errors.Is(err, ErrPrivateAddress) {
		t.Errorf("Get: %v, want ErrPrivateAddress", err)
	}
}

// That a home is private holds while its name has the same addresses.
func TestHomeThatMoves(t *testing.T) {
	port, open := site(t)
	home := NewHome("https://example.com:" + port + "/mcp")
	c := NewGuard(nil).Client(home, &http.Client{Transport: open})
	post := func() error {
		resp, err := c.Post("https://127.0.0.1:"+port, "text/plain", strings.NewReader("hello "))
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	names := dnstest.Serve(t, map[string][]string{"example.com": {"127.0.0.1"}})
	if err := post(); err != nil || !home.Private() {
		t.Fatalf("at home: %v, private %v", err, home.Private())
	}
	names.Set(map[string][]string{"example.com": {"8.8.8.8"}})
	if err := post(); !errors.Is(err, ErrPrivateAddress) || home.Private() {
		t.Errorf("after it moved to the Internet: %v, private %v", err, home.Private())
	}
	names.Set(map[string][]string{"example.com": {"127.0.0.1"}})
	if err := post(); err != nil {
		t.Errorf("after it came back: %v", err)
	}
	names.Set(nil)
	if err := post(); !errors.Is(err, ErrPrivateAddress) {
		t.Errorf("after its name was gone: %v", err)
	}
}

// What shows that a home is private is a handshake with it, at an address that is not public,
// whatever the dialer makes of that.
func TestProof(t *testing.T) {
	port, open := site(t)
	here := net.JoinHostPort("127.0.0.1", port)
	tunnel := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, here)
	}
	careless := open.TLSClientConfig.Clone()
	careless.InsecureSkipVerify = true
	own := func(ctx context.Context, network, address string) (net.Conn, error) {
		return (&tls.Dialer{Config: open.TLSClientConfig}).DialContext(ctx, network, address)
	}
	elsewhere := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := own(ctx, network, address)
		return public{conn}, err
	}
	tests := []struct {
		name, home, addr string
		transport        *http.Transport
		want             bool
	}{
		{"at a private address", "https://example.com:" + port, "127.0.0.1", open, true},
		{"by number in the network of a tunnel", "https://example.com:" + port, "10.0.0.1", &http.Transport{DialContext: tunnel, TLSClientConfig: open.TLSClientConfig}, true},
		{"at a public address", "https://example.com:" + port, "8.8.8.8", &http.Transport{DialContext: tunnel, TLSClientConfig: open.TLSClientConfig}, false},
		{"without its certificate", "https://evil.test:" + port, "127.0.0.1", open, false},
		{"without its certificate, and nobody looks", "https://evil.test:" + port, "127.0.0.1", &http.Transport{TLSClientConfig: careless}, false},
		{"in plain HTTP", "http://example.com:" + port, "127.0.0.1", open, false},
		{"by a dialer that does TLS", "https://example.com:" + port, "127.0.0.1", &http.Transport{DialTLSContext: own}, true},
		{"by such a dialer, elsewhere than the name says", "https://example.com:" + port, "127.0.0.1", &http.Transport{DialTLSContext: elsewhere}, false},
		{"by such a dialer, without its certificate", "https://evil.test:" + port, "127.0.0.1", &http.Transport{DialTLSContext: own}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u, err := url.Parse(tt.home)
			if err != nil {
				t.Fatal(err)
			}
			dnstest.Serve(t, map[string][]string{u.Hostname(): {tt.addr}})
			home := NewHome(tt.home)
			if got := home.isPrivate(t.Context(), newDialer(tt.transport, nil), tt.transport.TLSClientConfig); got != tt.want || home.Private() != tt.want {
				t.Errorf("isPrivate = %v, Private = %v, want %v", got, home.Private(), tt.want)
			}
		})
	}
}

// public is a connection that says it leads to the Internet.
type public struct{ net.Conn }

func (public) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(8, 8, 8, 8), Port: 443} }

// Guarded transports read at most 1 MiB of a header.
func TestGuardBoundsHeaders(t *testing.T) {
	port, open := site(t)
	dnstest.Serve(t, map[string][]string{"mcp.test": {"8.8.8.8"}, "example.com": {"127.0.0.1"}})
	for name, c := range map[string]*http.Client{
		"to public addresses":        guardedBy(policy(t, []string{"example.com"}, nil), "https://mcp.test", open),
		"to what the program named":  guardedBy(nil, "https://mcp.test", open, "https://example.com:"+port),
		"with a limit of its own":    guardedBy(nil, "https://mcp.test", limited(open, 64<<10), "https://example.com:"+port),
		"with one that is too large": guardedBy(nil, "https://mcp.test", limited(open, 64<<20), "https://example.com:"+port),
	} {
		if resp, err := c.Get("https://example.com:" + port + "/huge"); err == nil || !strings.Contains(err.Error(), "exceeded") {
			t.Errorf("%s: %v, %v", name, resp, err)
		}
		resp, err := c.Post("https://example.com:"+port, "text/plain", strings.NewReader("hello "))
		wantAnswer(t, resp, err)
	}
	if got := cloneTransport(limited(open, 4096)).MaxResponseHeaderBytes; got != 4096 {
		t.Errorf("a smaller limit became %d", got)
	}
}

func limited(t *http.Transport, most int64) *http.Transport {
	t = t.Clone()
	t.MaxResponseHeaderBytes = most
	return t
}

// Where a proxy is used, it is what is dialled, and it decides; but not about what a URL spells
// out.
func TestGuardAndProxies(t *testing.T) {
	asked := 0
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		w.Header().Set("Connection", "close")
		http.Error(w, "by proxy", http.StatusForbidden)
	}))
	defer proxy.Close()
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	dnstest.Serve(t, nil)
	c := guardedBy(nil, "https://mcp.test/mcp", &http.Transport{Proxy: http.ProxyURL(at), DisableKeepAlives: true})
	for _, target := range []string{"https://10.0.0.1", "https://169.254.169.254", "https://127.1", "https://[::1]"} {
		_, err := c.Post(target, "text/plain", strings.NewReader("x"))
		wantRefused(t, err, ErrPrivateAddress, "Config.Network.Private")
	}
	if asked != 0 {
		t.Errorf("the proxy was asked %d times", asked)
	}
	_, err = c.Get("https://example.com")
	if text := NewTransportError(err).Error(); text != "the proxy refused to connect to the server (HTTP status 403)" {
		t.Errorf("error %q", text)
	}
	if !Unreachable(NewTransportError(err)) {
		t.Error("what a proxy refuses is not taken for unreachable")
	}
	_, err = guardedBy(policy(t, []string{"10.0.0.0/8"}, nil), "https://mcp.test/mcp", &http.Transport{Proxy: http.ProxyURL(at), DisableKeepAlives: true}).Get("https://10.0.0.1")
	if err == nil || errors.Is(err, ErrPrivateAddress) || asked != 2 {
		t.Errorf("an allowed address: %v, after %d requests of the proxy", err, asked)
	}
}

// Clients that are not to be guarded come back as they are.
func TestGuardLeavesAlone(t *testing.T) {
	bare := &http.Client{Timeout: 7}
	for _, home := range []string{"http://localhost:1", "https://10.1.2.3/mcp", "https://[fd00::1]", "https://app.localhost"} {
		if c := NewGuard(nil).Client(NewHome(home), bare); c != bare {
			t.Errorf("the client of %s was changed", home)
		}
	}
	if c := NewGuard(NewPolicy(nil, nil, true)).Client(NewHome("https://mcp.test"), bare); c != bare {
		t.Error("the client of a program that allows any address was changed")
	}
	c := NewGuard(nil).Client(NewHome("https://mcp.test"), bare)
	g, ok := c.Transport.(*guard)
	if !ok || c.Timeout != 7 || bare.Transport != nil || g.public == g.open || g.public.Proxy != nil || g.open.Proxy == nil {
		t.Errorf("the client of a public server is %+v", c)
	}
	if again := NewGuard(nil).Client(NewHome("https://other.test"), nil); again.Transport.(*guard).public != g.public {
		t.Error("two homes do not share connections")
	}
}

// A program that makes a transport for every request does not fill the memory.
func TestGuardForgetsTransports(t *testing.T) {
	g := &Guard{}
	for range 10 * maxTransports {
		g.Client(NewHome("https://mcp.test"), &http.Client{Transport: &http.Transport{}})
	}
	if n := len(g.made); n != maxTransports {
		t.Errorf("%d transports are remembered, want %d", n, maxTransports)
	}
}

// Of several addresses the first that answers counts, and those that are not public are left
// out.
func TestDialTriesAddresses(t *testing.T) {
	addrs := []netip.Addr{netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("8.8.4.4"), netip.MustParseAddr("1.1.1.1")}
	want, other := net.Pipe()
	defer want.Close()
	defer other.Close()
	dead := errors.New("dead")
	conn, err := race(t.Context(), addrs, func(ctx context.Context, a netip.Addr) (net.Conn, error) {
		switch a {
		case addrs[0]:
			<-ctx.Done() // silent
			return nil, ctx.Err()
		case addrs[1]:
			return nil, dead
		}
		return want, nil
	})
	if conn != want || err != nil {
		t.Errorf("race = %v, %v", conn, err)
	}
	if _, err := race(t.Context(), addrs, func(context.Context, netip.Addr) (net.Conn, error) { return nil, dead }); err != dead {
		t.Errorf("race where all fail = %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := race(gone, addrs, func(ctx context.Context, _ netip.Addr) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }); err != context.Canceled {
		t.Errorf("race of a caller that left = %v", err)
	}
}
