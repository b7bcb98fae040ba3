package browser

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
)

func TestLoopbackRefusesFieldsThatMakeNoSense(t *testing.T) {
	for name, tc := range map[string]struct {
		l    Loopback
		want string
	}{
		"port below":        {Loopback{Port: -1}, "Loopback.Port"},
		"port above":        {Loopback{Port: 65536}, "Loopback.Port"},
		"port and ports":    {Loopback{Port: 1, Ports: []int{2}}, "Loopback.Ports"},
		"ports with any":    {Loopback{Ports: []int{8000, 0}}, "Loopback.Ports"},
		"bind a name":       {Loopback{Bind: "localhost"}, "Loopback.Bind"},
		"bind with a port":  {Loopback{Bind: "127.0.0.1:80"}, "Loopback.Bind"},
		"relative path":     {Loopback{Path: "callback"}, "Loopback.Path"},
		"path with query":   {Loopback{Path: "/callback?x"}, "Loopback.Path"},
		"path with dots":    {Loopback{Path: "/a/../b"}, "Loopback.Path"},
		"path with escape":  {Loopback{Path: "/a%2fb"}, "Loopback.Path"},
		"other host":        {Loopback{Host: "0.0.0.0"}, "Loopback.Host"},
		"negative timeout":  {Loopback{Timeout: -time.Second}, "Loopback.Timeout"},
		"fragment in path":  {Loopback{Path: "/callback#x"}, "Loopback.Path"},
		"host that differs": {Loopback{Host: "LOCALHOST"}, "Loopback.Host"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := tc.l.Start(t.Context(), nil)
			if err == nil {
				s.Finish(nil)
				t.Fatal("no error")
			}
			var config *auth.ConfigError
			if !errors.As(err, &config) || config.Field != tc.want {
				t.Errorf("error = %v, want a ConfigError for %s", err, tc.want)
			}
		})
	}
}

func TestLoopbackRedirectURI(t *testing.T) {
	free := freePort(t)
	for name, tc := range map[string]struct {
		l         Loopback
		preferred []string
		want      string // PORT: any
	}{
		"zero value":                    {Loopback{}, nil, "http://127.0.0.1:PORT/callback"},
		"host and path set":             {Loopback{Host: "localhost", Path: "/cb"}, nil, "http://localhost:PORT/cb"},
		"port set":                      {Loopback{Port: free}, nil, fmt.Sprintf("http://127.0.0.1:%d/callback", free)},
		"preferred":                     {Loopback{}, []string{fmt.Sprintf("http://127.0.0.1:%d/x", free)}, fmt.Sprintf("http://127.0.0.1:%d/x", free)},
		"preferred without port":        {Loopback{}, []string{"http://localhost/x"}, "http://localhost:PORT/x"},
		"preferred without port, fixed": {Loopback{Port: free}, []string{"http://localhost/x"}, fmt.Sprintf("http://localhost:%d/x", free)},
		"preferred of another port":     {Loopback{Port: free}, []string{"http://127.0.0.1:1/x"}, fmt.Sprintf("http://127.0.0.1:%d/callback", free)},
		"preferred of another path":     {Loopback{Path: "/y"}, []string{"http://127.0.0.1:1/x"}, "http://127.0.0.1:PORT/y"},
		"preferred of another host":     {Loopback{Host: "localhost"}, []string{"http://127.0.0.1:1/x"}, "http://localhost:PORT/callback"},
		"ports":                         {Loopback{Ports: []int{free}}, nil, fmt.Sprintf("http://127.0.0.1:%d/callback", free)},
		"preferred of other ports":      {Loopback{Ports: []int{free}}, []string{"http://127.0.0.1:1/x"}, fmt.Sprintf("http://127.0.0.1:%d/callback", free)},
		"preferred without port, ports": {Loopback{Ports: []int{free}}, []string{"http://localhost/x"}, fmt.Sprintf("http://localhost:%d/x", free)},
		"bind all":                      {Loopback{Bind: "0.0.0.0", Port: free}, nil, fmt.Sprintf("http://127.0.0.1:%d/callback", free)},
		"bind all of IPv6":              {Loopback{Bind: "::", Port: free, Host: "localhost"}, nil, fmt.Sprintf("http://localhost:%d/callback", free)},
		"preferred that are not ours": {Loopback{}, []string{
			"https://127.0.0.1/x", "http://example.com/x", "http://[::1]/x", "http://127.0.0.1/x?q", "http://127.0.0.1/x?",
			"http://127.0.0.1/x#f", "http://u@127.0.0.1/x", "http://127.0.0.1", "http://127.0.0.1:0/x", "http://127.0.0.1:99999/x",
			"http://127.0.0.1/a/../x", "com.example:/x", "::", "",
		}, "http://127.0.0.1:PORT/callback"},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, tc.l, tc.preferred...)
			defer s.Finish(nil)
			got := s.RedirectURI()
			u, err := url.Parse(got)
			if err != nil || u.Port() == "" || u.Port() == "0" {
				t.Fatalf("RedirectURI = %q: want a port (%v)", got, err)
			}
			if want := strings.Replace(tc.want, "PORT", u.Port(), 1); got != want {
				t.Errorf("RedirectURI = %q, want %q", got, want)
			}
		})
	}
}

