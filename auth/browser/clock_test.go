package browser

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a network of its own, so that a real http.Server and its client
// live in a synctest bubble, where time is fake.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1234} }

func (p *pipes) client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			here, there := net.Pipe()
			select {
			case p.conns <- there:
				return here, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		},
	}}
}

func TestUserHasFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Loopback{Open: func(string) error { return nil }}.newSession(newPipes(), address{loopbackIP, defaultPath, 1234})
		began := time.Now()
		_, err := s.Visit(t.Context(), authorizeURL, "st")
		if !errors.Is(err, ErrTimeout) || time.Since(began) != 5*time.Minute {
			t.Errorf("%v after %v, want ErrTimeout after 5m", err, time.Since(began))
		}
		s.Finish(err)
	})
}

// Whose standard input is no terminal cannot paste, but reads what to open, and
// the listener goes on.
func TestUserReadsTheAddressAtLeast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Loopback{Open: noBrowserHere, NoTerminal: true}.newSession(newPipes(), address{loopbackIP, defaultPath, 1234})
		var out strings.Builder
		s.notice = &out
		_, err := s.Visit(t.Context(), authorizeURL, "st")
		if !errors.Is(err, ErrTimeout) {
			t.Errorf("Visit: %v, want ErrTimeout", err)
		}
		s.Finish(err)
		wantIn(t, out.String(), "open this address", "  "+authorizeURL+"\n")
		wantNotIn(t, out.String(), "paste")
	})
}

// A launcher that hangs and a browser that takes no page do not add up.
func TestFinishWaitsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		network := newPipes()
		s := Loopback{Open: func(string) error { <-stuck; return nil }}.newSession(network, address{loopbackIP, defaultPath, 1234})
		s.pages.Handler = func(http.ResponseWriter, *http.Request, Outcome) { <-stuck }
		done := make(chan error, 2)
		go func() {
			_, err := s.Visit(t.Context(), authorizeURL, "st")
			done <- err
		}()
		synctest.Wait()
		go func() {
			resp, err := network.client().Get(s.RedirectURI() + "?state=st")
			if err == nil {
				_ = resp.Body.Close()
			}
			done <- err
		}()
		if err := <-done; err != nil {
			t.Errorf("Visit: %v", err)
		}
		time.AfterFunc(finishWait+time.Second, func() { close(stuck) })
		began := time.Now()
		s.Finish(nil)
		if took := time.Since(began); took != finishWait+time.Second { // the handler's own time
			t.Errorf("Finish took %v", took)
		}
		<-done
	})
}

func TestFinishDoesNotWaitLongForOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		s := Loopback{Timeout: time.Second, Open: func(string) error { <-stuck; return nil }}.
			newSession(newPipes(), address{loopbackIP, defaultPath, 1234})
		_, err := s.Visit(t.Context(), authorizeURL, "st")
		began := time.Now()
		s.Finish(err)
		if took := time.Since(began); took != finishWait {
			t.Errorf("Finish took %v, want %v", took, finishWait)
		}
		close(stuck)
	})
}

func TestPageDoesNotWaitForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		s := Loopback{Open: func(string) error { return nil }}.newSession(network, address{loopbackIP, defaultPath, 1234})
		done := make(chan error, 1)
		go func() {
			_, err := s.Visit(t.Context(), authorizeURL, "st")
			done <- err
		}()
		synctest.Wait()
		began := time.Now()
		resp, err := network.client().Get(s.RedirectURI() + "?state=st")
		if err != nil {
			t.Fatal(err)
		}
		var body [8 << 10]byte
		n, _ := resp.Body.Read(body[:])
		_ = resp.Body.Close()
		if took := time.Since(began); took != holdPage {
			t.Errorf("the page came after %v, want %v", took, holdPage)
		}
		wantIn(t, string(body[:n]), "Sign-in received")
		if err := <-done; err != nil {
			t.Errorf("Visit: %v", err)
		}
		s.Finish(nil)
	})
}

func TestBrowserGoneWhileThePageIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		s := Loopback{Open: func(string) error { return nil }}.newSession(network, address{loopbackIP, defaultPath, 1234})
		done := make(chan error, 1)
		go func() {
			_, err := s.Visit(t.Context(), authorizeURL, "st")
			done <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.RedirectURI()+"?state=st", nil)
		if err != nil {
			t.Fatal(err)
		}
		gone := make(chan error, 1)
		go func() {
			_, err := network.client().Do(req)
			gone <- err
		}()
		if err := <-done; err != nil {
			t.Errorf("Visit: %v", err)
		}
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("client: %v", err)
		}
		began := time.Now()
		s.Finish(nil)
		if took := time.Since(began); took != 0 {
			t.Errorf("Finish waited %v for a browser that had gone", took)
		}
	})
}
