package soak

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

const (
	serviceID, serviceSecret = "service", "service-secret"
	seedID                   = "pre-registered"
)

// world is an authorization server and a protected mcp-go server, and the
// trouble they are in.
type world struct {
	t    *testing.T
	as   *authtest.Server
	mcp  *authtest.Resource
	hour time.Duration // how long one is here

	mu  sync.Mutex
	rng *rand.Rand
}

func newWorld(t *testing.T, seed uint64, inMemory bool, hour time.Duration) *world {
	w := &world{t: t, hour: hour, rng: rand.New(rand.NewPCG(seed, 0))}
	as, err := authtest.Start(authtest.Config{ // not NewServer: its cleanup would keep it in memory
		InMemory:       inMemory,
		AccessTokenTTL: hour,
		RotationGrace:  time.Duration(w.intn(2)) * hour / 60,
		RefreshWidens:  w.intn(2) == 0,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.as = as
	as.AddClient(serviceID, serviceSecret)
	as.AddClient(seedID, "")
	s := server.NewMCPServer("soak", "1", server.WithToolCapabilities(false))
	for _, name := range []string{"read", "write"} {
		s.AddTool(mcp.NewTool(name), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return mcp.NewToolResultText(name), nil
		})
	}
	h := server.NewStreamableHTTPServer(s)
	w.mcp = as.Protect(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set(genuine, "yes")
		h.ServeHTTP(rw, r)
	}), authtest.Protection{Scopes: []string{"mcp:read"}, ToolScopes: map[string][]string{"write": {"mcp:write"}}})
	return w
}

// intn and between draw for many goroutines. With real time, or more than one
// of them, a seed repeats a day's plan and not its every step.
func (w *world) intn(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.IntN(n)
}

func (w *world) between(low, high time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return low + time.Duration(w.rng.Int64N(int64(high-low)))
}

// troubles makes trouble until ctx ends, and then ends it.
func (w *world) troubles(ctx context.Context, stores []*moody) {
	endpoints := []authtest.Endpoint{
		authtest.AuthorizeEndpoint, authtest.TokenEndpoint, authtest.TokenEndpoint, authtest.RegistrationEndpoint, authtest.RevocationEndpoint,
		authtest.MetadataEndpoint, authtest.ResourceMetadataEndpoint, authtest.ResourceEndpoint, authtest.ResourceEndpoint,
	}
	faults := append(authtest.Faults(), authtest.Delay(w.hour/120), authtest.DelayAfter(w.hour/120), authtest.OAuthError("invalid_grant", 400),
		authtest.OAuthError("temporarily_unavailable", 400), authtest.OAuthError("invalid_client", 401), authtest.OAuthError("insufficient_scope", 403))
	w.as.Inject(authtest.ResourceEndpoint, authtest.Status(http.StatusBadGateway)) // a short day at random may be one without any
	for sleep(ctx, w.between(0, w.hour/4)) {
		e, f := endpoints[w.intn(len(endpoints))], faults[w.intn(len(faults))]
		switch w.intn(8) {
		case 0:
			w.as.RevokeAll()
		case 1:
			s := stores[w.intn(len(stores))]
			s.bad.Store(true)
			sleep(ctx, w.between(0, w.hour/10))
			s.bad.Store(false)
		case 2, 3:
			w.as.InjectAlways(e, f)
			sleep(ctx, w.between(0, w.hour/5))
			w.as.ClearFaults(e)
		default:
			for range 1 + w.intn(3) {
				w.as.Inject(e, f)
			}
		}
	}
	for _, e := range endpoints {
		w.as.ClearFaults(e)
	}
	for _, s := range stores {
		s.bad.Store(false)
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// moody is a store that fails while it is bad.
type moody struct {
	auth.MemoryStore
	bad atomic.Bool
}

var errMood = errors.New("the store is out of order")

func (s *moody) Load(ctx context.Context, key auth.Key) (*auth.Record, error) {
	if s.bad.Load() {
		return nil, errMood
	}
	return s.MemoryStore.Load(ctx, key)
}

func (s *moody) Save(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	if s.bad.Load() {
		return 0, errMood
	}
	return s.MemoryStore.Save(ctx, key, r)
}

func (s *moody) Lock(ctx context.Context, key auth.Key) (func(), error) {
	if s.bad.Load() {
		return nil, errMood
	}
	return s.MemoryStore.Lock(ctx, key)
}

// genuine is a header of answers that the MCP server itself gave.
const genuine = "X-Genuine"

// witness sees what the MCP server does to one call, so that a fault of the
// server's, which mcp-go reports in its own words, is not taken for ours.
type witness struct{ base http.RoundTripper }

type witnessKey struct{}

// fault is set when the server, and not the authorization, failed the call.
type fault = atomic.Bool

func (w witness) RoundTrip(req *http.Request) (*http.Response, error) {
	broken, _ := req.Context().Value(witnessKey{}).(*fault)
	resp, err := w.base.RoundTrip(req)
	if broken == nil {
		return resp, err
	}
	if err != nil {
		broken.Store(true)
		return nil, err
	}
	challenge := resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden
	if !challenge && (resp.StatusCode/100 != 2 || resp.Header.Get(genuine) == "" || strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain")) {
		broken.Store(true)
	}
	resp.Body = &witnessed{resp.Body, broken}
	return resp, nil
}

type witnessed struct {
	io.ReadCloser
	broken *fault
}

func (w *witnessed) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		w.broken.Store(true)
	}
	return n, err
}
