package auth

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// quiet is a manager that has a token and no network.
func quiet(t *testing.T, tok *Token, change ...func(*Config)) *Manager {
	t.Helper()
	cfg := Config{
		Resource:   "https://mcp.example.com/mcp",
		Server:     &Server{Issuer: "https://as.example.com", TokenEndpoint: "https://as.example.com/token"},
		Client:     Client{ID: "c"},
		HTTPClient: &http.Client{Transport: noNetwork{t}},
	}
	for _, f := range change {
		f(&cfg)
	}
	m, err := NewManager(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	if err := m.SetToken(t.Context(), tok); err != nil {
		t.Fatal(err)
	}
	return m
}

type noNetwork struct{ t *testing.T }

func (n noNetwork) RoundTrip(r *http.Request) (*http.Response, error) {
	n.t.Errorf("request to %s, want none", r.URL)
	return nil, errors.New("no network here")
}

// The fresh-token path takes no lock: it returns while somebody holds it.
func TestFreshTokenPathTakesNoLock(t *testing.T) {
	m := quiet(t, &Token{AccessToken: "a", RefreshToken: "r", Expiry: time.Now().Add(time.Hour)})
	m.mu.Lock()
	defer m.mu.Unlock()
	done := make(chan error, 1)
	go func() {
		_, err := m.Token(context.Background())
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Token waits for the manager's lock")
	}
}

// Nor does the path that serves a token while its refresh runs or is not due
// again: the snapshot is renewed for it.
func TestSnapshotDuringTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := quiet(t, &Token{AccessToken: "a", RefreshToken: "r", Expiry: time.Now().Add(time.Minute)}, func(c *Config) { c.NoIdleRefresh = true })
		m.mu.Lock()
		defer m.mu.Unlock()
		now := wallNow()
		if s := m.makeSnapshot(now); s.until > now.UnixNano() {
			t.Error("a due refresh would not be started")
		}
		m.st.renew = new(flight)
		if s := m.makeSnapshot(now); s.until != m.st.rec.Token.Expiry.UnixNano() {
			t.Errorf("until %v while a refresh runs, want the expiry", time.Unix(0, s.until))
		}
		m.st.renew, m.st.renewFailed = nil, &failure{until: now.Add(10 * time.Second)}
		if s := m.makeSnapshot(now); s.until != m.st.renewFailed.until.UnixNano() {
			t.Errorf("until %v after a failure, want the next attempt", time.Unix(0, s.until))
		}
		m.st.renewFailed.until = now.Add(time.Hour)
		if s := m.makeSnapshot(now); s.until != m.st.rec.Token.Expiry.UnixNano() {
			t.Errorf("until %v, past the expiry", time.Unix(0, s.until))
		}
	})
}

// Nor do callers of a token that has expired, once its renewal is under way: they
// find it in the snapshot.
func TestSnapshotOfARenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := quiet(t, &Token{AccessToken: "a", RefreshToken: "r", Expiry: time.Now().Add(time.Minute)}, func(c *Config) {
			c.NoIdleRefresh, c.HTTPClient = true, &http.Client{Transport: hang{}}
		})
		time.Sleep(2 * time.Minute)
		if m.current.Load().token.live(wallNow()) {
			t.Fatal("the token lives on")
		}
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := m.Token(impatient); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		m.mu.Lock()
		renew := m.st.renew
		m.mu.Unlock()
		if s := m.current.Load(); s == nil || s.renewal == nil || s.renewal != renew {
			t.Error("the next caller has to look for the renewal under the lock")
		}
		time.Sleep(time.Minute) // it has failed
		if s := m.current.Load(); s != nil {
			t.Error("the next caller waits for a renewal that is over")
		}
	})
}

// Callers that find the snapshot run out at the same moment start one refresh,
// and none before its time.
func TestSlowPathStartsOneRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := quiet(t, &Token{AccessToken: "a", RefreshToken: "r", Expiry: time.Now().Add(time.Minute)}, func(c *Config) {
			c.NoIdleRefresh, c.HTTPClient = true, &http.Client{Transport: hang{}}
		})
		underWay := func() *flight {
			t.Helper()
			if _, err := m.tokenSlow(t.Context()); err != nil {
				t.Fatal(err)
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.st.renew
		}
		m.mu.Lock()
		m.st.renewFailed = &failure{until: wallNow().Add(time.Second)}
		m.mu.Unlock()
		if underWay() != nil {
			t.Error("a refresh was started before the next attempt is due")
		}
		time.Sleep(time.Second)
		first := underWay()
		if first == nil || underWay() != first {
			t.Error("want one refresh under way")
		}
	})
}

// hang is a server that never answers.
type hang struct{}

