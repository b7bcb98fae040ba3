package authtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtest"
)

// TestFaultsAtTokenEndpoint sends one refresh through every kind of fault, on both networks.
func TestFaultsAtTokenEndpoint(t *testing.T) {
	type outcome struct {
		fails     bool // no answer, or half of one
		status    int
		processed bool // the refresh token is spent
		answered  bool
		check     func(r reply) bool
	}
	html := func(r reply) bool {
		return strings.HasPrefix(r.header.Get("Content-Type"), "text/html") && strings.HasPrefix(r.body, "<!doctype html>")
	}
	good := func(r reply) bool { return r.text("access_token") != "" }
	want := map[string]outcome{
		"Status(500)":            {status: 500},
		"Status(404)":            {status: 404},
		"RetryAfter(429,1s)":     {status: 429, check: func(r reply) bool { return r.header.Get("Retry-After") == "1" }},
		"RetryAfterDate(503,1s)": {status: 503, check: func(r reply) bool { _, err := http.ParseTime(r.header.Get("Retry-After")); return err == nil }},
		"ResetBefore()":          {fails: true},
		"ResetAfter()":           {fails: true, processed: true},
		"Delay(20ms)":            {status: 200, processed: true, answered: true, check: good},
		"DelayAfter(20ms)":       {status: 200, processed: true, answered: true, check: good},
		"Garbage()":              {status: 200, check: func(r reply) bool { return !json.Valid([]byte(r.body)) }},
		"HTML()":                 {status: 200, check: html},
		"HTMLStatus(502)":        {status: 502, check: html},
		"HugeBody()":             {status: 200, check: func(r reply) bool { return len(r.body) >= 10<<20 && json.Valid([]byte(r.body)) }},
		"WrongContentType()": {status: 200, processed: true, answered: true, check: func(r reply) bool {
			return good(r) && strings.HasPrefix(r.header.Get("Content-Type"), "text/plain")
		}},
		"Truncated()":                     {fails: true, processed: true},
		"OAuthError(invalid_request,400)": {status: 400, check: func(r reply) bool { return r.text("error") == "invalid_request" }},
		"ExpiredAtOnce()":                 {status: 200, processed: true, answered: true, check: good},
		"Redirect(http://127.0.0.1:9/elsewhere)": {status: 307, check: func(r reply) bool {
			return r.header.Get("Location") == "http://127.0.0.1:9/elsewhere"
		}},
	}
	onBothNetworks(t, func(t *testing.T, inMemory bool) {
		for _, f := range authtest.Faults() {
			t.Run(f.String(), func(t *testing.T) {
				o, known := want[f.String()]
				if !known {
					t.Fatal("this fault is not in the table")
				}
				srv := authtest.NewServerConfig(t, authtest.Config{InMemory: inMemory})
				srv.AddClient(clientID, "")
				pair := srv.IssueToken(nil, "")
				srv.Inject(authtest.TokenEndpoint, f)
				v := form("grant_type", "refresh_token", "client_id", clientID, "refresh_token", pair.RefreshToken)
				r, err := do(t, srv, formRequest(t, srv.Endpoint(authtest.TokenEndpoint), v))
				if (err != nil) != o.fails {
					t.Fatalf("error %v", err)
				}
				if !o.fails && (r.status != o.status || o.check != nil && !o.check(r)) {
					t.Errorf("%d %v %.100q", r.status, r.header, r.body)
				}
				rec := srv.TokenRequests()[0]
				if rec.Processed != o.processed || rec.Answered != o.answered || rec.Fault != f.String() || (rec.Status == 200) != o.processed {
					t.Errorf("recorded %+v", rec)
				}
				if spent := srv.RefreshTokenUses()[pair.RefreshToken] == 1; spent != o.processed {
					t.Errorf("spent: %t", spent)
				}
				if r := refresh(t, srv, pair.RefreshToken); (r.status == 200) == o.processed {
					t.Errorf("the refresh after it: %d", r.status)
				}
				if n := srv.Counts().Faults; n != 1 {
					t.Errorf("%d faults counted", n)
				}
			})
		}
	})
	if len(want) != len(authtest.Faults()) {
		t.Errorf("%d faults in the table, %d in Faults()", len(want), len(authtest.Faults()))
	}
}

