package authtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestMemoryDial(t *testing.T) {
	n := newNetwork(Config{InMemory: true})
	l, err := n.listen()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("client gives up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := n.dial(ctx, "tcp", l.Addr().String()); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("addresses", func(t *testing.T) {
		accepted := make(chan net.Conn)
		go func() {
			c, _ := l.Accept()
			accepted <- c
		}()
		client, err := n.dial(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server := <-accepted
		defer client.Close()
		defer server.Close()
		if client.RemoteAddr().String() != l.Addr().String() || server.LocalAddr().String() != l.Addr().String() ||
			client.LocalAddr().String() != server.RemoteAddr().String() {
			t.Errorf("client %s to %s, server %s to %s", client.LocalAddr(), client.RemoteAddr(), server.LocalAddr(), server.RemoteAddr())
		}
	})
	t.Run("listener closes", func(t *testing.T) {
		result := make(chan error)
		go func() {
			_, err := n.dial(t.Context(), "tcp", l.Addr().String())
			result <- err
		}()
		_ = l.Close()
		if err := <-result; err == nil { // refused or cut, whichever came first
			t.Error("connected to a closed listener")
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept: %v", err)
		}
	})
}

// brokenNetwork cannot listen.
type brokenNetwork struct{ network }

func (brokenNetwork) listen() (net.Listener, error) { return nil, errors.New("no ports left") }

// failingTB is a test whose Fatalf returns.
type failingTB struct{ text string }

func (f *failingTB) Helper()                           {}
func (f *failingTB) Fatalf(format string, args ...any) { f.text = fmt.Sprintf(format, args...) }
func (f *failingTB) Cleanup(func())                    {}

func TestProtectWithoutNetwork(t *testing.T) {
	s, err := Start(Config{InMemory: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.net = brokenNetwork{s.net}
	t.Run("after Start", func(t *testing.T) {
		defer func() {
			if text := fmt.Sprint(recover()); !strings.Contains(text, "no ports left") {
				t.Errorf("panic %q", text)
			}
		}()
		s.Protect(http.NotFoundHandler(), Protection{})
	})
	t.Run("in a test", func(t *testing.T) {
		tb := &failingTB{}
		s.tb = tb
		if res := s.Protect(http.NotFoundHandler(), Protection{}); res.URL != "" || !strings.Contains(tb.text, "no ports left") {
			t.Errorf("URL %q, failure %q", res.URL, tb.text)
		}
	})
}

// TestCutWithoutHijack covers response writers that a user's middleware wraps.
func TestCutWithoutHijack(t *testing.T) {
	defer func() {
		if got := recover(); got != http.ErrAbortHandler {
			t.Errorf("panic %v", got)
		}
	}()
	(&exchange{w: &answer{}}).cut()
}
