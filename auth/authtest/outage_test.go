package authtest_test

import (
	"errors"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtest"
)

// An outage takes one address off the network, kept connections included, for its time.
func TestDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(t, authtest.Config{})
		other := authtest.NewServerConfig(t, authtest.Config{Peer: srv})
		res := srv.Protect(ok, authtest.Protection{})
		token := srv.IssueToken(nil, res.URL).AccessToken
		metadata := srv.Endpoint(authtest.MetadataEndpoint)
		up := func(target string) bool {
			t.Helper()
			r, err := do(t, srv, request(t, "GET", target, "", "Authorization", "Bearer "+token))
			if err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("%s: %v, want connection refused", target, err)
			}
			return err == nil && r.status == http.StatusOK
		}
		want := func(server, resource, peer bool) {
			t.Helper()
			if s, r, p := up(metadata), up(res.URL), up(other.Endpoint(authtest.MetadataEndpoint)); s != server || r != resource || p != peer {
				t.Errorf("server %t, resource %t, peer %t, want %t, %t, %t", s, r, p, server, resource, peer)
			}
		}
		want(true, true, true)
		srv.Down(20 * time.Second)
		want(false, true, true)
		res.Down(10 * time.Second)
		want(false, false, true)
		time.Sleep(10 * time.Second)
		want(false, true, true)
		time.Sleep(10*time.Second - 1)
		want(false, true, true)
		time.Sleep(time.Nanosecond)
		want(true, true, true)
		other.Down(time.Hour)
		want(true, true, false)
		other.Down(0)
		want(true, true, true)
	})
}

// A request that is under way when the outage begins is cut, like those of a process that dies.
func TestDownCutsRequests(t *testing.T) {
	onBothNetworks(t, func(t *testing.T, inMemory bool) {
		srv := authtest.NewServerConfig(t, authtest.Config{InMemory: inMemory})
		arrived := make(chan struct{})
		res := srv.Protect(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(arrived)
			<-r.Context().Done()
		}), authtest.Protection{})
		go func() {
			<-arrived
			res.Down(time.Minute)
		}()
		_, err := do(t, srv, request(t, "POST", res.URL, "", "Authorization", "Bearer "+srv.IssueToken(nil, res.URL).AccessToken))
		if err == nil {
			t.Error("the request was answered")
		}
		if _, err = do(t, srv, request(t, "POST", res.URL, "")); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("the next: %v, want connection refused", err)
		}
	})
}

func TestInjectFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(t, authtest.Config{})
		srv.InjectFor(authtest.TokenEndpoint, time.Minute, authtest.Status(503))
		srv.Inject(authtest.TokenEndpoint, authtest.Status(500))
		status := func() int { return refresh(t, srv, "x").status }
		if got := []int{status(), status()}; !slices.Equal(got, []int{500, 503}) {
			t.Errorf("%d, want the queued fault before the lasting one", got)
		}
		time.Sleep(time.Minute - 1)
		if got := status(); got != 503 {
			t.Errorf("%d in the last moment", got)
		}
		time.Sleep(time.Nanosecond)
		if got := status(); got != 400 {
			t.Errorf("%d after the time", got)
		}
		if n := srv.Counts().Faults; n != 3 {
			t.Errorf("%d faults counted, want 3", n)
		}
		srv.InjectFor(authtest.TokenEndpoint, time.Minute, authtest.Status(503))
		srv.ClearFaults(authtest.TokenEndpoint)
		if got := status(); got != 400 {
			t.Errorf("%d after ClearFaults", got)
		}
	})
}

// Faults at refresh requests meet no others, and go before those of the endpoint.
func TestRefreshRequests(t *testing.T) {
	srv := newServer(t, authtest.Config{})
	text := `{"error":"invalid_client","error_description":"try again"}`
	srv.Inject(authtest.RefreshRequests, slices.Repeat([]authtest.Fault{authtest.Answer(418, "application/json", text)}, 2)...)
	srv.Inject(authtest.TokenEndpoint, authtest.Status(500))
	credentials := form("grant_type", "client_credentials", "client_id", "web", "client_secret", webSecret)
	if r := refresh(t, srv, "x"); r.status != 418 || r.body != text || r.header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %q %v", r.status, r.body, r.header)
	}
	for _, want := range []int{500, 200} {
		if r := post(t, srv, authtest.TokenEndpoint, credentials); r.status != want {
			t.Errorf("client credentials: %d, want %d", r.status, want)
		}
	}
	for _, want := range []int{418, 400} {
		if r := refresh(t, srv, "x"); r.status != want {
			t.Errorf("refresh: %d, want %d", r.status, want)
		}
	}
	if rec := srv.TokenRequests()[0]; rec.Processed || rec.Fault != `Answer(418,application/json,"{\"error\":\"invalid_client\",\"error_description\":\"try again\"}")` {
		t.Errorf("recorded %+v", rec)
	}
	if srv.Endpoint(authtest.RefreshRequests) != "" {
		t.Error("refresh requests have an address of their own")
	}
}
