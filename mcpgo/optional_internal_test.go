package mcpgo

import (
	"io"
	"log/slog"
	"strings"
	"testing"

	mcptransport "github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/server"

	"github.com/mcptokens/mcptokens/auth"
)

// present lists the optional interfaces of a transport in the words in which
// mcp-go asks for them: client.go, protocol.go and stdio.go of its client.
func present(tr mcptransport.Interface) (found [5]bool) {
	_, found[0] = tr.(mcptransport.BidirectionalInterface)
	_, found[1] = tr.(mcptransport.HTTPConnection)
	_, found[2] = tr.(interface{ SetConnectionLostHandler(func(error)) })
	_, found[3] = tr.(interface{ RequiresLegacyProtocol() bool })
	_, found[4] = tr.(interface{ Stderr() io.Reader })
	return found
}

// eager has all of them, and says which were called.
type eager struct {
	mcptransport.Interface
	called string
}

func (e *eager) SetRequestHandler(mcptransport.RequestHandler) { e.called += "h" }
func (e *eager) SetProtocolVersion(string)                     { e.called += "v" }
func (e *eager) SetConnectionLostHandler(func(error))          { e.called += "c" }
func (e *eager) RequiresLegacyProtocol() bool                  { e.called += "l"; return true }
func (e *eager) Stderr() io.Reader                             { e.called += "e"; return nil }

func TestWrapKeepsOptionalInterfaces(t *testing.T) {
	for mask := range 32 {
		all := &eager{}
		want, names := [5]bool{}, ""
		var o optionals
		for bit, set := range []func(){
			func() { o.h = all }, func() { o.v = all }, func() { o.c = all }, func() { o.l = all }, func() { o.e = all },
		} {
			if mask>>bit&1 == 1 {
				set()
				want[bit] = true
				names += string("hvcle"[bit])
			}
		}
		inner := o.with(&wrapped{}) // wrapped alone has none
		wrappedInner := Wrap(inner, nil)
		if present(inner) != want || present(wrappedInner) != want {
			t.Errorf("%q: inner has %v, wrapped %v", names, present(inner), present(wrappedInner))
			continue
		}
		if w, ok := wrappedInner.(mcptransport.BidirectionalInterface); ok {
			w.SetRequestHandler(nil)
		}
		if w, ok := wrappedInner.(mcptransport.HTTPConnection); ok {
			w.SetProtocolVersion("")
		}
		if w, ok := wrappedInner.(connectionLostSetter); ok {
			w.SetConnectionLostHandler(nil)
		}
		if w, ok := wrappedInner.(legacyRequirer); ok && !w.RequiresLegacyProtocol() {
			t.Errorf("%q: RequiresLegacyProtocol is not the inner one's", names)
		}
		if w, ok := wrappedInner.(stderrReader); ok {
			w.Stderr()
		}
		if all.called != names {
			t.Errorf("%q: reached %q", names, all.called)
		}
	}
}

func TestWrapKeepsTheInterfacesOfRealTransports(t *testing.T) {
	streamable, err := mcptransport.NewStreamableHTTP("http://127.0.0.1:1/mcp")
	if err != nil {
		t.Fatal(err)
	}
	sse, err := mcptransport.NewSSE("http://127.0.0.1:1/sse")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[[5]bool]bool{}
	for _, inner := range []mcptransport.Interface{
		streamable, sse, mcptransport.NewStdio("true", nil), mcptransport.NewCommand("true"),
		mcptransport.NewIO(strings.NewReader(""), nil, nil), mcptransport.NewInProcessTransport(server.NewMCPServer("", "")),
		mcptransport.NewLogging(sse, slog.New(slog.DiscardHandler)), NewStdio(auth.Source(nil), "true", nil),
	} {
		seen[present(inner)] = true
		if got, want := present(Wrap(inner, nil)), present(inner); got != want {
			t.Errorf("%T has %v, wrapped %v", inner, want, got)
		}
	}
	if len(seen) < 5 {
		t.Errorf("only %d different sets were seen", len(seen))
	}
}