// TestFaultsEverywhere shows that each endpoint goes wrong when told to, and goes well again.
func TestFaultsEverywhere(t *testing.T) {
	srv := newServer(t, authtest.Config{})
	res := srv.Protect(ok, authtest.Protection{})
	token := srv.IssueToken(nil, res.URL).AccessToken
	requests := map[authtest.Endpoint]func() *http.Request{
		authtest.AuthorizeEndpoint: func() *http.Request { return request(t, "GET", authorizationURL(srv), "") },
		authtest.TokenEndpoint: func() *http.Request {
			return formRequest(t, srv.Endpoint(authtest.TokenEndpoint), form("grant_type", "client_credentials"), "Authorization", basic("web", webSecret))
		},
		authtest.RegistrationEndpoint: func() *http.Request {
			return request(t, "POST", srv.Endpoint(authtest.RegistrationEndpoint), `{"redirect_uris":["http://localhost/"]}`)
		},
		authtest.RevocationEndpoint: func() *http.Request {
			return formRequest(t, srv.Endpoint(authtest.RevocationEndpoint), form("client_id", clientID, "token", "x"))
		},
		authtest.IntrospectionEndpoint: func() *http.Request {
			return formRequest(t, srv.Endpoint(authtest.IntrospectionEndpoint), form("token", "x"), "Authorization", basic("web", webSecret))
		},
		authtest.MetadataEndpoint: func() *http.Request {
			return request(t, "GET", srv.Endpoint(authtest.MetadataEndpoint), "")
		},
		authtest.ResourceMetadataEndpoint: func() *http.Request { return request(t, "GET", res.MetadataURL, "") },
		authtest.ResourceEndpoint: func() *http.Request {
			return request(t, "POST", res.URL, "{}", "Authorization", "Bearer "+token)
		},
	}
	status := func(e authtest.Endpoint) int { return must(t, srv, requests[e]()).status }
	for e := range requests {
		t.Run(string(e), func(t *testing.T) {
			good := status(e)
			if good >= 400 {
				t.Fatalf("without a fault: %d", good)
			}
			srv.InjectAlways(e, authtest.Status(503))
			srv.Inject(e, authtest.Status(500), authtest.ExpiredAtOnce(), authtest.Status(502))
			for i, want := range []int{500, good, 502, 503, 503} {
				if got := status(e); got != want {
					t.Errorf("request %d: %d, want %d", i, got, want)
				}
			}
			srv.Inject(e, authtest.Status(500))
			srv.ClearFaults(e)
			if got := status(e); got != good {
				t.Errorf("after ClearFaults: %d, want %d", got, good)
			}
			srv.Inject(e, authtest.Truncated())
			if e != authtest.AuthorizeEndpoint && e != authtest.RevocationEndpoint { // their answers have no body
				if _, err := do(t, srv, requests[e]()); !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("truncated: %v", err)
				}
			}
			srv.ClearFaults(e)
			srv.Inject(e, authtest.HTMLStatus(502), authtest.WrongContentType())
			if r := must(t, srv, requests[e]()); r.status != 502 {
				t.Errorf("gateway: %d", r.status)
			}
			if r := must(t, srv, requests[e]()); r.status != good || !strings.HasPrefix(r.header.Get("Content-Type"), "text/plain") {
				t.Errorf("wrong content type: %d %q", r.status, r.header.Get("Content-Type"))
			}
		})
	}
}

func TestExpiredAtOnce(t *testing.T) {
	srv := newServer(t, authtest.Config{})
	res := srv.Protect(ok, authtest.Protection{})
	srv.Inject(authtest.TokenEndpoint, authtest.ExpiredAtOnce(), authtest.ExpiredAtOnce())
	r := refresh(t, srv, srv.IssueToken(nil, res.URL).RefreshToken)
	if got := call(t, srv, res.URL, r.text("access_token"), "").status; got != 401 {
		t.Errorf("call: %d, want 401", got)
	}
	if r := refresh(t, srv, "guess"); r.text("error") != "invalid_grant" { // no token to kill
		t.Errorf("%s", r.body)
	}
	if r := refresh(t, srv, r.text("refresh_token")); r.status != 200 {
		t.Errorf("refresh: %s", r.body)
	}
}

// TestOAuthErrorForms shows the error where a client looks for it, at each endpoint.
func TestOAuthErrorForms(t *testing.T) {
	srv := newServer(t, authtest.Config{})
	res := srv.Protect(ok, authtest.Protection{Scopes: []string{"read"}})
	srv.Inject(authtest.AuthorizeEndpoint, authtest.OAuthError("access_denied", 0), authtest.OAuthError("access_denied", 0))
	if q := approve(t, srv, authorizationURL(srv)); q.Get("error") != "access_denied" || q.Get("state") != "xyz" || q.Get("iss") != srv.Issuer {
		t.Errorf("authorization: %v", q)
	}
	if r := get(t, srv, srv.Endpoint(authtest.AuthorizeEndpoint)); r.status != 400 {
		t.Errorf("authorization without a redirect URI: %d", r.status)
	}
	srv.Inject(authtest.ResourceEndpoint, authtest.OAuthError("insufficient_scope", 403))
	r := call(t, srv, res.URL, srv.IssueToken([]string{"read"}, res.URL).AccessToken, "")
	if got := r.header.Get("WWW-Authenticate"); r.status != 403 || !strings.HasPrefix(got, `Bearer error="insufficient_scope", scope="read"`) {
		t.Errorf("resource: %d %q", r.status, got)
	}
	srv.Inject(authtest.ResourceMetadataEndpoint, authtest.OAuthError("server_error", 500))
	if r := get(t, srv, res.MetadataURL); r.status != 500 || r.text("error") != "server_error" {
		t.Errorf("metadata: %d %s", r.status, r.body)
	}
}