func (hang) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// The wall clock was set back while the timer slept: it is not due yet.
func TestTimerLooksAtTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := quiet(t, &Token{AccessToken: "a", RefreshToken: "r", Expiry: time.Now().Add(time.Hour)})
		m.onRefreshTimer()
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.st.renew != nil {
			t.Error("a timer that fired too early started a refresh")
		}
		if m.st.refreshTimer == nil {
			t.Error("the timer was not set again")
		}
	})
}

func TestWallNow(t *testing.T) {
	if s := wallNow().String(); strings.Contains(s, "m=") {
		t.Errorf("%s carries a monotonic clock", s)
	}
}

func TestParseTokenResponse(t *testing.T) {
	now := time.Now()
	for _, tc := range []struct {
		name, body string
		want       Token
		err        error
	}{
		{"everything", `{"access_token":"a","token_type":"bearer","refresh_token":"r","expires_in":60,"scope":"x  y x"}`,
			Token{AccessToken: "a", TokenType: "Bearer", RefreshToken: "r", Expiry: now.Add(time.Minute), Scopes: []string{"x", "y"}}, nil},
		{"least", ` {"access_token":"a","token_type":"DPOP"}`,
			Token{AccessToken: "a", TokenType: "DPoP", Scopes: []string{"asked"}}, nil},
		{"empty scope is no scope", `{"access_token":"a","token_type":"Bearer","scope":""}`,
			Token{AccessToken: "a", TokenType: "Bearer", Scopes: []string{"asked"}}, nil},
		{"null members", `{"access_token":"a","token_type":"Bearer","refresh_token":null,"expires_in":null,"scope":null}`,
			Token{AccessToken: "a", TokenType: "Bearer", Scopes: []string{"asked"}}, nil},
		{"empty", "", Token{}, errNotJSON},
		{"page", "<html>", Token{}, errNotJSON},
		{"spaces", strings.Repeat(" ", 100), Token{}, errNotJSON},
		{"array", "[]", Token{}, errMalformed},
		{"broken", `{"access_token":"a"`, Token{}, errMalformed},
		{"number for a token", `{"access_token":1,"token_type":"Bearer"}`, Token{}, errMalformed},
		{"no access_token", `{"token_type":"Bearer"}`, Token{}, errNoAccess},
		{"empty access_token", `{"access_token":"","token_type":"Bearer"}`, Token{}, errNoAccess},
		{"no token_type", `{"access_token":"a"}`, Token{}, errNoTokenType},
		{"empty token_type", `{"access_token":"a","token_type":""}`, Token{}, errNoTokenType},
		{"another token_type", `{"access_token":"a","token_type":"mac"}`, Token{}, errTokenType},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parseTokenResponse([]byte(tc.body), now, []string{"asked"})
			if !errors.Is(err, tc.err) {
				t.Fatalf("error %v, want %v", err, tc.err)
			}
			if err != nil {
				return
			}
			if got.AccessToken != tc.want.AccessToken || got.TokenType != tc.want.TokenType || got.RefreshToken != tc.want.RefreshToken ||
				!got.Expiry.Equal(tc.want.Expiry) || !slices.Equal(got.Scopes, tc.want.Scopes) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
			if strings.Contains(got.Expiry.String(), "m=") {
				t.Errorf("expiry %v carries a monotonic clock", got.Expiry)
			}
		})
	}
}

func TestParseExpiresIn(t *testing.T) {
	for raw, want := range map[string]time.Duration{
		`3600`:       time.Hour,
		`"3600"`:     time.Hour,
		`" 3600 "`:   time.Hour,
		`1.5`:        1500 * time.Millisecond,
		`"0.25"`:     250 * time.Millisecond,
		`1e3`:        1000 * time.Second,
		`0`:          0,
		`-1`:         0,
		`"-1"`:       0,
		`null`:       0,
		``:           0,
		`""`:         0,
		`"soon"`:     0,
		`"NaN"`:      0,
		`true`:       0,
		`{}`:         0,
		`1e300`:      maxLifetime,
		`1e999`:      maxLifetime,
		`"Infinity"`: maxLifetime,
		`-1e999`:     0,
		`315360001`:  maxLifetime,
	} {
		if got := parseExpiresIn(json.RawMessage(raw)); got != want {
			t.Errorf("parseExpiresIn(%s) = %v, want %v", raw, got, want)
		}
	}
}