func TestLoopbackPreferredPortTaken(t *testing.T) {
	taken, free := listen(t), freePort(t)

	t.Run("next one", func(t *testing.T) {
		want := fmt.Sprintf("http://127.0.0.1:%d/two", free)
		s := start(t, Loopback{}, fmt.Sprintf("http://127.0.0.1:%d/one", taken), want)
		defer s.Finish(nil)
		if got := s.RedirectURI(); got != want {
			t.Errorf("RedirectURI = %q, want %q", got, want)
		}
	})
	t.Run("other port, same path", func(t *testing.T) {
		s := start(t, Loopback{}, fmt.Sprintf("http://localhost:%d/one", taken))
		defer s.Finish(nil)
		u, err := url.Parse(s.RedirectURI())
		if err != nil || u.Hostname() != "localhost" || u.Path != "/one" || u.Port() == fmt.Sprint(taken) {
			t.Errorf("RedirectURI = %q (%v)", s.RedirectURI(), err)
		}
	})
	t.Run("fixed port", func(t *testing.T) {
		_, err := Loopback{Port: taken}.Start(t.Context(), nil)
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatalf("error = %v, want EADDRINUSE", err)
		}
		wantSafe(t, err)
		wantIn(t, err.Error(), "Loopback.Port")
	})
}

//compat:client redirect URIs that are compared with their port
//compat:default a free port
//compat:setting browser.Loopback.Port, Ports
//compat:attack TestOnlyTheRedirectIsServed
func TestLoopbackPorts(t *testing.T) {
	taken, other, free := listen(t), listen(t), freePort(t)
	t.Run("the first that is free", func(t *testing.T) {
		s := start(t, Loopback{Ports: []int{taken, other, free}})
		defer s.Finish(nil)
		if got, want := s.RedirectURI(), fmt.Sprintf("http://127.0.0.1:%d/callback", free); got != want {
			t.Errorf("RedirectURI = %q, want %q", got, want)
		}
	})
	t.Run("the preferred one of them", func(t *testing.T) {
		want := fmt.Sprintf("http://127.0.0.1:%d/x", free)
		s := start(t, Loopback{Ports: []int{freePort(t), free}}, want)
		defer s.Finish(nil)
		if got := s.RedirectURI(); got != want {
			t.Errorf("RedirectURI = %q, want %q", got, want)
		}
	})
	t.Run("no other", func(t *testing.T) {
		_, err := Loopback{Ports: []int{taken, other}}.Start(t.Context(), []string{"http://127.0.0.1/x"})
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatalf("error = %v, want EADDRINUSE", err)
		}
		wantSafe(t, err)
		wantIn(t, err.Error(), fmt.Sprint(taken), fmt.Sprint(other), "Loopback.Ports", "another sign-in")
	})
}

// In a container the browser comes from another address, by the name that it
// knows.
func TestLoopbackBind(t *testing.T) {
	bind := "127.0.0.1"
	if runtime.GOOS == "linux" { // which has all of 127.0.0.0/8
		bind = "127.0.0.2"
	}
	s, done := visit(t, Loopback{Bind: bind}, "st")
	u, err := url.Parse(s.RedirectURI())
	if err != nil || u.Hostname() != "127.0.0.1" {
		t.Fatalf("RedirectURI = %q, %v", s.RedirectURI(), err)
	}
	at := "http://" + bind + ":" + u.Port() + "/callback?code=c&state=st"
	if r := request(t.Context(), "GET", at, "172.17.0.2:"+u.Port()); r.status != 421 {
		t.Errorf("by the address of the container: %d, %v", r.status, r.err)
	}
	ctx := t.Context()
	shown := make(chan reply, 1)
	go func() { shown <- request(ctx, "GET", at, u.Host) }()
	if got := <-done; got.err != nil {
		t.Error(got.err)
	}
	s.Finish(nil)
	if r := <-shown; r.status != 200 {
		t.Errorf("page: %+v", r)
	}
}

// listen takes a port for the duration of the test.
func listen(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln.Addr().(*net.TCPAddr).Port
}

// freePort is below the ports that systems give to whoever wants any, so that nobody
// else gets it meanwhile, and another one each time.
func freePort(t *testing.T) int {
	t.Helper()
	for range 1000 {
		port := 10_000 + (rand.IntN(20)+20*int(ports.Add(1)))%20_000
		if ln, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			_ = ln.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

var ports atomic.Int64