// TestReset shows that a cut connection is a reset on a real network, not an orderly end.
func TestReset(t *testing.T) {
	srv := authtest.NewServer(t)
	srv.Inject(authtest.TokenEndpoint, authtest.ResetBefore())
	_, err := do(t, srv, formRequest(t, srv.Endpoint(authtest.TokenEndpoint), form("grant_type", "x")))
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("error %v", err)
	}
}

func TestDelaysAndLeavingClients(t *testing.T) {
	tests := []struct {
		fault     authtest.Fault
		leave     bool
		processed bool
		answered  bool
	}{
		{authtest.Delay(time.Minute), false, true, true},
		{authtest.Delay(time.Minute), true, false, false},
		{authtest.DelayAfter(time.Minute), false, true, true},
		{authtest.DelayAfter(time.Minute), true, true, false},
	}
	for _, tt := range tests {
		name := tt.fault.String()
		if tt.leave {
			name += ", client leaves"
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := newServer(t, authtest.Config{})
				srv.Inject(authtest.TokenEndpoint, tt.fault)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.leave {
					time.AfterFunc(30*time.Second, cancel)
				}
				start := time.Now()
				v := form("grant_type", "client_credentials")
				req := formRequest(t, srv.Endpoint(authtest.TokenEndpoint), v, "Authorization", basic("web", webSecret)).WithContext(ctx)
				_, err := do(t, srv, req)
				if want := map[bool]time.Duration{true: 30 * time.Second, false: time.Minute}[tt.leave]; (err != nil) != tt.leave || time.Since(start) != want {
					t.Errorf("error %v after %s, want it after %s", err, time.Since(start), want)
				}
				synctest.Wait() // until the server has noticed
				if rec := srv.TokenRequests()[0]; rec.Processed != tt.processed || rec.Answered != tt.answered || !rec.Time.Equal(start) {
					t.Errorf("recorded %+v", rec)
				}
			})
		})
	}
}

func TestRetryAfterForms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(t, authtest.Config{})
		srv.Inject(authtest.TokenEndpoint, authtest.RetryAfter(503, 1500*time.Millisecond), authtest.RetryAfterDate(503, 90*time.Second))
		if r := refresh(t, srv, "x"); r.header.Get("Retry-After") != "2" {
			t.Errorf("seconds: %q", r.header.Get("Retry-After"))
		}
		at, err := http.ParseTime(refresh(t, srv, "x").header.Get("Retry-After"))
		if wait := time.Until(at); err != nil || wait != 90*time.Second {
			t.Errorf("date: in %s, %v", wait, err)
		}
	})
}

func TestResourceFaultsHoldTheAnswerBack(t *testing.T) {
	srv := newServer(t, authtest.Config{})
	res := srv.Protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		w.WriteHeader(http.StatusTeapot) // too late
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, "body")
	}), authtest.Protection{})
	token := srv.IssueToken(nil, res.URL).AccessToken
	srv.Inject(authtest.ResourceEndpoint, authtest.DelayAfter(time.Millisecond))
	if r := call(t, srv, res.URL, token, "{}"); r.status != http.StatusAccepted || r.body != "body" {
		t.Errorf("%d %q", r.status, r.body)
	}
}

// TestRecordIsACopy shows that what a test does to a record does not change the record.
func TestRecordIsACopy(t *testing.T) {
	srv := newServer(t, authtest.Config{})
	if len(srv.Counts().TokenByGrant) != 0 || srv.Counts().TokenByGrant == nil {
		t.Error("TokenByGrant of a new server")
	}
	refresh(t, srv, "x")
	srv.TokenRequests()[0].Form.Set("refresh_token", "y")
	srv.TokenRequests()[0].Header.Set("Content-Type", "y")
	srv.Counts().TokenByGrant["refresh_token"] = 9
	rec := srv.TokenRequests()[0]
	if rec.Form.Get("refresh_token") != "x" || rec.Header.Get("Content-Type") == "y" || srv.Counts().Refreshes != 1 {
		t.Errorf("the record changed: %+v", rec)
	}
	if rec.GrantType != "refresh_token" || rec.Fault != "" || rec.Status != 400 || !rec.Answered {
		t.Errorf("recorded %+v", rec)
	}
}

func TestFaultStrings(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range append(authtest.Faults(), authtest.Fault{}) {
		if name := f.String(); name == "" || seen[name] {
			t.Errorf("name %q", name)
		}
		seen[f.String()] = true
	}
}