func TestJitteredWindow(t *testing.T) {
	for _, tc := range []struct{ window, life, want time.Duration }{
		{5 * time.Minute, time.Hour, 5 * time.Minute},
		{5 * time.Minute, 10 * time.Minute, 5 * time.Minute},
		{5 * time.Minute, time.Minute, 30 * time.Second},
		{5 * time.Minute, 2 * time.Nanosecond, time.Nanosecond},
		{5 * time.Minute, 0, 5 * time.Minute}, // unknown
	} {
		seen := map[time.Duration]bool{}
		for range 200 {
			got := jitteredWindow(tc.window, tc.life)
			if got < tc.want || got > tc.want+tc.want/10 {
				t.Fatalf("jitteredWindow(%v, %v) = %v, want %v and up to a tenth", tc.window, tc.life, got, tc.want)
			}
			seen[got] = true
		}
		if tc.want > time.Second && len(seen) < 150 {
			t.Errorf("jitteredWindow(%v, %v): %d different values of 200", tc.window, tc.life, len(seen))
		}
	}
}

func TestScopeSets(t *testing.T) {
	many := strings.Fields("a b c d e f g h i j k l m n o p q r")
	for _, tc := range []struct {
		name string
		sets [][]string
		want []string
	}{
		{"nothing", nil, nil},
		{"empties", [][]string{{""}, nil, {}}, nil},
		{"order of appearance", [][]string{{"b", "a"}, {"a", "c", "b"}}, []string{"b", "a", "c"}},
		{"many", [][]string{many, many, {"", "z"}}, append(slices.Clone(many), "z")},
	} {
		if got := unionScopes(tc.sets...); !slices.Equal(got, tc.want) || (got == nil) != (tc.want == nil) {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
	given := []string{"a"}
	normalizeScopes(given)[0] = "b"
	if given[0] != "a" {
		t.Error("normalizeScopes shares its argument")
	}
	if !coversScopes([]string{"a", "b"}, []string{"b"}) || coversScopes(nil, []string{"b"}) || !coversScopes(nil, nil) {
		t.Error("coversScopes is wrong")
	}
	if got := missingScopes([]string{"b"}, []string{"a", "b", "c"}); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("missing %v", got)
	}
	if got := splitScopes("  a b\ta "); !slices.Equal(got, []string{"a", "b"}) || joinScopes(got) != "a b" {
		t.Errorf("split %v", got)
	}
}

func TestStatusClass(t *testing.T) {
	for status, want := range map[int]retryClass{
		429: classThrottled, 503: classThrottled, 500: classTransient, 502: classTransient, 504: classTransient, 599: classTransient,
		408: classTransient, 400: classPermanent, 401: classPermanent, 403: classPermanent, 404: classPermanent, 307: classPermanent,
	} {
		if got := statusClass(status, classPermanent); got != want {
			t.Errorf("statusClass(%d) = %v, want %v", status, got, want)
		}
	}
	if statusClass(200, classAmbiguous) != classAmbiguous {
		t.Error("the caller's class is not kept")
	}
}

func TestErrorCode(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":"invalid_grant"}`:                    "invalid_grant",
		`{"error":"bad word"}`:                         "",
		`{"error":"<script>"}`:                         "",
		`{"error":"` + strings.Repeat("x", 100) + `"}`: "",
		`{"error":7}`:                                  "",
		`{"error":{"message":"invalid_grant"}}`:        "",
		`{}`:                                           "",
		`nothing`:                                      "",
		`{"error":"invalid_grant","error_description":"secret"}`: "invalid_grant",
	} {
		if got := errorCode([]byte(body)); got != want {
			t.Errorf("errorCode(%s) = %q, want %q", body, got, want)
		}
	}
}

func TestTokenSame(t *testing.T) {
	a, b := &Token{AccessToken: "a", serial: 1}, &Token{AccessToken: "a", serial: 2}
	if a.same(b) || !a.same(a) {
		t.Error("a server may issue the same string twice: serials tell them apart")
	}
	if c := *a; !c.same(a) {
		t.Error("a copy is the same token")
	}
	if !a.same(&Token{AccessToken: "a"}) || a.same(&Token{AccessToken: "b"}) {
		t.Error("a token that no manager handed out is compared by its text")
	}
	if a.same(&Token{AccessToken: "b", serial: 1}) {
		t.Error("the serials of two managers may coincide, their tokens do not")
	}
	var none *Token
	if none.same(a) || a.same(nil) || !none.same(nil) {
		t.Error("nil is the same as nil only")
	}
	if a.seal().serial != 0 {
		t.Error("seal keeps the serial of another manager")
	}
}

func TestTokenLive(t *testing.T) {
	now := time.Now()
	for _, tc := range []struct {
		name string
		tok  *Token
		want bool
	}{
		{"nil", nil, false},
		{"no access token", &Token{RefreshToken: "r"}, false},
		{"unknown lifetime", &Token{AccessToken: "a"}, true},
		{"about to die", &Token{AccessToken: "a", Expiry: now.Add(1)}, true},
		{"dead", &Token{AccessToken: "a", Expiry: now}, false},
	} {
		if got := tc.tok.live(now); got != tc.want {
			t.Errorf("%s: %t, want %t", tc.name, got, tc.want)
		}
	}
}
